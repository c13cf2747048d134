import { secretDocumentId } from '@rekey/contracts';
import type { Position, StoredEvent } from '@rekey/ports';
import { concernedBy, type AskedAgain } from './concerned';
import { EXPIRED_NOTICE_DAYS, noticeJobId, queueOf, type NoticeRules } from './due';
import { Schedule, type ScheduleView } from './schedule';
import { Ticks } from './ticks';
import { ExpiryWork, type WorkOptions } from './work';

const DAY_MS = 86_400_000;
/** Events that are taken from the feed in one go. */
const BATCH = 500;

/**
 * A job that has just looked at a secret is not forgotten at once, and keeps another from being made under its id: what
 * changed is looked at a second time.
 */
const SECOND_LOOK_MS = 2_000;

/** How long sweeps may fail before that is called a failure. */
const FAILING_MS = 30_000;

export interface ExpiryWatcherOptions extends WorkOptions {
  readonly schedule: ScheduleView;
  /** `notifications` of the configuration. Not enabled: expiries are recorded, nobody is told. */
  readonly notifications: {
    readonly enabled: boolean;
    /** Six fields, seconds first. */
    readonly cronExpression: string;
    /** IANA name. */
    readonly timezone: string;
    /** Days. */
    readonly expiryThresholds: readonly number[];
  };
  /** How far ahead jobs are made; more than `sweepEveryMs`. Default one hour. */
  readonly horizonMs?: number;
  /** How often the schedule is looked through for what has no job. Default five minutes. */
  readonly sweepEveryMs?: number;
  /** Wait after something failed. Default one second. */
  readonly retryMs?: number;
  /** How long to wait for the view to know an event. Default ten seconds. */
  readonly viewTimeoutMs?: number;
}

/**
 * Keeps a job for everything that is due soon. The view is the truth: a sweep at the start and every few minutes makes
 * the jobs that are missing, so whatever happens to the jobs' store, nothing is lost; the feed of events tells at once
 * of secrets that come, change and go.
 */
export class ExpiryWatcher {
  private readonly rules: NoticeRules;
  private readonly work: ExpiryWork;
  private readonly schedule: Schedule;
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** The last event that was seen: a sweep of a view that does not know it yet would miss something. */
  private seen: Position = '';
  /** Something may lack its job that only a whole sweep can find. */
  private missed = true;
  private nap = new AbortController();
  private failing: { readonly cause: string; readonly sinceMs: number } | undefined;
  /** Ids of documents that are to be looked at a second time. */
  private again = new Set<string>();
  private lookingAgain: Promise<void> | undefined;

  /** Throws `invalid_request` with the field of the configuration that is wrong. */
  constructor(private readonly options: ExpiryWatcherOptions) {
    const { store, jobs, clock, schedule: view, horizonMs = 3_600_000, viewTimeoutMs = 10_000 } = options;
    const { enabled, cronExpression, timezone, expiryThresholds } = options.notifications;
    this.rules = {
      thresholds: expiryThresholds,
      channels: enabled ? options.notifiers.map(({ channel }) => channel) : [],
      ticks: new Ticks(cronExpression, timezone),
    };
    this.work = new ExpiryWork(options, this.rules);
    this.schedule = new Schedule({ store, jobs, clock, view, horizonMs, viewTimeoutMs }, this.rules);
    // Until the first sweep, nobody knows.
    this.failing = { cause: 'the schedule was not looked through yet', sinceMs: -Infinity };
  }

  /** Takes jobs, and begins to sweep and to follow the feed; all of it waits by itself for engines that are away. */
  start(): Promise<void> {
    this.running = this.run();
    return Promise.resolve();
  }

  /** Ends when what is in hand is done. The jobs' own end is `Jobs.close`. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.nap.abort();
    await this.running;
    await this.lookingAgain;
  }

  /** Whether all that is due soon has a job; what fails for less than half a minute is not told. */
  status(): { readonly ready: boolean; readonly cause?: string } {
    const { failing } = this;
    const patient = failing === undefined || this.options.clock.monotonicMs() - failing.sinceMs < FAILING_MS;
    return patient ? { ready: true } : { ready: false, cause: failing.cause };
  }

  private async run(): Promise<void> {
    await this.untilDone(() => this.work.begin());
    await this.untilDone(async () => {
      this.seen = await this.options.store.head();
    });
    await Promise.all([this.sweepRegularly(), this.untilDone(() => this.follow())]);
  }

  /** Tries until it is done, or until the end. */
  private async untilDone(work: () => Promise<void>): Promise<void> {
    const { clock, retryMs = 1_000 } = this.options;
    while (!this.stopping.signal.aborted)
      try {
        return await work();
      } catch (error) {
        this.miss(error);
        await clock.sleep(retryMs, this.stopping.signal);
      }
  }

  // ── Sweeping ───────────────────────────────────────────────────────────────────────────────────────────────────

  private async sweepRegularly(): Promise<void> {
    const { clock, sweepEveryMs = 300_000 } = this.options;
    for (let first = true; !this.stopping.signal.aborted; first = false) {
      this.nap = new AbortController();
      await this.untilDone(() => this.sweep(first));
      if (!this.missed && !this.stopping.signal.aborted) await clock.sleep(sweepEveryMs, this.nap.signal);
    }
  }

  /** Makes the jobs that are missing; the first time all of them, for those that are there may know an older configuration. */
  private async sweep(first: boolean): Promise<void> {
    const { clock } = this.options;
    // What nobody missed, and expired so long ago that it is no news any more, has nothing due.
    const since = new Date(clock.nowMs() - (EXPIRED_NOTICE_DAYS + 1) * DAY_MS).toISOString();
    const from = this.missed ? '' : since;
    this.missed = false;
    await this.schedule.knows(this.seen);
    await this.removeDeadJobs();
    const making = first ? 'anew' : 'missing';
    await this.schedule.makeWhere({ field: 'expiresAt', op: 'gte', value: from }, making, this.stopping.signal);
    this.failing = undefined;
  }

  /** A job is only dead here where even its failure could not be recorded: it begins again. */
  private async removeDeadJobs(): Promise<void> {
    const { jobs, notifiers } = this.options;
    const channels = notifiers.map(({ channel }) => queueOf({ kind: 'notice', channel }));
    for (const queue of [queueOf({ kind: 'expiry' }), ...channels])
      for (const { id } of await jobs.dead(queue)) await jobs.removeDead(queue, id);
  }

  /** Something may lack its job: only a sweep can tell. */
  private miss(error: unknown): void {
    this.missed = true;
    const cause = error instanceof Error ? error.message : 'unknown';
    this.failing = { cause, sinceMs: this.failing?.sinceMs ?? this.options.clock.monotonicMs() };
    this.options.log?.warn({ err: error }, 'The watcher of expiries will try again');
    this.nap.abort();
  }

  // ── The feed ───────────────────────────────────────────────────────────────────────────────────────────────────

  private async follow(): Promise<void> {
    const { signal } = this.stopping;
    for await (const { events } of this.options.store.subscribe({ after: this.seen, batchSize: BATCH, signal })) {
      const last = events.at(-1);
      if (!last) continue;
      this.seen = last.position;
      await this.react(events).catch((error: unknown) => this.miss(error));
    }
  }

  private async react(events: readonly StoredEvent[]): Promise<void> {
    const { schedule } = this;
    const { signal } = this.stopping;
    const { added, changed, applications, domains, askedAgain } = concernedBy(events, schedule.reach());
    if (added.size + changed.size + applications.size + domains.size > 0) await schedule.knows(this.seen);
    await schedule.makeOf([...added], 'missing');
    await schedule.makeOf([...changed], 'exactly');
    for (const value of applications)
      await schedule.makeWhere({ field: 'applicationId', op: 'eq', value }, 'exactly', signal);
    for (const value of domains) await schedule.makeWhere({ field: 'domainId', op: 'eq', value }, 'exactly', signal);
    for (const notice of askedAgain) await this.askAgain(notice);
    this.lookAgain([
      ...changed,
      ...askedAgain.map((notice) => secretDocumentId(notice.applicationId, notice.secretId)),
    ]);
  }

  /** Where somebody asks for a notice again, a job says what becomes of it, be it that its time is over. */
  private async askAgain(notice: AskedAgain): Promise<void> {
    const { jobs, clock } = this.options;
    const { domainId, applicationId, secretId, version, threshold, channel } = notice;
    const id = noticeJobId(secretDocumentId(applicationId, secretId), version, threshold, channel);
    const queue = queueOf({ kind: 'notice', channel });
    const now = clock.now();
    const data = { domainId, applicationId, secretId, version, threshold, channel, madeAt: now };
    const job = { id, queue, runAt: now, data };
    if (!this.rules.channels.includes(channel)) return this.work.fail(job, 'This channel is not switched on.');
    await jobs.removeDead(queue, id);
    await jobs.schedule([job]);
  }

  private lookAgain(ids: readonly string[]): void {
    for (const id of ids) this.again.add(id);
    if (this.again.size > 0) this.lookingAgain ??= this.lookUntilDone();
  }

  private async lookUntilDone(): Promise<void> {
    const { signal } = this.stopping;
    while (this.again.size > 0 && !signal.aborted) {
      await this.options.clock.sleep(SECOND_LOOK_MS, signal);
      const ids = [...this.again];
      this.again.clear();
      if (!signal.aborted) await this.schedule.makeOf(ids, 'missing').catch((error: unknown) => this.miss(error));
    }
    this.lookingAgain = undefined;
  }
}
