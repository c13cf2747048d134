import { secretDocumentId } from '@rekey/contracts';
import type { Position, StoredEvent } from '@rekey/ports';
import { affectedBy, type RetriedNotice } from './affected';
import { EXPIRED_NOTICE_DAYS, noticeJobId, queueOf, type NoticeRules } from './due';
import { JobHandlers, type JobHandlersOptions } from './job-handlers';
import { JobSync, type ScheduleView } from './job-sync';
import { Ticks } from './ticks';

const DAY_MS = 86_400_000;
const FEED_BATCH_SIZE = 500;

/**
 * A job that is just finishing keeps a new one from being scheduled under its id. So each changed secret is synced once
 * more after this time.
 */
const RECHECK_MS = 2_000;

/** How long sweeps may fail before the watcher reports that it is not ready. */
const FAILURE_GRACE_MS = 30_000;

export interface ExpiryWatcherOptions extends JobHandlersOptions {
  readonly schedule: ScheduleView;
  /** `notifications` of the configuration. When not enabled, expiries are recorded and no notices are sent. */
  readonly notifications: {
    readonly enabled: boolean;
    /** Six fields, seconds first. */
    readonly cronExpression: string;
    /** IANA time zone. */
    readonly timezone: string;
    /** Days before the expiry. */
    readonly expiryThresholds: readonly number[];
  };
  /** Jobs are scheduled this long before they are due; longer than `sweepEveryMs`. Default one hour. */
  readonly horizonMs?: number;
  /** How often a sweep looks for missing jobs. Default five minutes. */
  readonly sweepEveryMs?: number;
  /** Wait before something that failed is retried. Default one second. */
  readonly retryMs?: number;
  /** How long to wait for the view to reach an event. Default ten seconds. */
  readonly viewTimeoutMs?: number;
}

/**
 * Keeps a job scheduled for everything that is due soon. A sweep over the schedule view, at the start and every few
 * minutes, adds missing jobs, so jobs may be lost without harm. Between sweeps, the event feed shows which secrets have
 * changed.
 */
export class ExpiryWatcher {
  private readonly rules: NoticeRules;
  private readonly handlers: JobHandlers;
  private readonly sync: JobSync;
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** Last event of the feed. A sweep first waits for the view to reach it, or it would miss secrets. */
  private lastPosition: Position = '';
  /** Whether a sweep must cover secrets that expired long ago as well, because jobs may be missing. */
  private fullSweepNeeded = true;
  /** Aborted to end the pause between two sweeps early. */
  private pause = new AbortController();
  private failure: { readonly cause: string; readonly sinceMs: number } | undefined;
  /** Document ids of the secrets to sync once more. */
  private toRecheck = new Set<string>();
  private rechecking: Promise<void> | undefined;

  /** Throws `invalid_request` naming the configuration field if the cron expression or the time zone is invalid. */
  constructor(private readonly options: ExpiryWatcherOptions) {
    const { store, jobs, clock, schedule: view, horizonMs = 3_600_000, viewTimeoutMs = 10_000 } = options;
    const { enabled, cronExpression, timezone, expiryThresholds } = options.notifications;
    this.rules = {
      thresholds: expiryThresholds,
      channels: enabled ? options.notifiers.map(({ channel }) => channel) : [],
      ticks: new Ticks(cronExpression, timezone),
    };
    this.handlers = new JobHandlers(options, this.rules);
    this.sync = new JobSync({ store, jobs, clock, view, horizonMs, viewTimeoutMs }, this.rules);
    this.failure = { cause: 'The first sweep has not finished yet.', sinceMs: -Infinity };
  }

  /** Starts to run jobs, to sweep and to follow the feed. Returns at once and waits for unavailable engines by itself. */
  start(): Promise<void> {
    this.running = this.run();
    return Promise.resolve();
  }

  /** Stops and waits for what is in progress. Running jobs end with `Jobs.close`. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.pause.abort();
    await this.running;
    await this.rechecking;
  }

  /** Returns whether everything that is due soon has a job. Failures shorter than half a minute are not reported. */
  status(): { readonly ready: boolean; readonly cause?: string } {
    const { failure } = this;
    if (!failure || this.options.clock.monotonicMs() - failure.sinceMs < FAILURE_GRACE_MS) return { ready: true };
    return { ready: false, cause: failure.cause };
  }

  private async run(): Promise<void> {
    await this.retry(() => this.handlers.start());
    await this.retry(async () => {
      this.lastPosition = await this.options.store.head();
    });
    await Promise.all([this.sweepRegularly(), this.retry(() => this.followFeed())]);
  }

  /** Calls `work` until it succeeds or the watcher stops. */
  private async retry(work: () => Promise<void>): Promise<void> {
    const { clock, retryMs = 1_000 } = this.options;
    while (!this.stopping.signal.aborted)
      try {
        return await work();
      } catch (error) {
        this.requestFullSweep(error);
        await clock.sleep(retryMs, this.stopping.signal);
      }
  }

  /** Notes a failure, after which jobs may be missing, and ends the pause before the next sweep. */
  private requestFullSweep(error: unknown): void {
    this.fullSweepNeeded = true;
    const cause = error instanceof Error ? error.message : 'unknown';
    this.failure = { cause, sinceMs: this.failure?.sinceMs ?? this.options.clock.monotonicMs() };
    this.options.log?.warn({ err: error }, 'The expiry watcher failed and will retry');
    this.pause.abort();
  }

  // ── Sweeps ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private async sweepRegularly(): Promise<void> {
    const { clock, sweepEveryMs = 300_000 } = this.options;
    for (let first = true; !this.stopping.signal.aborted; first = false) {
      this.pause = new AbortController();
      await this.retry(() => this.sweep(first));
      if (!this.fullSweepNeeded && !this.stopping.signal.aborted) await clock.sleep(sweepEveryMs, this.pause.signal);
    }
  }

  /** Adds missing jobs. The first sweep replaces all of them: they may be of an older configuration. */
  private async sweep(first: boolean): Promise<void> {
    const { clock } = this.options;
    // Unless a failure came between, secrets that expired before this have nothing due any more.
    const recent = new Date(clock.nowMs() - (EXPIRED_NOTICE_DAYS + 1) * DAY_MS).toISOString();
    const from = this.fullSweepNeeded ? '' : recent;
    this.fullSweepNeeded = false;
    await this.sync.waitForView(this.lastPosition);
    await this.removeDeadJobs();
    const filter = { field: 'expiresAt', op: 'gte', value: from } as const;
    await this.sync.syncWhere(filter, first ? 'replace' : 'add', this.stopping.signal);
    this.failure = undefined;
  }

  /** A job is dead only if its failure could not be recorded either. Removing it lets the sweep schedule it anew. */
  private async removeDeadJobs(): Promise<void> {
    const { jobs, notifiers } = this.options;
    const channels = notifiers.map(({ channel }) => queueOf({ kind: 'notice', channel }));
    for (const queue of [queueOf({ kind: 'expiry' }), ...channels])
      for (const { id } of await jobs.dead(queue)) await jobs.removeDead(queue, id);
  }

  // ── The event feed ─────────────────────────────────────────────────────────────────────────────────────────────

  private async followFeed(): Promise<void> {
    const { signal } = this.stopping;
    const feed = this.options.store.subscribe({ after: this.lastPosition, batchSize: FEED_BATCH_SIZE, signal });
    for await (const { events } of feed) {
      const last = events.at(-1);
      if (!last) continue;
      this.lastPosition = last.position;
      await this.handleEvents(events).catch((error: unknown) => this.requestFullSweep(error));
    }
  }

  private async handleEvents(events: readonly StoredEvent[]): Promise<void> {
    const { sync } = this;
    const { signal } = this.stopping;
    const { added, changed, applications, domains, retriedNotices } = affectedBy(events, sync.latestExpiry());
    if (added.size + changed.size + applications.size + domains.size > 0) await sync.waitForView(this.lastPosition);
    await sync.syncSecrets([...added], 'add');
    await sync.syncSecrets([...changed], 'exact');
    for (const value of applications)
      await sync.syncWhere({ field: 'applicationId', op: 'eq', value }, 'exact', signal);
    for (const value of domains) await sync.syncWhere({ field: 'domainId', op: 'eq', value }, 'exact', signal);
    for (const notice of retriedNotices) await this.retryNotice(notice);
    const retried = retriedNotices.map((notice) => secretDocumentId(notice.applicationId, notice.secretId));
    this.recheckLater([...changed, ...retried]);
  }

  /** Schedules the job even if the notice is no longer due: the job then records that it has failed. */
  private async retryNotice(notice: RetriedNotice): Promise<void> {
    const { jobs, clock } = this.options;
    const { domainId, applicationId, secretId, version, threshold, channel } = notice;
    const id = noticeJobId(secretDocumentId(applicationId, secretId), version, threshold, channel);
    const queue = queueOf({ kind: 'notice', channel });
    const now = clock.now();
    const data = { domainId, applicationId, secretId, version, threshold, channel, madeAt: now };
    const job = { id, queue, runAt: now, data };
    if (!this.rules.channels.includes(channel))
      return this.handlers.recordFailure(job, `The channel ${channel} is not enabled.`);
    await jobs.removeDead(queue, id);
    await jobs.schedule([job]);
  }

  private recheckLater(ids: readonly string[]): void {
    for (const id of ids) this.toRecheck.add(id);
    if (this.toRecheck.size > 0) this.rechecking ??= this.recheck();
  }

  private async recheck(): Promise<void> {
    const { signal } = this.stopping;
    while (this.toRecheck.size > 0 && !signal.aborted) {
      await this.options.clock.sleep(RECHECK_MS, signal);
      const ids = [...this.toRecheck];
      this.toRecheck.clear();
      if (signal.aborted) break;
      await this.sync.syncSecrets(ids, 'add').catch((error: unknown) => this.requestFullSweep(error));
    }
    this.rechecking = undefined;
  }
}
