import { RekeyError, type ScheduledSecret } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import type { Clock, EventStore, Filter, Job, Jobs, Position, Query, ViewDocument } from '@rekey/ports';
import { setImmediate } from 'node:timers/promises';
import { DomainStates } from './domain-states';
import { dueJobs, possibleJobs, queueOf, type ExpiryFacts, type NoticeRules } from './due';
import { jobOf } from './job-handlers';

const DAY_MS = 86_400_000;
/** Documents processed before the event loop serves others. */
const PAGE_SIZE = 200;

/** The part of the view `expiry-schedule` that the watcher needs; an `ActiveView` has it. */
export interface ScheduleView {
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
  find<D extends ViewDocument>(query: Query): Promise<D[]>;
  waitFor(position: Position, timeoutMs: number): Promise<boolean>;
}

export interface JobSyncOptions {
  readonly view: ScheduleView;
  readonly store: EventStore;
  readonly jobs: Jobs;
  readonly clock: Clock;
  /** Jobs are scheduled this long before they are due. */
  readonly horizonMs: number;
  /** How long to wait for the view to reach an event. */
  readonly viewTimeoutMs: number;
}

/**
 * How existing jobs are treated:
 * - `add`: they stay, and missing ones are scheduled;
 * - `replace`: those still due are scheduled anew, because their due time may follow an older configuration;
 * - `exact`: as `add`, and those no longer due are cancelled.
 */
export type SyncMode = 'add' | 'replace' | 'exact';

/** Schedules the jobs that the documents of the schedule view make due within the horizon. */
export class JobSync {
  constructor(
    private readonly options: JobSyncOptions,
    private readonly rules: NoticeRules,
  ) {}

  /** Waits until the view has reached a position. Throws `unavailable` on timeout. */
  async waitForView(position: Position): Promise<void> {
    const { view, viewTimeoutMs } = this.options;
    if (!(await view.waitFor(position, viewTimeoutMs)))
      throw new RekeyError('unavailable', `The view expiry-schedule did not catch up within ${viewTimeoutMs} ms.`);
  }

  /** Syncs the jobs of all secrets that match a filter, page by page in the order of their expiry. */
  async syncWhere(filter: Filter, mode: SyncMode, signal: AbortSignal): Promise<void> {
    const domains = new DomainStates(this.options.store);
    const soon: Filter = { field: 'expiresAt', op: 'lte', value: this.latestExpiry() };
    const query: Query = { filter: { and: [filter, soon] }, sort: { field: 'expiresAt' }, limit: PAGE_SIZE };
    for (let after: Query['after']; !signal.aborted;) {
      const page = await this.options.view.find<ScheduledSecret>({ ...query, ...(after && { after }) });
      await this.sync(page, mode, domains);
      const last = page.at(-1);
      if (!last || page.length < PAGE_SIZE) return;
      after = { value: last.expiresAt ?? null, id: last._id };
      await setImmediate();
    }
  }

  /** Syncs the jobs of the secrets with these document ids. */
  async syncSecrets(ids: readonly string[], mode: SyncMode): Promise<void> {
    const domains = new DomainStates(this.options.store);
    for (let from = 0; from < ids.length; from += PAGE_SIZE) {
      const documents = await this.options.view.read<ScheduledSecret>(ids.slice(from, from + PAGE_SIZE));
      await this.sync(
        documents.filter((document) => document !== null),
        mode,
        domains,
      );
    }
  }

  /** Returns the latest expiry of a secret that can have a job within the horizon. */
  latestExpiry(): Instant {
    const daysMax = Math.max(0, ...this.rules.thresholds);
    return new Date(Date.parse(this.horizon()) + daysMax * DAY_MS).toISOString();
  }

  private horizon(): Instant {
    const { clock, horizonMs } = this.options;
    return new Date(clock.nowMs() + horizonMs).toISOString();
  }

  private async sync(documents: readonly ScheduledSecret[], mode: SyncMode, domains: DomainStates): Promise<void> {
    const { jobs, clock } = this.options;
    const now = clock.now();
    const horizon = this.horizon();
    const wanted: Job[] = [];
    const cancelled: Pick<Job, 'id' | 'queue'>[] = [];
    for (const document of documents) {
      const facts = await domains.applyTo(document);
      const due = dueJobs(facts, this.rules, now, horizon).map((job) => jobOf(facts, job, now));
      wanted.push(...due);
      if (mode === 'replace') cancelled.push(...due);
      if (mode === 'exact') cancelled.push(...this.noLongerDue(facts, due));
    }
    for (const [queue, ids] of idsByQueue(cancelled)) await jobs.cancel(queue, ids);
    if (wanted.length > 0) await jobs.schedule(wanted);
  }

  /** Returns the other jobs that the current version or the one before it can have. */
  private noLongerDue({ _id, version }: ExpiryFacts, due: readonly Job[]): Pick<Job, 'id' | 'queue'>[] {
    const kept = new Set(due.map(({ id }) => id));
    return [version, version - 1]
      .filter((each) => each > 0)
      .flatMap((each) => possibleJobs(_id, each, this.rules))
      .filter(({ id }) => !kept.has(id))
      .map((job) => ({ id: job.id, queue: queueOf(job) }));
  }
}

const idsByQueue = (jobs: readonly Pick<Job, 'id' | 'queue'>[]): Map<string, string[]> => {
  const byQueue = new Map<string, string[]>();
  for (const { queue, id } of jobs) {
    const ids = byQueue.get(queue);
    if (ids) ids.push(id);
    else byQueue.set(queue, [id]);
  }
  return byQueue;
};
