import { SqliteDatabase, SqliteEventStore, SqliteReadModels } from '@rekey/adapters/embedded';
import { MongoDatabase, MongoReadModels, type MongoDatabaseOptions } from '@rekey/adapters/mongodb';
import { SCHEMA_VERSION, VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import {
  application,
  applicationIdOf,
  applicationStream,
  chain,
  domainStream,
  securityDomain,
  type ApplicationCommand,
  type ApplicationEvent,
  type ApplicationState,
  type SecurityDomainCommand,
  type SecurityDomainEvent,
  type SecurityDomainState,
} from '@rekey/domain';
import {
  sha256,
  EngineUnavailable,
  NO_STREAM,
  START,
  SystemClock,
  type EventStore,
  type Position,
  type ReadModels,
  type ViewDocument,
  type ViewIndex,
} from '@rekey/ports';
import { Projections, Projector, type FailedStream, type ProjectorOptions, type ReplayResult } from './index';
import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { eventually, temporaryFolder } from '@rekey/testing';

const DAY_MS = 86_400_000;
const START_MS = Date.parse('2026-01-01T00:00:00.000Z');

/** Returns a generator of pseudo-random numbers (mulberry32). The same seed gives the same numbers. */
export const randomOf = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
};

interface Stream<State, Event> {
  state: State;
  revision: number;
  hash: string;
  evolve: (state: State, event: Event) => State;
}

/**
 * Appends a random but valid history: commands of all types on a few domains and applications, decided by the
 * aggregates, with hash chains.
 */
export class RandomHistory {
  private readonly random: () => number;
  private readonly streams = new Map<string, Stream<never, never>>();
  private nowMs = START_MS;
  /** Position of the last event. */
  position: Position = START;
  count = 0;

  constructor(
    private readonly store: Pick<EventStore, 'append'>,
    seed: number,
    private readonly size = { domains: 3, applications: 4 },
  ) {
    this.random = randomOf(seed);
  }

  /** Appends at least this many events. */
  async more(events: number): Promise<void> {
    for (const until = this.count + events; this.count < until;) await this.step();
  }

  /** Executes one random command and appends its events. A rejected one has none. */
  async step(): Promise<void> {
    this.nowMs += Math.floor(this.random() * DAY_MS);
    const domainId = `domain-${this.below(this.size.domains)}`;
    if (this.random() < 0.12) return this.commandDomain(domainId);
    return this.commandApplication(domainId, `client-${this.below(this.size.applications)}`);
  }

  /** Executes a command on an application. Returns false if it is rejected or changes nothing. */
  async command(command: ApplicationCommand): Promise<boolean> {
    const stream = this.stream(applicationStream(command.data.applicationId), application);
    const domain = this.stream(domainStream(command.data.domainId), securityDomain).state;
    const before = this.count;
    const value = `${this.nowMs}-${before}`;
    try {
      const events = application.decide(command, stream.state, {
        now: this.now(),
        domain,
        secretsMax: 6,
        verifier: {
          verifier: `phc ${value}`,
          lookupId: `lookup ${value}`,
          ...(this.random() < 0.8 && { hint: 'hint' }),
        },
      });
      await this.append(applicationStream(command.data.applicationId), events);
    } catch (error) {
      if ((error as Error).name !== 'DomainError') throw error;
    }
    return this.count > before;
  }

  async commandDomain(domainId: string, given?: SecurityDomainCommand): Promise<void> {
    const stream = this.stream(domainStream(domainId), securityDomain);
    const name = `Domain ${this.below(100)}`;
    const policy = this.random() < 0.5 ? {} : { expiry: { mode: 'after', after: this.duration() } as const };
    const drawn: SecurityDomainCommand[] =
      stream.state.status === 'none'
        ? [{ type: 'CreateDomain', data: { domainId, name } }]
        : [
            { type: 'UpdateDomain', data: { domainId, name } },
            { type: 'UpdateDomain', data: { domainId, contacts: [`ops${this.below(9)}@example.com`] } },
            { type: 'UpdateDomain', data: { domainId, enabled: this.random() < 0.7 } },
            { type: 'ChangeDomainPolicy', data: { domainId, policy } },
            // One domain is never deleted, so that commands remain possible.
            ...(domainId !== 'domain-0' && this.random() < 0.05
              ? [{ type: 'DeleteDomain', data: { domainId } } as const]
              : []),
          ];
    try {
      const command = given ?? this.oneOf(drawn);
      await this.append(domainStream(domainId), securityDomain.decide(command, stream.state, { now: this.now() }));
    } catch (error) {
      if ((error as Error).name !== 'DomainError') throw error;
    }
  }

  private async commandApplication(domainId: string, clientId: string): Promise<void> {
    const applicationId = applicationIdOf(domainId, clientId);
    const ids = { domainId, applicationId };
    const { state } = this.stream(applicationStream(applicationId), application);
    if (state.status === 'none' || state.status === 'deleted') {
      const firstSecret = this.random() < 0.5 ? { secretId: randomUUID(), description: 'first' } : undefined;
      await this.command({
        type: 'RegisterApplication',
        data: { ...ids, clientId, name: `App ${this.below(99)}`, firstSecret },
      });
      return;
    }
    const known = Object.values(state.secrets);
    const secret = known.length > 0 && this.random() < 0.9 ? this.oneOf(known) : undefined;
    const ofSecret = { ...ids, secretId: secret?.secretId ?? randomUUID() };
    const notice = {
      ...ofSecret,
      version: secret?.version ?? 1,
      threshold: this.oneOf([20, 5, 1]),
      channel: this.oneOf(['log', 'ui']),
    };
    const expiry = this.oneOf([{}, { expiresIn: this.duration() }, { expiresAt: null }, { expiresAt: this.later() }]);
    const force = this.random() < 0.5;
    const commands: ApplicationCommand[] = [
      { type: 'UpdateApplication', data: { ...ids, name: `App ${this.below(99)}` } },
      { type: 'UpdateApplication', data: { ...ids, enabled: this.random() < 0.7 } },
      {
        type: 'ChangeApplicationPolicy',
        data: { ...ids, policy: this.oneOf([{ mode: 'inherit' }, { mode: 'never' }] as const) },
      },
      ...(this.random() < 0.1 ? [{ type: 'DeleteApplication', data: ids } as const] : []),
      {
        type: 'AddSecret',
        data: { ...ids, secretId: randomUUID(), description: `secret ${this.below(999)}`, ...expiry, ...this.limits() },
      },
      { type: 'AddSecret', data: { ...ids, secretId: randomUUID(), description: `secret ${this.below(999)}` } },
      {
        type: 'RenewSecret',
        data: { ...ofSecret, ...expiry, ...(this.random() < 0.7 && { overlap: this.duration() }) },
      },
      { type: 'EndOverlap', data: ofSecret },
      { type: 'RevokeSecret', data: { ...ofSecret, force } },
      { type: 'SuspendSecret', data: { ...ofSecret, force, ...(this.random() < 0.5 && { reason: 'why' }) } },
      { type: 'ResumeSecret', data: ofSecret },
      { type: 'UpdateSecret', data: { ...ofSecret, description: `other ${this.below(999)}` } },
      { type: 'UpdateSecret', data: { ...ofSecret, ...this.limits() } },
      { type: 'ExpireSecret', data: { ...ofSecret, version: notice.version } },
      { type: 'RecordNoticeSent', data: { ...notice, recipients: this.below(4) } },
      { type: 'RecordNoticeFailed', data: { ...notice, cause: 'no answer' } },
      { type: 'RetryNotice', data: notice },
      { type: 'AcknowledgeNotice', data: notice },
    ];
    await this.command(this.oneOf(commands));
  }

  private async append(name: string, events: readonly (ApplicationEvent | SecurityDomainEvent)[]): Promise<void> {
    if (events.length === 0) return;
    const stream = this.streams.get(name) as Stream<unknown, unknown> | undefined;
    if (!stream) throw new Error(`Unknown stream ${name}.`);
    const commandId = randomUUID();
    const stored = events.map(({ type, data }, index) => {
      const eventId = randomUUID();
      const event = {
        stream: name,
        revision: stream.revision + 1 + index,
        eventId,
        type,
        data: data as Record<string, unknown>,
      };
      const actor = { type: 'token', id: `actor ${this.below(3)}` } as const;
      const about = {
        commandId,
        correlationId: commandId,
        causationId: commandId,
        actor,
        occurredAt: this.now(),
        schemaVersion: SCHEMA_VERSION,
      };
      const { metadata } = chain(event, about, stream.hash, sha256);
      stream.hash = metadata.hash;
      return { eventId, type, data: event.data, metadata };
    });
    const { position } = await this.store.append(name, stream.revision, stored);
    stored.forEach((event, index) => {
      stream.state = stream.evolve(stream.state, { ...event, revision: stream.revision + 1 + index });
    });
    stream.revision += stored.length;
    this.position = position;
    this.count += stored.length;
  }

  private stream<State, Event>(
    name: string,
    decider: { readonly initial: State; readonly evolve: (state: State, event: Event) => State },
  ): Stream<State, Event> {
    const known = this.streams.get(name) as unknown as Stream<State, Event> | undefined;
    if (known) return known;
    const made = { state: decider.initial, revision: NO_STREAM, hash: '', evolve: decider.evolve };
    this.streams.set(name, made as never);
    return made;
  }

  /** Returns the current states of the aggregates. */
  states(): { applications: ApplicationState[]; domains: SecurityDomainState[] } {
    const of = (prefix: string) =>
      [...this.streams].filter(([name]) => name.startsWith(prefix)).map(([, { state }]) => state);
    return { applications: of('application-'), domains: of('domain-') };
  }

  private now(): string {
    return new Date(this.nowMs).toISOString();
  }

  private later(): string {
    return new Date(this.nowMs + Math.ceil(this.random() * 100) * DAY_MS).toISOString();
  }

  private duration() {
    return { amount: 1 + this.below(60), unit: 'days' } as const;
  }

  private limits() {
    const allowedCidrs = this.random() < 0.3 ? ['10.0.0.0/8'] : [];
    return { allowedCidrs, ...(this.random() < 0.3 && { notBefore: this.later() }) };
  }

  private below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  private oneOf<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}

export const VIEW_NAMES = Object.keys(VIEW_VERSIONS) as ViewName[];

interface Place {
  /** Folder of the SQLite file. */
  readonly folder: string;
  readonly views: MongoDatabaseOptions | undefined;
}

/** Event store and read models in a temporary folder. */
export class TestStores {
  private constructor(
    private readonly place: Place,
    readonly database: SqliteDatabase,
    readonly store: SqliteEventStore,
    readonly readModels: ReadModels,
    private readonly removed: () => Promise<void>,
  ) {}

  /** Opens an event store in SQLite, and read models in SQLite or in a new database on the given MongoDB server. */
  static async open(mongodb?: string): Promise<TestStores> {
    const folder = temporaryFolder();
    const views = mongodb === undefined ? undefined : { uri: mongodb, database: `rekey-test-${randomUUID()}` };
    return TestStores.on({ folder: folder.path, views }, async () => {
      folder.remove();
      if (!views) return;
      const client = new MongoClient(views.uri);
      await client.db(views.database).dropDatabase();
      await client.close();
    });
  }

  /** Opens the same stores with other connections, as another process would. Remove these first. */
  beside(): Promise<TestStores> {
    return TestStores.on(this.place, () => Promise.resolve());
  }

  private static async on(place: Place, removed: () => Promise<void>): Promise<TestStores> {
    const database = await SqliteDatabase.open(place.folder);
    const store = await SqliteEventStore.open(database, new SystemClock());
    if (!place.views) return new TestStores(place, database, store, await SqliteReadModels.open(database), removed);
    const server = new MongoDatabase(place.views);
    return new TestStores(place, database, store, new MongoReadModels(server), async () => {
      await server.close();
      await removed();
    });
  }

  /** Returns a projector on these stores, not started. */
  projector(more: Partial<ProjectorOptions> = {}): Projector {
    const { store, readModels } = this;
    return new Projector({ store, readModels, clock: new SystemClock(), name: 'tests', ...more });
  }

  /** Returns the operations on the projections. */
  projections(more: Partial<ConstructorParameters<typeof Projections>[0]> = {}): Projections {
    const { store, readModels } = this;
    return new Projections({ store, readModels, clock: new SystemClock(), ...more });
  }

  /** Starts a new build of a view. Returns its name. */
  rebuild(view: ViewName): Promise<string> {
    return this.projections().rebuild(view, 'tests');
  }

  /** Returns every event that could not be folded, of all builds. */
  async failed(): Promise<readonly FailedStream[]> {
    return (await this.projections().failed({ limit: 1_000 })).items;
  }

  /** Replays a parked stream and returns the result. */
  async replay(view: ViewName, stream: string): Promise<ReplayResult | undefined> {
    return (await this.projections().replay(view, stream, 'tests', 20_000)).builds[0]?.result;
  }

  /** Resolves when the active build of a view is at or past a position. */
  async reached(view: ViewName, position: Position): Promise<void> {
    await eventually(async () => {
      const pointer = await this.readModels.pointer(view);
      if (!pointer) return false;
      return this.readModels.reached(pointer.collection, position, 2_000);
    });
  }

  async allReached(position: Position): Promise<void> {
    await Promise.all(VIEW_NAMES.map((view) => this.reached(view, position)));
  }

  /** Returns all documents of a collection, by id. */
  async documents(collection: string): Promise<Map<string, ViewDocument>> {
    const found = await this.readModels.find(collection, { limit: 100_000 });
    return new Map(found.map((document) => [document._id, document]));
  }

  /** Returns all documents of the active build of a view, by id. */
  async active(view: ViewName): Promise<Map<string, ViewDocument>> {
    return this.documents((await this.readModels.pointer(view))?.collection ?? '');
  }

  async remove(): Promise<void> {
    await this.readModels.close();
    await this.store.close();
    await this.database.close();
    await this.removed();
  }
}

/** A clock that runs faster, for waits of many seconds. */
export class FastClock extends SystemClock {
  constructor(private readonly factor: number) {
    super();
  }

  override monotonicMs(): number {
    return super.monotonicMs() * this.factor;
  }

  override schedule(delayMs: number, run: () => void): () => void {
    return super.schedule(delayMs / this.factor, run);
  }
}

type Method = (...given: unknown[]) => Promise<unknown>;

/** Returns a proxy of an object that passes every method call through a function. */
export const through = <T extends object>(
  target: T,
  around: (name: string, call: () => Promise<unknown>) => unknown,
): T =>
  new Proxy(target, {
    get: (_, name) => {
      const held: unknown = Reflect.get(target, name);
      if (typeof held !== 'function') return held;
      // A subscription itself waits for an unavailable store.
      if (name === 'subscribe') return held.bind(target) as unknown;
      const method = held as Method;
      return (...given: unknown[]) => around(String(name), () => method.apply(target, given));
    },
  });

/** Returns an engine that is sometimes unavailable, before or after it has executed a call. */
export const flaky = <T extends object>(target: T, random: () => number, share: number): T =>
  through(target, async (_, call) => {
    if (random() < share) throw new EngineUnavailable('test engine');
    const result = await call();
    if (random() < share) throw new EngineUnavailable('test engine');
    return result;
  });

/** Blocks calls of some methods while it is closed. */
export class Gate {
  private opened: Promise<void> = Promise.resolve();
  private open_: () => void = () => undefined;
  /** Number of blocked calls. */
  held = 0;

  close(): void {
    this.opened = new Promise((resolve) => (this.open_ = resolve));
  }

  open(): void {
    this.open_();
  }

  on<T extends object>(target: T, methods: readonly string[]): T {
    return through(target, async (name, call) => {
      if (methods.includes(name)) {
        this.held += 1;
        await this.opened;
        this.held -= 1;
      }
      return call();
    });
  }
}

/** Returns a backup of a build that can be restored later. */
export const copyOf = async ({ readModels }: TestStores, collection: string, indexes: readonly ViewIndex[]) => {
  // The record is read first: after a crash, documents can be newer than the checkpoint but not older.
  const build = (await readModels.builds()).find((one) => one.collection === collection);
  const documents = await readModels.find(collection, { limit: 100_000 });
  return {
    putBack: async (): Promise<void> => {
      if (!build) return;
      await readModels.dropBuild(collection);
      await readModels.createBuild(build, indexes);
      await readModels.put(collection, documents);
    },
  };
};
