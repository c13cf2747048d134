import {
  RekeyError,
  decodeEvent,
  publicErrorOf,
  secretDocumentId,
  streamOf,
  type CommandEnvelope,
  type CommandReply,
  type CommandType,
  type ScheduledSecret,
} from '@rekey/contracts';
import {
  application,
  applicationIdOf,
  applicationStream,
  fold,
  later,
  securityDomain,
  type ApplicationEvent,
  type Instant,
  type Recorded,
} from '@rekey/domain';
import {
  CommandBus,
  EngineUnavailable,
  EventStore,
  Jobs,
  ManualClock,
  Notifier,
  type Appended,
  type CommandRequest,
  type DeadJob,
  type EventBatch,
  type ExpiryNotice,
  type Filter,
  type HistoryQuery,
  type Job,
  type JobCounts,
  type JobOptions,
  type JobRun,
  type NewEvent,
  type Query,
  type StoredEvent,
  type SubscriptionOptions,
  type ViewDocument,
} from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { ScheduleView } from './schedule';
import { ExpiryWatcher, type ExpiryWatcherOptions } from './watcher';

export const DOMAIN = 'shop';
export const APPLICATION = applicationIdOf(DOMAIN, 'web');
export const SECRET = '22222222-2222-4222-8222-222222222222';
const HOUR_MS = 3_600_000;

class MemoryEvents extends EventStore {
  readonly events: StoredEvent[] = [];
  private waiting: (() => void)[] = [];

  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    for (const [index, event] of events.entries()) {
      const position = String(this.events.length + 1).padStart(20, '0');
      this.events.push({ ...event, stream, revision: expectedRevision + 1 + index, position });
    }
    for (const wake of this.waiting.splice(0)) wake();
    return { revision: expectedRevision + events.length, position: await this.head() };
  }

  async readStream(stream: string): Promise<StoredEvent[]> {
    return this.events.filter((event) => event.stream === stream);
  }

  async readFeed({ after = '', limit }: HistoryQuery): Promise<StoredEvent[]> {
    return this.events.filter(({ position }) => position > after).slice(0, limit);
  }

  async *subscribe({ after, batchSize, signal }: SubscriptionOptions): AsyncGenerator<EventBatch> {
    const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    for (let place = after; !signal.aborted;) {
      const more = new Promise<void>((resolve) => this.waiting.push(resolve));
      const events = await this.readFeed({ after: place, limit: batchSize });
      place = events.at(-1)?.position ?? place;
      yield { events, caughtUp: events.length < batchSize };
      if (events.length === 0) await Promise.race([more, ended]);
    }
  }

  async head(): Promise<string> {
    return this.events.at(-1)?.position ?? '';
  }

  async identity(): Promise<string> {
    return 'memory';
  }

  async close(): Promise<void> {}
}

/** Jobs in memory, shared by watchers that come and go as a store on a disk is. */
class MemoryJobs extends Jobs {
  readonly known = new Map<
    string,
    { job: Job; dueMs: number; attempts: number; state: 'waiting' | 'running' | 'dead' }
  >();
  private readonly queues = new Map<string, { options: JobOptions; handler: (run: JobRun) => Promise<void> }>();

  /** Nobody can be given jobs to do. */
  away = false;

  constructor(private readonly clock: ManualClock) {
    super();
  }

  /** All that is kept is lost, as by a store that was emptied. */
  lose(): void {
    this.known.clear();
  }

  ids(): string[] {
    return [...this.known.values()].map(({ job }) => job.id).sort();
  }

  async schedule(jobs: readonly Job[]): Promise<void> {
    for (const job of jobs) {
      const key = `${job.queue} ${job.id}`;
      if (this.known.has(key)) continue;
      this.known.set(key, { job, dueMs: Date.parse(job.runAt), attempts: 0, state: 'waiting' });
      this.wakeAt(key);
    }
  }

  async cancel(queue: string, ids: readonly string[]): Promise<void> {
    for (const id of ids)
      if (this.known.get(`${queue} ${id}`)?.state === 'waiting') this.known.delete(`${queue} ${id}`);
  }

  async process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.away) throw new EngineUnavailable('jobs');
    this.queues.set(queue, { options, handler });
    for (const [key, entry] of this.known) {
      if (entry.job.queue !== queue) continue;
      if (entry.state === 'running') entry.state = 'waiting';
      this.wakeAt(key);
    }
  }

  async dead(queue: string): Promise<DeadJob[]> {
    const dead = [...this.known.values()].filter(({ job, state }) => job.queue === queue && state === 'dead');
    return dead.map(({ job }) => ({ ...job, cause: 'unknown', failedAt: this.clock.now() }));
  }

  async removeDead(queue: string, id: string): Promise<void> {
    if (this.known.get(`${queue} ${id}`)?.state === 'dead') this.known.delete(`${queue} ${id}`);
  }

  async counts(): Promise<JobCounts> {
    return { waiting: this.known.size, running: 0, dead: 0 };
  }

  /** Forgets the handlers, as the end of a process does. */
  async close(): Promise<void> {
    this.queues.clear();
  }

  private wakeAt(key: string): void {
    const entry = this.known.get(key);
    if (entry) this.clock.schedule(Math.max(0, entry.dueMs - this.clock.nowMs()), () => void this.run(key));
  }

  private async run(key: string): Promise<void> {
    const entry = this.known.get(key);
    const queue = entry && this.queues.get(entry.job.queue);
    if (!entry || !queue || entry.state !== 'waiting' || entry.dueMs > this.clock.nowMs()) return;
    entry.state = 'running';
    const attempt = ++entry.attempts;
    const { attempts, backoffMs, backoffMaxMs } = queue.options;
    try {
      await queue.handler({ job: entry.job, attempt, last: attempt >= attempts });
      if (this.known.get(key) === entry) this.known.delete(key);
    } catch {
      entry.state = attempt >= attempts ? 'dead' : 'waiting';
      entry.dueMs = this.clock.nowMs() + Math.min(backoffMs * 2 ** (attempt - 1), backoffMaxMs);
      if (entry.state === 'waiting') this.wakeAt(key);
    }
  }
}

/** The write side: the real rules, without keys and hashes. */
class MemoryBus extends CommandBus {
  away = false;
  /** How far the clock of the command-service is behind. */
  behindMs = 0;
  private readonly outcomes = new Map<string, CommandReply>();

  constructor(
    private readonly store: MemoryEvents,
    private readonly clock: ManualClock,
  ) {
    super();
  }

  async send({ command }: CommandRequest): Promise<CommandReply> {
    if (this.away) throw new RekeyError('unavailable', 'The bus is away.');
    const known = this.outcomes.get(command.id);
    if (known) return { ...known, replayed: true };
    const reply = await this.handle(command);
    this.outcomes.set(command.id, reply);
    return reply;
  }

  private async handle(command: CommandEnvelope): Promise<CommandReply> {
    const stream = streamOf(command);
    const events = await this.store.readStream(stream);
    const now = later(new Date(this.clock.nowMs() - this.behindMs).toISOString(), events.at(-1)?.metadata.occurredAt);
    const base = { id: command.id, replayed: false, revision: 0, position: '' };
    try {
      const facts = await this.decide(command, events, now);
      const metadata = {
        commandId: command.id,
        correlationId: command.id,
        causationId: command.id,
        actor: { type: 'token', id: 'test' },
        occurredAt: now,
        schemaVersion: 1,
        previousHash: '',
        hash: '',
      } as const;
      const made = facts.map(({ type, data }) => ({ eventId: randomUUID(), type, data: { ...data }, metadata }));
      if (made.length > 0) await this.store.append(stream, events.length - 1, made);
      return { ...base, status: 'accepted' };
    } catch (error) {
      const refusal = publicErrorOf(error);
      if (!refusal) throw error;
      return { ...base, status: 'rejected', error: refusal };
    }
  }

  private async decide(command: CommandEnvelope, events: readonly StoredEvent[], now: Instant) {
    const recorded = events.map(decodeEvent) as never[];
    const ofDomain = await this.store.readStream(`domain-${command.data.domainId}`);
    const domain = fold(securityDomain, ofDomain.map(decodeEvent) as never[]);
    if (!('applicationId' in command.data)) return securityDomain.decide(command as never, domain, { now });
    const verifier = { verifier: '$argon2id$none', lookupId: '0000000000' };
    return application.decide(command as never, fold(application, recorded), { now, domain, secretsMax: 10, verifier });
  }

  async serve(): Promise<void> {}
  async close(): Promise<void> {}
}

/** The view, made anew from the events for each question, as far as they are known to it. */
class MemorySchedule implements ScheduleView {
  /** Not to be read. */
  away = false;
  /** Knows only so many events. */
  knowsOnly = Infinity;

  constructor(private readonly store: MemoryEvents) {}

  async read<D extends ViewDocument>(ids: readonly string[]): Promise<(D | null)[]> {
    const all = this.documents();
    return ids.map((id) => (all.find(({ _id }) => _id === id) as D | undefined) ?? null);
  }

  async find<D extends ViewDocument>({ filter, sort, after, limit }: Query): Promise<D[]> {
    expect(sort?.field).toBe('expiresAt');
    const order = ({ expiresAt, _id }: ScheduledSecret) => `${expiresAt ?? ''} ${_id}`;
    const from = after ? `${after.value} ${after.id}` : '';
    const fitting = this.documents().filter(
      (document) => order(document) > from && (!filter || holds(document, filter)),
    );
    return fitting
      .sort((left, right) => (order(left) < order(right) ? -1 : 1))
      .slice(0, limit) as ViewDocument[] as D[];
  }

  async waitFor(position: string): Promise<boolean> {
    return (this.store.events.slice(0, this.knowsOnly).at(-1)?.position ?? '') >= position;
  }

  private documents(): ScheduledSecret[] {
    if (this.away) throw new RekeyError('unavailable', 'The view cannot be read now.');
    const known = this.store.events.slice(0, this.knowsOnly);
    const streams = new Set(known.map(({ stream }) => stream).filter((stream) => stream.startsWith('application-')));
    return [...streams].flatMap((stream) => {
      const all = known.filter((event) => event.stream === stream);
      // Of an application that was deleted there are tombstones.
      const deletedAt = all.findIndex(({ type }) => type === 'ApplicationDeleted');
      const events = deletedAt < 0 ? all : all.slice(0, deletedAt);
      const state = fold(application, events.map(decodeEvent) as Recorded<ApplicationEvent>[]);
      if (state.status === 'none' || state.status === 'deleted') return [];
      const { applicationId, domainId, status } = state;
      return Object.values(state.secrets).map((secret): ScheduledSecret => {
        const { secretId, version, valueCreatedAt: createdAt, expiresAt, expiredVersion } = secret;
        const ofVersion = Object.entries(secret.notices).filter(([id]) => id.startsWith(`${version}.`));
        return {
          _id: secretDocumentId(applicationId, secretId),
          position: events.at(-1)?.position ?? '',
          applicationId,
          domainId,
          secretId,
          version,
          createdAt,
          ...(expiresAt !== undefined && { expiresAt }),
          ...(expiredVersion !== undefined && { expiredVersion }),
          state:
            deletedAt >= 0
              ? 'deleted'
              : secret.status !== 'revoked' && status === 'disabled'
                ? 'disabled'
                : secret.status,
          suspended: secret.status === 'suspended',
          notices: Object.fromEntries(ofVersion.map(([id, known]) => [id.slice(`${version}.`.length), known])),
        };
      });
    });
  }
}

const holds = (document: ScheduledSecret, filter: Filter): boolean => {
  if ('and' in filter) return filter.and.every((each) => holds(document, each));
  if ('or' in filter) return filter.or.some((each) => holds(document, each));
  const value = document[filter.field as keyof ScheduledSecret];
  if (typeof value !== 'string' || typeof filter.value !== 'string') return false;
  if (filter.op === 'eq') return value === filter.value;
  if (filter.op === 'gte') return value >= filter.value;
  if (filter.op === 'lte') return value <= filter.value;
  throw new Error(`Not asked for: ${filter.op}`);
};

/** A channel that keeps what it was given. */
class MemoryNotifier extends Notifier {
  readonly sent: (ExpiryNotice & { at: Instant })[] = [];
  /** What it says of a notice, while it is broken. */
  broken: string | undefined;
  /** Called with every notice, before it is answered. */
  onSend: (notice: ExpiryNotice) => void = () => undefined;

  constructor(
    readonly channel: string,
    private readonly clock: ManualClock,
  ) {
    super();
  }

  async send(notice: ExpiryNotice): Promise<{ recipients: number }> {
    if (this.broken !== undefined) throw new Error(this.broken);
    this.sent.push({ ...notice, at: this.clock.now() });
    this.onSend(notice);
    return { recipients: notice.contacts.length };
  }
}

/** All that is around a watcher, in memory, at a time that the test moves. */
export class World {
  readonly clock: ManualClock;
  readonly store = new MemoryEvents();
  readonly jobs: MemoryJobs;
  readonly bus: MemoryBus;
  readonly schedule = new MemorySchedule(this.store);
  readonly log: MemoryNotifier;
  readonly ui: MemoryNotifier;
  private readonly watchers: ExpiryWatcher[] = [];

  constructor(start: Instant) {
    this.clock = new ManualClock(Date.parse(start));
    this.jobs = new MemoryJobs(this.clock);
    this.bus = new MemoryBus(this.store, this.clock);
    this.log = new MemoryNotifier('log', this.clock);
    this.ui = new MemoryNotifier('ui', this.clock);
  }

  /** A domain and an application, each with a contact. */
  async begin(): Promise<void> {
    await this.do('CreateDomain', { domainId: DOMAIN, name: 'Shop', contacts: ['ops@example.org'] });
    const ids = { domainId: DOMAIN, applicationId: APPLICATION };
    await this.do('RegisterApplication', {
      ...ids,
      clientId: 'web',
      name: 'Web',
      contacts: ['web@example.org', 'ops@example.org'],
    });
  }

  async watch(more: Partial<ExpiryWatcherOptions> = {}): Promise<ExpiryWatcher> {
    const { store, jobs, bus, clock, schedule } = this;
    const watcher = new ExpiryWatcher({
      store,
      jobs,
      bus,
      clock,
      schedule,
      notifiers: [this.log, this.ui],
      notifications: {
        enabled: true,
        cronExpression: '0 0 5 * * *',
        timezone: 'UTC',
        expiryThresholds: [20, 15, 10, 5, 1],
      },
      ...more,
    });
    this.watchers.push(watcher);
    await watcher.start();
    await this.settle();
    return watcher;
  }

  async do(type: CommandType, data: object): Promise<CommandReply> {
    const command = { id: randomUUID(), type, data } as CommandEnvelope;
    const caller = { type: 'token', name: 'test', roles: ['admin'], domains: [] } as const;
    const request = {
      command,
      caller: { ...caller, roles: [...caller.roles], domains: [] },
      correlationId: command.id,
    };
    const reply = await this.bus.send(request);
    if (reply.status === 'rejected') throw new RekeyError(reply.error?.code ?? 'internal', reply.error?.message ?? '');
    await this.settle();
    return reply;
  }

  /** A command on the one secret that most tests are about. */
  onSecret(type: CommandType, data: object = {}): Promise<CommandReply> {
    return this.do(type, { domainId: DOMAIN, applicationId: APPLICATION, secretId: SECRET, ...data });
  }

  onApplication(type: CommandType, data: object = {}): Promise<CommandReply> {
    return this.do(type, { domainId: DOMAIN, applicationId: APPLICATION, ...data });
  }

  /** Lets everything that is in hand come to rest: each step of it ends within a turn of the event loop. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 12; turn++) {
      this.clock.advance(0);
      await setImmediate();
    }
  }

  /** Moves time on, in steps, so that what falls due on the way is done on the way. */
  async advance(byMs: number, stepMs = Math.min(byMs, HOUR_MS)): Promise<void> {
    for (let left = byMs; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left));
      await this.settle();
    }
  }

  async advanceTo(instant: Instant, stepMs = HOUR_MS): Promise<void> {
    await this.advance(Date.parse(instant) - this.clock.nowMs(), stepMs);
  }

  /** Ends all watchers as the end of their process does. */
  async stop(): Promise<void> {
    await Promise.all(this.watchers.splice(0).map((watcher) => watcher.stop()));
    await this.jobs.close();
  }

  /** What is on record of an application's secrets, by type. */
  recorded(type: ApplicationEvent['type']): Record<string, unknown>[] {
    const events = this.store.events.filter(
      (event) => event.type === type && event.stream === applicationStream(APPLICATION),
    );
    return events.map(({ data }) => ({ ...data }));
  }
}
