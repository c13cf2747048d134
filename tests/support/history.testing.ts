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
import { VIEWS, decodeStored, foldEvents } from '@rekey/read-models';
import { eventually } from '@rekey/testing';
import { isDeepStrictEqual } from 'node:util';
import type { Client } from './client.testing';
import type { Load, SentCommand } from './load.testing';

const PAGE = 200;
const ALL = 1_000_000;

type HistoryEvent = Omit<StoredEvent, 'data'> & { readonly data: Readonly<Record<string, unknown>> };

/**
 * Reads the history through the API, page by page from where it stopped, and verifies the hash chains. Keeps the events,
 * so that they can be compared with the history as it is later.
 */
export class HistoryReader {
  readonly events: HistoryEvent[] = [];
  readonly problems: string[] = [];
  private readonly places = new Map<string, ChainPlace>();
  private readonly commands = new Map<string, HistoryEvent[]>();
  /** By stream: ids of the commands that wrote to it, in order. */
  private readonly writers = new Map<string, string[]>();
  private judged = 0;

  /** Ignores events up to a position; they belong to other tests. */
  constructor(private readonly after: Position = START) {}

  /** Reads the events since the last call. */
  async readNew(client: Client): Promise<void> {
    for (let items: HistoryEvent[] = []; ;) {
      const after = this.events.at(-1)?.position ?? this.after;
      const target = `/history?limit=${PAGE}${after === START ? '' : `&after=${after}`}`;
      ({ items } = (await client.ask({ method: 'GET', target })).body);
      for (const event of items) this.take(event);
      if (items.length < PAGE) return;
    }
  }

  private take(event: HistoryEvent): void {
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

  /** Returns how many commands wrote to the same stream after this one, or undefined if it appended no event. */
  writtenSince({ reply }: SentCommand): number | undefined {
    const commandId = String(reply?.headers['rekey-command-id']);
    const [event] = this.commands.get(commandId) ?? [];
    const writers = event && this.writers.get(event.stream);
    return writers && writers.length - 1 - writers.lastIndexOf(commandId);
  }

  /** Compares commands settled since the last call with the events read: each is there once, completely, and no others are. */
  judge({ settled }: Load): void {
    for (const command of settled.slice(this.judged)) this.judgeOne(command);
    this.judged = settled.length;
    const told = new Set(settled.map(({ reply }) => reply?.headers['rekey-command-id']));
    for (const [commandId, [event]] of this.commands)
      if (event?.metadata.actor.type === 'token' && !told.has(commandId) && event.type !== 'DomainCreated')
        this.problems.push(`${event.type} at ${event.stream}/${event.revision} comes from no accepted command`);
  }

  private judgeOne({ key, plan, reply, accepted }: SentCommand): void {
    if (!reply || !accepted) return;
    const events = this.commands.get(String(reply.headers['rekey-command-id'])) ?? [];
    const types = events.map(({ type }) => type);
    if (!isDeepStrictEqual(types, plan.events))
      this.problems.push(`${key} ${plan.method} ${plan.target} appended [${types}] instead of [${plan.events}]`);
    if (events.length === 0) return;
    if (new Set(events.map(({ stream }) => stream)).size > 1) this.problems.push(`${key} wrote to several streams`);
    // For a repeated command it is the position of the stream's last event.
    if (String(reply.headers['rekey-position']) < (events.at(-1)?.position ?? START))
      this.problems.push(`${key} was answered with a position before that of its events`);
    const made = reply.body?.firstSecret ?? reply.body;
    const value = made?.secret === undefined ? undefined : events.find(({ data }) => 'verifierDigest' in data);
    if (value && (value.data['secretId'] !== made.id || value.data['hint'] !== String(made.secret).slice(-4)))
      this.problems.push(`${key} was answered with a value that does not match its event`);
  }

  /** Compares all events read so far with the whole history as it is now. */
  async compareWhole(client: Client): Promise<void> {
    const { text } = await client.ask({
      method: 'GET',
      target: '/history',
      headers: { accept: 'application/x-ndjson' },
    });
    const told = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as HistoryEvent);
    const ours = told.filter(({ position }) => position > this.after);
    const lost = this.events.findIndex((event, index) => !isDeepStrictEqual(ours[index], event));
    if (lost >= 0) this.problems.push(`event ${lost} of the history has changed: ${this.events[lost]?.position}`);
  }
}

/** A second set of connections to the SQLite stores of a folder. */
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

/** Returns the checkpoint of a view's active build; undefined if there is none. */
const checkpointOf = async ({ readModels }: Stores, view: ViewName): Promise<Position | undefined> => {
  const pointer = await readModels.pointer(view);
  const builds = await readModels.builds(view);
  return builds.find(({ collection }) => collection === pointer?.collection)?.checkpoint;
};

/** Resolves with the head of the store once all views have reached it. */
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
 * Compares the documents of all views with the fold of all events. Returns one line per difference. Waits until the
 * views have caught up, so a projector must be running.
 */
export const differences = async (stores: Stores): Promise<string[]> => {
  const { store, readModels } = stores;
  for (;;) {
    const head = await caughtUp(stores);
    const events = (await store.readFeed({ after: START, limit: ALL })).map(decodeStored);
    const found: string[] = [];
    for (const view of VIEWS) {
      const { changed, failures } = foldEvents(view, new Map(), events);
      const collection = (await readModels.pointer(view.name))?.collection ?? '';
      const live = new Map((await readModels.find(collection, { limit: ALL })).map((each) => [each._id, each]));
      for (const stream of failures.keys()) found.push(`${view.name}: ${stream} cannot be folded`);
      for (const id of new Set([...changed.keys(), ...live.keys()]))
        if (!isDeepStrictEqual(plain(live.get(id)), plain(changed.get(id)))) found.push(`${view.name}: ${id} differs`);
    }
    // Events appended meanwhile make the comparison meaningless: compare again.
    if ((await store.head()) === head) return found;
  }
};

/** Returns a document as it is stored, without undefined fields. */
const plain = (document: unknown): unknown => (document === undefined ? null : JSON.parse(JSON.stringify(document)));
