import type { ScheduledSecret } from '@rekey/contracts';
import { later, type Instant } from '@rekey/domain';
import type { Ticks } from './ticks';

const DAY_MS = 86_400_000;

/**
 * For how many days after an expiry people are still told of it: long enough for a system that was down, and short
 * enough that a channel that is switched on later does not begin with every secret that ever expired.
 */
export const EXPIRED_NOTICE_DAYS = 30;

/** The threshold that stands for the expiry itself. */
export const EXPIRED = 0;

/** What is known of a secret and its current value: a document of the schedule, or the same from its streams. */
export type Watched = Omit<ScheduledSecret, 'position' | 'suspended'>;

/** What the configuration says of notices. No channels: none are sent. */
export interface NoticeRules {
  /** Days before the expiry, each above 0. */
  readonly thresholds: readonly number[];
  readonly channels: readonly string[];
  readonly ticks: Ticks;
}

/** Something to do for the current value of a secret, from an instant on. The id is the job's. */
export type Due =
  | { readonly kind: 'expiry'; readonly id: string; readonly runAt: Instant }
  | {
      readonly kind: 'notice';
      readonly id: string;
      readonly runAt: Instant;
      readonly threshold: number;
      readonly channel: string;
    };

/** Names the job that records the expiry of a value; `id` is that of the secret's document. */
export const expiryJobId = (id: string, version: number): string => `expire.${id}.${version}`;

/** Names the job that sends a notice through a channel; `id` is that of the secret's document. */
export const noticeJobId = (id: string, version: number, threshold: number, channel: string): string =>
  `notice.${id}.${version}.${threshold}.${channel}`;

/**
 * What is due for the current value of a secret up to an instant, what should have been done before `now` included:
 * its expiry, at `expiresAt`, unless it is revoked or gone or the expiry is on record; and notices, for a secret that
 * is active in an application and a domain that are.
 *
 * A notice of a threshold is due at the first tick at or after `max(expiresAt - threshold, the value's creation)`; a
 * tick at or after `expiresAt` is dropped. Of several thresholds that are due together only the nearest to the expiry
 * is, and what was sent, or failed for good, settles the greater ones. The notice of the expiry itself follows its
 * record. A notice that somebody asked for again is due at once, whatever it had been settled by.
 */
export const dueOf = (value: Watched, rules: NoticeRules, now: Instant, until: Instant): Due[] => {
  const { _id, version, expiresAt, state } = value;
  if (value.broken || expiresAt === undefined || state === 'revoked' || state === 'deleted') return [];
  const recorded = value.expiredVersion === version;
  const expiry: Due[] =
    recorded || expiresAt > until ? [] : [{ kind: 'expiry', id: expiryJobId(_id, version), runAt: expiresAt }];
  if (state !== 'active') return expiry;
  const notices = rules.channels.flatMap((channel) =>
    dueInChannel({ ...value, expiresAt }, channel, rules, now, until),
  );
  return [...expiry, ...notices];
};

const dueInChannel = (
  value: Watched & { readonly expiresAt: Instant },
  channel: string,
  { thresholds, ticks }: NoticeRules,
  now: Instant,
  until: Instant,
): Due[] => {
  const { _id, version, createdAt, expiresAt } = value;
  const expired = now >= expiresAt;
  if (expired && value.expiredVersion !== version) return [];
  const notice = (threshold: number, runAt: Instant): Due => ({
    kind: 'notice', id: noticeJobId(_id, version, threshold, channel), runAt, threshold, channel,
  }); // prettier-ignore
  const known = knownIn(channel, value.notices);
  const settled = Math.min(...known.map(({ threshold }) => threshold));
  const due = known
    .filter(({ threshold, state }) => state === 'retried' && (threshold === EXPIRED) === expired)
    .map(({ threshold }) => notice(threshold, now));
  if (expired) {
    const told = settled === EXPIRED || now >= addDays(expiresAt, EXPIRED_NOTICE_DAYS);
    return told ? due : [...due, notice(EXPIRED, expiresAt)];
  }
  let nearer: Instant | undefined;
  for (const threshold of nearestFirst(thresholds)) {
    if (threshold >= settled) break;
    const from = later(addDays(expiresAt, -threshold), createdAt);
    // A tick lies at or after the instant that it is asked for: what begins later need not be asked.
    const tick = from > until ? undefined : ticks.atOrAfter(from);
    if (tick === undefined || tick >= expiresAt) continue;
    if (nearer !== undefined && nearer <= later(tick, now)) break;
    nearer = tick;
    if (tick <= until) due.push(notice(threshold, tick));
  }
  return due;
};

/** The notices of a channel that there is a record of, whether their thresholds are still configured or not. */
const knownIn = (channel: string, notices: Watched['notices']) =>
  Object.entries(notices).flatMap(([key, state]) => {
    const [, threshold, name] = /^([\d.]+)\.(.+)$/.exec(key) ?? [];
    return name === channel ? [{ threshold: Number(threshold), state }] : [];
  });

const nearestFirst = (thresholds: readonly number[]): number[] =>
  [...new Set(thresholds)].filter((days) => days > EXPIRED).sort((left, right) => left - right);

const addDays = (instant: Instant, days: number): Instant =>
  new Date(Date.parse(instant) + days * DAY_MS).toISOString();

/** Every job that a version of a secret can have had under these rules. */
export const possibleJobs = (id: string, version: number, rules: NoticeRules): (Pick<Due, 'id'> & JobKind)[] => [
  { kind: 'expiry', id: expiryJobId(id, version) },
  ...rules.channels.flatMap((channel) =>
    [EXPIRED, ...rules.thresholds].map((threshold) => {
      return { kind: 'notice' as const, channel, id: noticeJobId(id, version, threshold, channel) };
    }),
  ),
];

type JobKind = { readonly kind: 'expiry' } | { readonly kind: 'notice'; readonly channel: string };

/** The queue of a job: each channel has its own, so that one that hangs delays no other. */
export const queueOf = (job: JobKind): string => (job.kind === 'expiry' ? 'expiry' : `notices.${job.channel}`);
