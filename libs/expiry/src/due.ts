import type { ScheduledSecret } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
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
  if (now >= expiresAt && !recorded) return expiry;
  const channels = rules.channels.map((channel) => knownIn(channel, value.notices));
  const notice = (threshold: number, channel: string, runAt: Instant): Due => ({
    kind: 'notice',
    id: noticeJobId(_id, version, threshold, channel),
    runAt,
    threshold,
    channel,
  });
  const askedAgain = channels.flatMap(({ channel, retried }) =>
    retried
      .filter((threshold) => (threshold === EXPIRED) === recorded)
      .map((threshold) => notice(threshold, channel, now)),
  );
  if (recorded) {
    const isNews = Date.parse(now) < Date.parse(expiresAt) + EXPIRED_NOTICE_DAYS * DAY_MS;
    const untold = channels.filter(({ settled }) => isNews && settled > EXPIRED);
    return [...askedAgain, ...untold.map(({ channel }) => notice(EXPIRED, channel, expiresAt))];
  }
  const unsettled = Math.max(...channels.map(({ settled }) => settled));
  const opportunities = opportunitiesOf({ ...value, expiresAt }, rules, unsettled, Date.parse(until));
  const notices = channels.flatMap(({ channel, settled }) =>
    nearestOf(opportunities, settled, Date.parse(now)).map(({ threshold, tick }) =>
      notice(threshold, channel, new Date(tick).toISOString()),
    ),
  );
  return [...expiry, ...askedAgain, ...notices];
};

interface Known {
  readonly channel: string;
  /** The smallest threshold that there is a record of, whether it is still configured or not. */
  readonly settled: number;
  /** Thresholds that were asked for again. */
  readonly retried: readonly number[];
}

/** What is on record of a channel. */
const knownIn = (channel: string, notices: Watched['notices']): Known => {
  const ending = `.${channel}`;
  let settled = Infinity;
  const retried: number[] = [];
  for (const key in notices) {
    if (!key.endsWith(ending)) continue;
    const threshold = Number(key.slice(0, -ending.length));
    // Otherwise the name of the channel only ends like this one's.
    if (Number.isNaN(threshold)) continue;
    settled = Math.min(settled, threshold);
    if (notices[key] === 'retried') retried.push(threshold);
  }
  return { channel, settled, retried };
};

/** A threshold and its tick, in milliseconds since 1970 UTC. */
interface Opportunity {
  readonly threshold: number;
  readonly tick: number;
}

/** The thresholds below another with a tick before the expiry and up to an instant, the nearest to the expiry first. */
const opportunitiesOf = (
  { createdAt, expiresAt }: Watched & { readonly expiresAt: Instant },
  { thresholds, ticks }: NoticeRules,
  below: number,
  until: number,
): Opportunity[] => {
  const end = Date.parse(expiresAt);
  const start = Date.parse(createdAt);
  const nearestFirst = [...new Set(thresholds)].filter((days) => days > EXPIRED && days < below).sort((a, b) => a - b);
  return nearestFirst.flatMap((threshold) => {
    const from = Math.max(end - threshold * DAY_MS, start);
    // A tick lies at or after the instant that it is asked for: what begins later need not be asked.
    const tick = from > until ? undefined : ticks.msAtOrAfter(from);
    return tick === undefined || tick >= end || tick > until ? [] : [{ threshold, tick }];
  });
};

/** Without those that another, nearer to the expiry, stands for: one that is due by now, or at the same tick. */
const nearestOf = (opportunities: readonly Opportunity[], settled: number, now: number): Opportunity[] =>
  opportunities.filter(
    ({ threshold, tick }, index) =>
      threshold < settled && !((opportunities[index - 1]?.tick ?? Infinity) <= Math.max(tick, now)),
  );

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
