import type { ScheduledSecret } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import type { Ticks } from './ticks';

const DAY_MS = 86_400_000;

/**
 * Days after an expiry during which its notice is still sent. Long enough for a system that was down; short enough that
 * switching a channel on does not send a notice for every secret that ever expired.
 */
export const EXPIRED_NOTICE_DAYS = 30;

/** Threshold of the notice that is sent at the expiry itself. */
export const EXPIRED = 0;

/** Facts about the current value of a secret, from its schedule document or from its streams. */
export type ExpiryFacts = Omit<ScheduledSecret, 'position' | 'suspended'>;

/** The configuration of notices. Without channels, no notices are sent. */
export interface NoticeRules {
  /** Days before the expiry, each above 0. */
  readonly thresholds: readonly number[];
  readonly channels: readonly string[];
  readonly ticks: Ticks;
}

/** A job that the current value of a secret needs, and when it is to run. */
export type DueJob =
  | { readonly kind: 'expiry'; readonly id: string; readonly runAt: Instant }
  | {
      readonly kind: 'notice';
      readonly id: string;
      readonly runAt: Instant;
      readonly threshold: number;
      readonly channel: string;
    };

/** Returns the id of the job that records the expiry of a version; `id` is the id of the secret's document. */
export const expiryJobId = (id: string, version: number): string => `expire.${id}.${version}`;

/** Returns the id of the job that sends a notice through a channel; `id` is the id of the secret's document. */
export const noticeJobId = (id: string, version: number, threshold: number, channel: string): string =>
  `notice.${id}.${version}.${threshold}.${channel}`;

/**
 * Returns the jobs that the current value of a secret needs up to `until`, overdue ones included.
 *
 * - Expiry: at `expiresAt`, unless it is recorded or the secret is revoked or deleted.
 * - Notices, only while the secret, its application and its domain are active:
 *   - before the expiry, each threshold at its first tick at or after `max(expiresAt - threshold, createdAt)`. A tick
 *     at or after `expiresAt` is dropped. Of several thresholds due together only the nearest to the expiry is sent, and
 *     a notice on record settles all greater thresholds of its channel;
 *   - once the expiry is recorded, the notice of the expiry, for `EXPIRED_NOTICE_DAYS`;
 *   - a retried notice at once, whatever is on record.
 */
export const dueJobs = (facts: ExpiryFacts, rules: NoticeRules, now: Instant, until: Instant): DueJob[] => {
  const { _id, version, expiresAt, state } = facts;
  if (facts.broken || expiresAt === undefined || state === 'revoked' || state === 'deleted') return [];
  const recorded = facts.expiredVersion === version;
  const expiry: DueJob[] =
    recorded || expiresAt > until ? [] : [{ kind: 'expiry', id: expiryJobId(_id, version), runAt: expiresAt }];
  // An expiry that is reached but not recorded yet comes before its notice.
  if (state !== 'active' || (!recorded && now >= expiresAt)) return expiry;

  const channels = rules.channels.map((channel) => channelRecord(channel, facts.notices));
  const retried = channels.flatMap(({ channel, retried: thresholds }) =>
    thresholds
      .filter((threshold) => (threshold === EXPIRED) === recorded)
      .map((threshold) => noticeJob(facts, threshold, channel, now)),
  );
  if (recorded) return [...retried, ...expiredNotices({ ...facts, expiresAt }, channels, now)];
  return [...expiry, ...retried, ...thresholdNotices({ ...facts, expiresAt }, rules, channels, now, until)];
};

type ExpiringFacts = ExpiryFacts & { readonly expiresAt: Instant };

const noticeJob = ({ _id, version }: ExpiryFacts, threshold: number, channel: string, runAt: Instant): DueJob => ({
  kind: 'notice',
  id: noticeJobId(_id, version, threshold, channel),
  runAt,
  threshold,
  channel,
});

/** The notices of an expiry on record, in the channels that have none yet. */
const expiredNotices = (facts: ExpiringFacts, channels: readonly ChannelRecord[], now: Instant): DueJob[] => {
  if (Date.parse(now) >= Date.parse(facts.expiresAt) + EXPIRED_NOTICE_DAYS * DAY_MS) return [];
  const open = channels.filter(({ settledFrom }) => settledFrom > EXPIRED);
  return open.map(({ channel }) => noticeJob(facts, EXPIRED, channel, facts.expiresAt));
};

const thresholdNotices = (
  facts: ExpiringFacts,
  rules: NoticeRules,
  channels: readonly ChannelRecord[],
  now: Instant,
  until: Instant,
): DueJob[] => {
  // Computed once for all channels, without the thresholds that every channel has settled.
  const below = Math.max(...channels.map(({ settledFrom }) => settledFrom));
  const ticks = thresholdTicks(facts, rules, below, Date.parse(until));
  return channels.flatMap(({ channel, settledFrom }) =>
    ticks
      .filter(({ threshold }) => threshold < settledFrom)
      // A nearer threshold that is due by then replaces this notice.
      .filter(({ tick, nearerTick }) => nearerTick > Math.max(tick, Date.parse(now)))
      .map(({ threshold, tick }) => noticeJob(facts, threshold, channel, new Date(tick).toISOString())),
  );
};

/** What is on record of a channel for the current version. */
interface ChannelRecord {
  readonly channel: string;
  /** Smallest threshold on record, configured or not. This one and all greater ones are settled. */
  readonly settledFrom: number;
  readonly retried: readonly number[];
}

const channelRecord = (channel: string, notices: ExpiryFacts['notices']): ChannelRecord => {
  const suffix = `.${channel}`;
  let settledFrom = Infinity;
  const retried: number[] = [];
  for (const key in notices) {
    if (!key.endsWith(suffix)) continue;
    const threshold = Number(key.slice(0, -suffix.length));
    // Another channel, whose name ends like this one: `5.audit.log` for `log`.
    if (Number.isNaN(threshold)) continue;
    settledFrom = Math.min(settledFrom, threshold);
    if (notices[key] === 'retried') retried.push(threshold);
  }
  return { channel, settledFrom, retried };
};

/** A threshold and its tick, in milliseconds since 1970 UTC. */
interface ThresholdTick {
  readonly threshold: number;
  readonly tick: number;
  /** The tick of the next threshold nearer to the expiry, or Infinity. */
  readonly nearerTick: number;
}

/** Returns the thresholds less than `below` that have a tick before the expiry and up to `until`, nearest first. */
const thresholdTicks = (
  { createdAt, expiresAt }: ExpiringFacts,
  { thresholds, ticks }: NoticeRules,
  below: number,
  until: number,
): ThresholdTick[] => {
  const end = Date.parse(expiresAt);
  const start = Date.parse(createdAt);
  const found: ThresholdTick[] = [];
  for (const threshold of [...new Set(thresholds)].sort((a, b) => a - b)) {
    if (threshold <= EXPIRED || threshold >= below) continue;
    const from = Math.max(end - threshold * DAY_MS, start);
    // A tick is never before `from`, so this saves a search.
    const tick = from > until ? undefined : ticks.msAtOrAfter(from);
    if (tick === undefined || tick >= end || tick > until) continue;
    found.push({ threshold, tick, nearerTick: found.at(-1)?.tick ?? Infinity });
  }
  return found;
};

type JobKind = { readonly kind: 'expiry' } | { readonly kind: 'notice'; readonly channel: string };

/** Returns every job that a version of a secret can have had under these rules. */
export const possibleJobs = (id: string, version: number, rules: NoticeRules): (Pick<DueJob, 'id'> & JobKind)[] => [
  { kind: 'expiry', id: expiryJobId(id, version) },
  ...rules.channels.flatMap((channel) =>
    [EXPIRED, ...rules.thresholds].map((threshold) => {
      return { kind: 'notice' as const, channel, id: noticeJobId(id, version, threshold, channel) };
    }),
  ),
];

/** Returns the queue of a job. Each channel has its own, so that a slow channel delays no other. */
export const queueOf = (job: JobKind): string => (job.kind === 'expiry' ? 'expiry' : `notices.${job.channel}`);
