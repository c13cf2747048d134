import { SqliteDatabase, SqliteEventStore, SqliteReadModels } from '@rekey/adapters/embedded';
import type { ViewName } from '@rekey/contracts';
import { CHAIN_START, checkLink, type ChainPlace } from '@rekey/domain';
import {
  sha256,
  START,
  SystemClock,
  type EventStore,
  type Position,
  type ReadModels,
  type StoredEvent,
} from '@rekey/ports';
import { VIEWS, decoded, foldEvents } from '@rekey/read-models';
import { eventually } from '@rekey/testing';
import { isDeepStrictEqual } from 'node:util';
import type { Client } from './client.testing';
import type { Load, SentCommand } from './load.testing';

const PAGE = 200;
const ALL = 1_000_000;

type Told = Omit<StoredEvent, 'data'> & { readonly data: Readonly<Record<string, unknown>> };

/**
 * Reads the history as auditors read it, and goes on where it was, so that what it has seen once can be held against
 * what is there later. Walks the hash chains on its way.
 */
export class HistoryReader {
  readonly events: Told[] = [];
  readonly problems: string[] = [];
  private readonly places = new Map<string, ChainPlace>();
  private readonly commands = new Map<string, Told[]>();
  /** By stream: the commands that wrote to it, in order. */
  private readonly writers = new Map<string, string[]>();
  private judged = 0;

  /** Begins after a position: what is before is somebody else's. */
  constructor(private readonly after: Position = START) {}

  /** Takes in what has happened since. */
  async readOn(client: Client): Promise<void> {
    for (let items: Told[] = []; ;) {
      const after = this.events.at(-1)?.position ?? this.after;
      const target = `/history?limit=${PAGE}${after === START ? '' : `&after=${after}`}`;
      ({ items } = (await client.ask({ method: 'GET', target })).body);
      for (const event of items) this.take(event);
      if (items.length < PAGE) return;
    }
  }

  private take(event: Told): void {
    const { stream, metadata } = event;
    const { place, broken } = checkLink(
      { ...event, metadata: { ...metadata } },
      this.places.get(stream) ?? CHAIN_START,
      sha256,
    );
    if (broken) this.problems.push(`the chain of ${stream} is broken at ${broken.revision}: ${broken.cause}`);
    this.places.set(stream, place);
    this.events.push(event);
    const { commandId } = metadata;
    const known = this.commands.get(commandId);
    if (known) known.push(event);
    else {
      this.commands.set(commandId, [event]);
      const writers = this.writers.get(stream);
      if (writers) writers.push(commandId);
      else this.writers.set(stream, [commandId]);
    }
  }

  /** How many commands wrote to the same stream after this one; undefined where it made no event. */
  writtenSince({ reply }: SentCommand): number | undefined {
    const commandId = String(reply?.headers['rekey-command-id']);
    const [event] = this.commands.get(commandId) ?? [];
    const writers = event && this.writers.get(event.stream);
    return writers && writers.length - 1 - writers.lastIndexOf(commandId);
  }

  /** Holds the commands that were settled since the last time against what was read: each once, whole, and no others. */
  judge({ settled }: Load): void {
    for (const command of settled.slice(this.judged)) this.judgeOne(command);
    this.judged = settled.length;
    const told = new Set(settled.map(({ reply }) => reply?.headers['rekey-command-id']));
    for (const [commandId, [event]] of this.commands)
      if (event?.metadata.actor.type === 'token' && !told.has(commandId) && event.type !== 'DomainCreated')
        this.problems.push(
          `${event.type} at ${event.stream}/${event.revision} comes from no command that was accepted`,
        );
  }

  private judgeOne({ key, plan, reply, accepted }: SentCommand): void {
    if (!reply || !accepted) return;
    const events = this.commands.get(String(reply.headers['rekey-command-id'])) ?? [];
    const types = events.map(({ type }) => type);
    if (!isDeepStrictEqual(types, plan.events))
      this.problems.push(`${key} ${plan.method} ${plan.target} has made [${types}] instead of [${plan.events}]`);
    if (events.length === 0) return;
    if (new Set(events.map(({ stream }) => stream)).size > 1) this.problems.push(`${key} is in several streams`);
    // Of a command that came again it is the position of the stream's last event.
    if (String(reply.headers['rekey-position']) < (events.at(-1)?.position ?? START))
      this.problems.push(`${key} was told a position before its events`);
    const made = reply.body?.firstSecret ?? reply.body;
    const value = made?.secret === undefined ? undefined : events.find(({ data }) => 'verifierDigest' in data);
    if (value && (value.data['secretId'] !== made.id || value.data['hint'] !== String(made.secret).slice(-4)))
      this.problems.push(`${key} was handed a value that is not the one of its event`);
  }

  /** Holds all that was ever read against the history as it is now. */
  async compareWhole(client: Client): Promise<void> {
    const { text } = await client.ask({
      method: 'GET',
      target: '/history',
      headers: { accept: 'application/x-ndjson' },
    });
    const told = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Told);
    const ours = told.filter(({ position }) => position > this.after);
    const lost = this.events.findIndex((event, index) => !isDeepStrictEqual(ours[index], event));
    if (lost >= 0)
      this.problems.push(`event ${lost} of the history is another one than before: ${this.events[lost]?.position}`);
  }
}

/** The stores of a folder, beside whoever else has them open. */
export class OpenStores {
  private constructor(
    readonly database: SqliteDatabase,
    readonly store: SqliteEventStore,
    readonly readModels: SqliteReadModels,
  ) {}

  static async open(folder: string): Promise<OpenStores> {
    const database = await SqliteDatabase.open(folder);
    const store = await SqliteEventStore.open(database, new SystemClock());
    return new OpenStores(database, store, await SqliteReadModels.open(database));
  }

  async close(): Promise<void> {
    await this.readModels.close();
    await this.store.close();
    await this.database.close();
  }
}

type Stores = { readonly store: EventStore; readonly readModels: ReadModels };

/** Where each view's active build stands; undefined: it has none. */
const checkpointOf = async ({ readModels }: Stores, view: ViewName): Promise<Position | undefined> => {
  const pointer = await readModels.pointer(view);
  const builds = await readModels.builds(view);
  return builds.find(({ collection }) => collection === pointer?.collection)?.checkpoint;
};

/** Resolves when all views are where the store is, and the store rests. */
const caughtUp = async (stores: Stores): Promise<Position> => {
  let head = START;
  await eventually(async () => {
    head = await stores.store.head();
    const checkpoints = await Promise.all(VIEWS.map(({ name }) => checkpointOf(stores, name)));
    return checkpoints.every((checkpoint) => checkpoint === head);
  });
  return head;
};

/**
 * What the documents of the views differ in from those that all events, folded from zero, come to: one line each, none
 * where all is as it should be. Waits until the views have caught up, so somebody has to project.
 */
export const differences = async (stores: Stores): Promise<string[]> => {
  const { store, readModels } = stores;
  for (;;) {
    const head = await caughtUp(stores);
    const events = (await store.readFeed({ after: START, limit: ALL })).map(decoded);
    const found: string[] = [];
    for (const view of VIEWS) {
      const { changed, failures } = foldEvents(view, new Map(), events);
      const collection = (await readModels.pointer(view.name))?.collection ?? '';
      const live = new Map((await readModels.find(collection, { limit: ALL })).map((each) => [each._id, each]));
      for (const stream of failures.keys()) found.push(`${view.name}: ${stream} cannot be folded`);
      for (const id of new Set([...changed.keys(), ...live.keys()]))
        if (!isDeepStrictEqual(plain(live.get(id)), plain(changed.get(id)))) found.push(`${view.name}: ${id} differs`);
    }
    // Where something has happened meanwhile, it was compared with something else.
    if ((await store.head()) === head) return found;
  }
};

/** As it is stored: without what JSON leaves out. */
const plain = (document: unknown): unknown => (document === undefined ? null : JSON.parse(JSON.stringify(document)));
