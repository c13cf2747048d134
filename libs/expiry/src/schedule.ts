import { RekeyError, UnreadableEvent, type ScheduledSecret } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import { readDomain } from '@rekey/platform';
import type { Clock, EventStore, Filter, Job, Jobs, Position, Query, ViewDocument } from '@rekey/ports';
import { setImmediate } from 'node:timers/promises';
import { dueOf, possibleJobs, queueOf, type NoticeRules, type Watched } from './due';
import { jobOf } from './work';

const DAY_MS = 86_400_000;
/** Documents that are looked at in one go: others wait for so long. */
const PAGE = 200;

/** What is needed of the view `expiry-schedule`; an `ActiveView` is one. */
export interface ScheduleView {
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
  find<D extends ViewDocument>(query: Query): Promise<D[]>;
  waitFor(position: Position, timeoutMs: number): Promise<boolean>;
}

export interface ScheduleOptions {
  readonly view: ScheduleView;
  readonly store: EventStore;
  readonly jobs: Jobs;
  readonly clock: Clock;
  /** How far ahead jobs are made. */
  readonly horizonMs: number;
  /** How long to wait for the view to know an event. */
  readonly viewTimeoutMs: number;
}

/**
 * What becomes of the jobs of some secrets. `missing`: those that are not there are made. `anew`: those that are there
 * are made again too. `exactly`: those that are missing are made, and all others that the secrets can have had are
 * withdrawn.
 */
export type Making = 'missing' | 'anew' | 'exactly';

/** Turns documents of the schedule into the jobs that are due within the horizon. */
export class Schedule {
  constructor(
    private readonly options: ScheduleOptions,
    private readonly rules: NoticeRules,
  ) {}

  /** Throws `unavailable` where the view does not know an event in time. */
  async knows(position: Position): Promise<void> {
    const { view, viewTimeoutMs } = this.options;
    if (!(await view.waitFor(position, viewTimeoutMs)))
      throw new RekeyError('unavailable', 'The view expiry-schedule is behind.');
  }

  /** The jobs of all secrets that fit, by their expiry. */
  async makeWhere(filter: Filter, making: Making, signal: AbortSignal): Promise<void> {
    const domains = new DomainStates(this.options.store);
    const upTo: Filter = { field: 'expiresAt', op: 'lte', value: this.reach() };
    const query: Query = { filter: { and: [filter, upTo] }, sort: { field: 'expiresAt' }, limit: PAGE };
    for (let after: Query['after']; !signal.aborted;) {
      const page = await this.options.view.find<ScheduledSecret>({ ...query, ...(after && { after }) });
      await this.make(page, making, domains);
      const last = page.at(-1);
      if (!last || page.length < PAGE) return;
      after = { value: last.expiresAt ?? null, id: last._id };
      await setImmediate();
    }
  }

  /** The jobs of the secrets of these documents. */
  async makeOf(ids: readonly string[], making: Making): Promise<void> {
    const domains = new DomainStates(this.options.store);
    for (let from = 0; from < ids.length; from += PAGE) {
      const found = await this.options.view.read<ScheduledSecret>(ids.slice(from, from + PAGE));
      const documents = found.filter((document) => document !== null);
      await this.make(documents, making, domains);
    }
  }

  /** A secret that expires later has nothing due within the horizon. */
  reach(): Instant {
    const daysMax = Math.max(0, ...this.rules.thresholds);
    return new Date(Date.parse(this.until()) + daysMax * DAY_MS).toISOString();
  }

  private until(): Instant {
    const { clock, horizonMs } = this.options;
    return new Date(clock.nowMs() + horizonMs).toISOString();
  }

  private async make(documents: readonly ScheduledSecret[], making: Making, domains: DomainStates): Promise<void> {
    const { jobs, clock } = this.options;
    const now = clock.now();
    const until = this.until();
    const wanted: Job[] = [];
    const withdrawn: Pick<Job, 'id' | 'queue'>[] = [];
    for (const document of documents) {
      const value = await domains.within(document);
      const due = dueOf(value, this.rules, now, until).map((each) => jobOf(value, each, now));
      wanted.push(...due);
      if (making === 'anew') withdrawn.push(...due);
      if (making === 'exactly') withdrawn.push(...this.others(value, due));
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
}

/** States of domains, each looked up once: the schedule only knows what a secret's own application says. */
class DomainStates {
  private readonly known = new Map<string, Promise<'none' | 'deleted' | 'active' | 'disabled' | 'unreadable'>>();

  constructor(private readonly store: EventStore) {}

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
      return (await readDomain(this.store, domainId)).status;
    } catch (error) {
      if (error instanceof UnreadableEvent) return 'unreadable' as const;
      throw error;
    }
  }
}
