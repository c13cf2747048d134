import {
  RekeyError,
  UnreadableEvent,
  decodeEvent,
  secretDocumentId,
  type FeedEvent,
  type ScheduledSecret,
} from '@rekey/contracts';
import type { Instant, NoticeKey } from '@rekey/domain';
import type { Filter, Job, Position, Query, StoredEvent, ViewDocument } from '@rekey/ports';
import { EXPIRED_NOTICE_DAYS, dueOf, noticeJobId, possibleJobs, queueOf, type NoticeRules, type Watched } from './due';
import { domainStateOf } from './standing';
import { Ticks } from './ticks';
import { ExpiryWork, jobOf, type WorkOptions } from './work';

const DAY_MS = 86_400_000;
const PAGE = 500;

/** What the watcher needs of the view `expiry-schedule`; an `ActiveView` is one. */
export interface ScheduleView {
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
  find<D extends ViewDocument>(query: Query): Promise<D[]>;
  waitFor(position: Position, timeoutMs: number): Promise<boolean>;
}

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
  /** Wait after a sweep that failed. Default one second. */
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
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** The last event that was seen: a sweep of a view that does not know it yet would miss something. */
  private seen: Position = '';
  private nap = new AbortController();
  private missed = true;
  private failure: string | undefined = 'The first sweep is not done.';

  /** Throws `invalid_request` with the field of the configuration that is wrong. */
  constructor(private readonly options: ExpiryWatcherOptions) {
    const { enabled, cronExpression, timezone, expiryThresholds } = options.notifications;
    this.rules = {
      thresholds: expiryThresholds,
      channels: enabled ? options.notifiers.map(({ channel }) => channel) : [],
      ticks: new Ticks(cronExpression, timezone),
    };
    this.work = new ExpiryWork(options, this.rules);
  }

  /** Takes jobs, and begins to sweep and to follow the feed; both wait by themselves for engines that are away. */
  async start(): Promise<void> {
    await this.work.begin();
    this.running = this.run();
  }

  /** Ends when what is in hand is done. The jobs' own end is `Jobs.close`. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.nap.abort();
    await this.running;
  }

  /** Whether all that is due soon has a job, as far as is known. */
  status(): { readonly ready: boolean; readonly cause?: string } {
    return this.failure === undefined ? { ready: true } : { ready: false, cause: this.failure };
  }

  private async run(): Promise<void> {
    const { store, clock, retryMs = 1_000 } = this.options;
    while (!this.stopping.signal.aborted) {
      try {
        this.seen = await store.head();
        break;
      } catch (error) {
        this.failed(error);
        await clock.sleep(retryMs, this.stopping.signal);
      }
    }
    await Promise.all([this.sweepRegularly(), this.follow()]);
  }

  // ── Sweeping ───────────────────────────────────────────────────────────────────────────────────────────────────

  private async sweepRegularly(): Promise<void> {
    const { clock, sweepEveryMs = 300_000, retryMs = 1_000 } = this.options;
    for (let first = true; !this.stopping.signal.aborted;) {
      this.nap = new AbortController();
      const whole = this.missed;
      this.missed = false;
      try {
        await this.sweep({ whole, anew: first });
        first = false;
        this.failure = undefined;
      } catch (error) {
        this.missed = true;
        this.failed(error);
      }
      if (this.failure !== undefined) await clock.sleep(retryMs, this.stopping.signal);
      else if (!this.missed) await clock.sleep(sweepEveryMs, this.nap.signal);
    }
  }

  /**
   * Makes the jobs that are missing. `whole`: for secrets that expired long ago too. `anew`: jobs that are there are
   * made again, for they may stand at the ticks of another configuration.
   */
  private async sweep({ whole, anew }: { whole: boolean; anew: boolean }): Promise<void> {
    const { clock } = this.options;
    await this.viewKnows(this.seen);
    await this.buryDead();
    const since = whole ? '' : new Date(clock.nowMs() - (EXPIRED_NOTICE_DAYS + 1) * DAY_MS).toISOString();
    const domains = new DomainsOfOneLook(this.options);
    for await (const page of this.pages([{ field: 'expiresAt', op: 'gte', value: since }]))
      await this.reconcile(page, domains, anew ? 'anew' : 'missing');
  }

  /** A job is only dead here where even its failure could not be recorded: it begins again. */
  private async buryDead(): Promise<void> {
    const { jobs } = this.options;
    const channels = this.options.notifiers.map(({ channel }) => queueOf({ kind: 'notice', channel }));
    for (const queue of [queueOf({ kind: 'expiry' }), ...channels])
      for (const { id } of await jobs.dead(queue)) await jobs.bury(queue, id);
  }

  // ── The feed ───────────────────────────────────────────────────────────────────────────────────────────────────

  private async follow(): Promise<void> {
    const { store } = this.options;
    const { signal } = this.stopping;
    for await (const { events } of store.subscribe({ after: this.seen, batchSize: PAGE, signal })) {
      const last = events.at(-1);
      if (!last) continue;
      this.seen = last.position;
      try {
        await this.react(events);
      } catch (error) {
        this.missed = true;
        this.failed(error);
        this.nap.abort();
      }
    }
  }

  private async react(events: readonly StoredEvent[]): Promise<void> {
    const concerned = concernedBy(events.flatMap(readable), this.reach());
    const { secrets, applications, domains, askedAgain } = concerned;
    for (const notice of askedAgain) await this.askAgain(notice);
    if (secrets.size + applications.size + domains.size === 0) return;
    await this.viewKnows(this.seen);
    const states = new DomainsOfOneLook(this.options);
    const ids = [...secrets];
    for (let from = 0; from < ids.length; from += PAGE) {
      const found = await this.options.schedule.read<ScheduledSecret>(ids.slice(from, from + PAGE));
      const documents = found.filter((document) => document !== null);
      await this.reconcile(documents, states, 'exactly');
    }
    const groups: Filter[] = [
      ...[...applications].map((value) => ({ field: 'applicationId', op: 'eq', value }) as const),
      ...[...domains].map((value) => ({ field: 'domainId', op: 'eq', value }) as const),
    ];
    for (const group of groups)
      for await (const page of this.pages([group])) await this.reconcile(page, states, 'exactly');
  }

  /** Where somebody asks for a notice again, the job says what becomes of it, be it that its time is over. */
  private async askAgain(notice: AskedAgain): Promise<void> {
    const { jobs, clock } = this.options;
    const { domainId, applicationId, secretId, version, threshold, channel } = notice;
    if (!this.rules.channels.includes(channel)) return;
    const id = noticeJobId(secretDocumentId(applicationId, secretId), version, threshold, channel);
    const queue = queueOf({ kind: 'notice', channel });
    const now = clock.now();
    await jobs.bury(queue, id);
    const data = { domainId, applicationId, secretId, version, threshold, channel, madeAt: now };
    await jobs.schedule([{ id, queue, runAt: now, data }]);
  }

  // ── Documents into jobs ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes the jobs of these secrets that are due within the horizon. `missing`: those that are not there. `anew`: also
   * those that are. `exactly`: and withdraws all others that these secrets can have had.
   */
  private async reconcile(
    documents: readonly ScheduledSecret[],
    domains: DomainsOfOneLook,
    how: 'missing' | 'anew' | 'exactly',
  ): Promise<void> {
    const { jobs, clock } = this.options;
    const now = clock.now();
    const until = this.until();
    const wanted: Job[] = [];
    const withdrawn: Pick<Job, 'id' | 'queue'>[] = [];
    for (const document of documents) {
      const value = await domains.within(document);
      const due = dueOf(value, this.rules, now, until).map((each) => jobOf(value, each, now));
      wanted.push(...due);
      if (how === 'anew') withdrawn.push(...due);
      if (how === 'exactly') withdrawn.push(...this.others(value, due));
    }
    const queues = new Map<string, string[]>();
    for (const { queue, id } of withdrawn) {
      const ids = queues.get(queue);
      if (ids) ids.push(id);
      else queues.set(queue, [id]);
    }
    for (const [queue, ids] of queues) await jobs.cancel(queue, ids);
    if (wanted.length > 0) await jobs.schedule(wanted);
  }

  /** The jobs that a secret's value, or the one before it, can have had beside those that it is to have. */
  private others({ _id, version }: Watched, due: readonly Job[]): Pick<Job, 'id' | 'queue'>[] {
    const kept = new Set(due.map(({ id }) => id));
    return [version, version - 1]
      .filter((each) => each > 0)
      .flatMap((each) => possibleJobs(_id, each, this.rules))
      .filter(({ id }) => !kept.has(id))
      .map((job) => ({ id: job.id, queue: queueOf(job) }));
  }

  /** Pages of the secrets that can have something due within the horizon, by their expiry. */
  private async *pages(filters: readonly Filter[]): AsyncGenerator<ScheduledSecret[]> {
    const upTo: Filter = { field: 'expiresAt', op: 'lte', value: this.reach() };
    const query: Query = { filter: { and: [...filters, upTo] }, sort: { field: 'expiresAt' }, limit: PAGE };
    for (let after: Query['after']; ;) {
      const page = await this.options.schedule.find<ScheduledSecret>({ ...query, ...(after && { after }) });
      if (page.length > 0) yield page;
      const last = page.at(-1);
      if (!last || page.length < PAGE || this.stopping.signal.aborted) return;
      after = { value: last.expiresAt ?? null, id: last._id };
    }
  }

  private until(): Instant {
    const { clock, horizonMs = 3_600_000 } = this.options;
    return new Date(clock.nowMs() + horizonMs).toISOString();
  }

  /** What expires later has nothing due within the horizon. */
  private reach(): Instant {
    const daysMax = Math.max(0, ...this.rules.thresholds);
    return new Date(Date.parse(this.until()) + daysMax * DAY_MS).toISOString();
  }

  private async viewKnows(position: Position): Promise<void> {
    const { schedule, viewTimeoutMs = 10_000 } = this.options;
    if (!(await schedule.waitFor(position, viewTimeoutMs)))
      throw new RekeyError('unavailable', 'The view expiry-schedule is behind.');
  }

  private failed(error: unknown): void {
    this.failure = error instanceof Error ? error.message : 'unknown';
    this.options.log?.warn({ err: error }, 'The watcher of expiries will try again');
  }
}

type AskedAgain = NoticeKey & { readonly domainId: string; readonly applicationId: string };

/** An event, or nothing where this code cannot read it: the view marks its secret as broken. */
const readable = (event: StoredEvent): FeedEvent[] => {
  try {
    return [decodeEvent(event)];
  } catch (error) {
    if (error instanceof UnreadableEvent) return [];
    throw error;
  }
};

/** Whose jobs may have to change after these events: ids of documents, of applications and of domains. */
const concernedBy = (events: readonly FeedEvent[], reach: Instant) => {
  const secrets = new Set<string>();
  const applications = new Set<string>();
  const domains = new Set<string>();
  const askedAgain: AskedAgain[] = [];
  for (const event of events)
    switch (event.type) {
      case 'SecretAdded':
        if (event.data.expiresAt === undefined || event.data.expiresAt > reach) break;
        secrets.add(secretDocumentId(event.data.applicationId, event.data.secretId));
        break;
      case 'SecretRenewed':
      case 'SecretRevoked':
      case 'SecretSuspended':
      case 'SecretResumed':
      case 'SecretExpired':
        secrets.add(secretDocumentId(event.data.applicationId, event.data.secretId));
        break;
      case 'ExpiryNoticeRetried':
        askedAgain.push(event.data);
        break;
      case 'ApplicationDisabled':
      case 'ApplicationEnabled':
      case 'ApplicationDeleted':
        applications.add(event.data.applicationId);
        break;
      case 'DomainDisabled':
      case 'DomainEnabled':
      case 'DomainDeleted':
        domains.add(event.data.domainId);
        break;
      default:
    }
  return { secrets, applications, domains, askedAgain };
};

/** States of domains, each looked up once: the schedule only knows what a secret's own application says. */
class DomainsOfOneLook {
  private readonly known = new Map<string, Promise<'none' | 'deleted' | 'active' | 'disabled' | 'unreadable'>>();

  constructor(private readonly options: Pick<ExpiryWatcherOptions, 'store'>) {}

  /** A secret as it stands in view of its domain. */
  async within(document: ScheduledSecret): Promise<Watched> {
    const { domainId } = document;
    const state = this.known.get(domainId) ?? this.look(domainId);
    this.known.set(domainId, state);
    switch (await state) {
      case 'active':
        return document;
      case 'disabled':
        return document.state === 'active' ? { ...document, state: 'disabled' } : document;
      case 'unreadable':
        return { ...document, broken: true };
      default:
        return { ...document, state: 'deleted' };
    }
  }

  private async look(domainId: string) {
    try {
      return (await domainStateOf(this.options.store, domainId)).status;
    } catch (error) {
      if (error instanceof UnreadableEvent) return 'unreadable' as const;
      throw error;
    }
  }
}
