import type { EventMetadata } from '@rekey/domain';
import { randomUUID } from 'node:crypto';
import {
  EngineUnavailable,
  type EventBatch,
  type EventStore,
  NO_STREAM,
  type NewEvent,
  type Position,
  START,
  type StoredEvent,
  WrongRevision,
} from '../event-store';

/** A store for one test. It may hold events of earlier tests. */
export interface EventStoreUnderTest {
  readonly store: EventStore;
  /** Opens another connection to the same events, like another replica. */
  readonly another?: () => Promise<EventStore>;
  /** Closes `store` and opens its events again. */
  readonly reopen?: () => Promise<EventStore>;
  /** Closes all connections and deletes the events. */
  readonly close: () => Promise<void>;
}

/** An event to append. Its hashes are not chained. */
export const exampleEvent = (data: Readonly<Record<string, unknown>> = {}, type = 'SecretAdded'): NewEvent => ({
  eventId: randomUUID(),
  type,
  data,
  metadata: exampleMetadata(),
});

const exampleMetadata = (): EventMetadata => ({
  commandId: randomUUID(),
  correlationId: randomUUID(),
  causationId: randomUUID(),
  actor: { type: 'token', id: 'test' },
  occurredAt: '2026-01-02T03:04:05.678Z',
  schemaVersion: 1,
  previousHash: 'a'.repeat(64),
  hash: 'b'.repeat(64),
});

export const exampleEvents = (count: number): NewEvent[] =>
  Array.from({ length: count }, (_, number) => exampleEvent({ number }));

export const exampleStream = (prefix = 'application'): string => `${prefix}-${randomUUID()}`;

const ids = (events: readonly { eventId: string }[]): string[] => events.map(({ eventId }) => eventId);

/** Reads batches until they hold a number of events and, if requested, until one is `caughtUp`. */
export const collectBatches = async (
  store: EventStore,
  options: { after: Position; batchSize?: number; count: number; caughtUp?: boolean },
): Promise<EventBatch[]> => {
  const { after, batchSize = 100, count, caughtUp = false } = options;
  const ending = new AbortController();
  const batches: EventBatch[] = [];
  let seen = 0;
  for await (const batch of store.subscribe({ after, batchSize, signal: ending.signal })) {
    batches.push(batch);
    seen += batch.events.length;
    if (seen >= count && (batch.caughtUp || !caughtUp)) ending.abort();
  }
  return batches;
};

const collect = async (store: EventStore, after: Position, count: number, batchSize = 100): Promise<StoredEvent[]> =>
  (await collectBatches(store, { after, count, batchSize })).flatMap(({ events }) => events);

/** Conformance suite of `EventStore`. `make` returns a new connection for each test. */
export const eventStoreConformance = (name: string, make: () => Promise<EventStoreUnderTest>): void => {
  describe(`${name} as an EventStore`, () => {
    let made: EventStoreUnderTest;
    let store: EventStore;
    let start: Position;
    const anotherOrSame = async (): Promise<EventStore> => (await made.another?.()) ?? store;

    beforeEach(async () => {
      made = await make();
      store = made.store;
      start = await store.head();
    });
    afterEach(() => made.close());

    const wrongRevision = async (work: Promise<unknown>): Promise<WrongRevision> => {
      const error = await work.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (!(error instanceof WrongRevision)) throw new Error('Not refused as a wrong revision.', { cause: error });
      return error;
    };

    describe('append', () => {
      it('creates and extends a stream, and returns revision and position of the last event', async () => {
        const stream = exampleStream();
        const first = await store.append(stream, NO_STREAM, exampleEvents(3));
        const second = await store.append(stream, 2, exampleEvents(1));
        expect([first.revision, second.revision]).toEqual([2, 3]);
        const read = await store.readStream(stream);
        expect(read.map(({ revision }) => revision)).toEqual([0, 1, 2, 3]);
        expect([read[2]?.position, read[3]?.position]).toEqual([first.position, second.position]);
      });

      it('returns events as they were written, including the order of keys', async () => {
        const stream = exampleStream('domain');
        const data = {
          zebra: 'ä \u{1f511} \u2028 "quoted" \\ \n',
          apple: [1, 2.5, -0.001, 1e21, Number.MAX_SAFE_INTEGER, true, false, null, '', [], {}],
          nested: { b: { a: null }, '': 'empty key', __proto: 'x' },
          instant: '2026-01-02T03:04:05.678Z',
        };
        const event = exampleEvent(data, 'PolicyChanged');
        const { position } = await store.append(stream, NO_STREAM, [event]);
        const [read] = await store.readStream(stream);
        expect(read).toEqual({ ...event, stream, revision: 0, position });
        expect(JSON.stringify(read?.data)).toBe(JSON.stringify(data));
        expect(JSON.stringify(read?.metadata)).toBe(JSON.stringify(event.metadata));
      });

      it('throws WrongRevision for an expected revision that is too low or too high, and appends nothing', async () => {
        const stream = exampleStream();
        const before = exampleEvents(3);
        await store.append(stream, NO_STREAM, before);
        for (const expected of [NO_STREAM, 0, 1, 3, 100]) {
          const error = await wrongRevision(store.append(stream, expected, exampleEvents(2)));
          expect(error).toMatchObject({ stream, expected, actual: 2 });
        }
        const missing = exampleStream();
        const error = await wrongRevision(store.append(missing, 0, exampleEvents(1)));
        expect(error).toMatchObject({ stream: missing, expected: 0, actual: NO_STREAM });
        expect(ids(await store.readStream(stream))).toEqual(ids(before));
        expect(await store.readStream(missing)).toEqual([]);
      });

      it('refuses an append without events', async () => {
        await expect(store.append(exampleStream(), NO_STREAM, [])).rejects.toThrow();
      });

      it('lets exactly one of many concurrent writers append, with all of its events', async () => {
        const stream = exampleStream();
        const stores = [store, await anotherOrSame()];
        for (const expected of [NO_STREAM, 2, 5]) {
          const tries = Array.from({ length: 20 }, () => exampleEvents(3));
          const results = await Promise.allSettled(
            tries.map((events, index) => (stores[index % 2] as EventStore).append(stream, expected, events)),
          );
          const winners = tries.filter((_, index) => results[index]?.status === 'fulfilled');
          expect(winners).toHaveLength(1);
          for (const result of results)
            if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(WrongRevision);
          expect(ids(await store.readStream(stream, expected + 1))).toEqual(ids(winners[0] ?? []));
        }
      });

      it('gives a repeated append the same answer, also after later events', async () => {
        const stream = exampleStream();
        const first = exampleEvents(2);
        const second = exampleEvents(1);
        const answers = [await store.append(stream, NO_STREAM, first), await store.append(stream, 1, second)];
        await store.append(stream, 2, exampleEvents(2));
        await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
        const other = await anotherOrSame();
        expect(await store.append(stream, NO_STREAM, first)).toEqual(answers[0]);
        expect(await other.append(stream, 1, second)).toEqual(answers[1]);
        expect(await store.readStream(stream)).toHaveLength(5);
      });

      it('appends events once when they are sent twice at the same time', async () => {
        const stream = exampleStream();
        const events = exampleEvents(2);
        const other = await anotherOrSame();
        const send = (from: EventStore) => from.append(stream, NO_STREAM, events);
        const answers = await Promise.all([send(store), send(other), send(store), send(other)]);
        expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
        expect(ids(await store.readStream(stream))).toEqual(ids(events));
      });

      it('refuses a repeated append that differs', async () => {
        const stream = exampleStream();
        const [first, second] = exampleEvents(2) as [NewEvent, NewEvent];
        await store.append(stream, NO_STREAM, [first, second]);
        await wrongRevision(store.append(stream, NO_STREAM, [first, exampleEvent()]));
        await wrongRevision(store.append(stream, NO_STREAM, [second, first]));
        await wrongRevision(store.append(stream, NO_STREAM, [first, second, exampleEvent()]));
        expect(ids(await store.readStream(stream))).toEqual(ids([first, second]));
      });
    });

    describe('reading', () => {
      it('reads a long stream in order from any revision, and nothing from a missing stream', async () => {
        const stream = exampleStream();
        const events = exampleEvents(1_200);
        await store.append(stream, NO_STREAM, events.slice(0, 700));
        await store.append(stream, 699, events.slice(700));
        expect(ids(await store.readStream(stream))).toEqual(ids(events));
        expect(ids(await store.readStream(stream, 1_195))).toEqual(ids(events.slice(1_195)));
        expect(ids(await store.readStream(stream, 10, 5))).toEqual(ids(events.slice(10, 15)));
        expect(await store.readStream(stream, 1_200)).toEqual([]);
        expect(await store.readStream(exampleStream())).toEqual([]);
      });

      it('reads what another connection has just appended', async () => {
        const other = await anotherOrSame();
        const stream = exampleStream();
        for (let round = 0; round < 20; round++) {
          const { position } = await store.append(stream, round - 1, exampleEvents(1));
          expect((await other.readStream(stream)).at(-1)?.position).toBe(position);
        }
      });

      it('pages through the feed in the order of positions, which sort as text', async () => {
        const streams = [exampleStream(), exampleStream('domain'), exampleStream()];
        const appended: string[] = [];
        for (let round = 0; round < 8; round++)
          for (const stream of streams) {
            const events = exampleEvents(2);
            await store.append(stream, round * 2 - 1, events);
            appended.push(...ids(events));
          }
        const read: StoredEvent[] = [];
        for (;;) {
          const page = await store.readFeed({ after: read.at(-1)?.position ?? start, limit: 7 });
          expect(page.length).toBeLessThanOrEqual(7);
          if (page.length === 0) break;
          read.push(...page);
        }
        expect(ids(read)).toEqual(appended);
        const positions = read.map(({ position }) => position);
        expect(positions).toEqual([...new Set(positions)].sort());
        expect(new Set(positions.map((position) => position.length)).size).toBe(1);
        expect(await store.readFeed({ limit: 1 })).toHaveLength(1);
      });

      it('has only application and domain streams in the feed', async () => {
        const outside = exampleStream('other');
        const inside = exampleStream();
        await store.append(outside, NO_STREAM, exampleEvents(2));
        const { position } = await store.append(inside, NO_STREAM, exampleEvents(1));
        await store.append(outside, 1, exampleEvents(1));
        const page = await store.readFeed({ after: start, limit: 10 });
        expect(page.map(({ stream }) => stream)).toEqual([inside]);
        expect(await store.head()).toBe(position);
        expect(await store.readStream(outside)).toHaveLength(3);
      });

      it('returns the head of the feed', async () => {
        const other = await anotherOrSame();
        expect(start >= START).toBe(true);
        let last = start;
        for (let round = 0; round < 5; round++) {
          const { position } = await store.append(exampleStream(), NO_STREAM, exampleEvents(2));
          expect(position > last).toBe(true);
          expect([await store.head(), await other.head()]).toEqual([position, position]);
          last = position;
        }
      });
    });

    describe('subscribe', () => {
      it('catches up and goes live without gaps during appends', async () => {
        const stores = [store, await anotherOrSame()];
        const sizeOf = (writer: number, append: number) => 1 + ((writer * 7 + append * 3) % 4);
        const write = async (writer: number, appends: number): Promise<number> => {
          const stream = exampleStream();
          let revision = NO_STREAM;
          for (let append = 0; append < appends; append++) {
            const events = exampleEvents(sizeOf(writer, append));
            ({ revision } = await (stores[writer % 2] as EventStore).append(stream, revision, events));
          }
          return revision + 1;
        };
        const writers = [0, 1, 2, 3, 4, 5, 6, 7];
        const before = await Promise.all(writers.map((writer) => write(writer, 10)));
        const meanwhile = writers.flatMap((writer) =>
          Array.from({ length: 40 }, (_, append) => sizeOf(writer, append)),
        );
        const total = [...before, ...meanwhile].reduce((sum, size) => sum + size, 0);
        const writing = Promise.all(writers.map((writer) => write(writer, 40)));
        const following = stores.map((each, index) => collect(each, start, total, 17 + index));
        await writing;
        const all = await store.readFeed({ after: start, limit: 100_000 });
        expect(all).toHaveLength(total);
        for (const seen of await Promise.all(following)) expect(ids(seen)).toEqual(ids(all));
        const next = new Map<string, number>();
        for (const { stream, revision } of all) {
          expect(revision).toBe(next.get(stream) ?? 0);
          next.set(stream, revision + 1);
        }
      });

      it('starts after the given position, exclusive', async () => {
        const stream = exampleStream();
        await store.append(stream, NO_STREAM, exampleEvents(5));
        const events = await store.readStream(stream);
        const seen = await collect(store, events[1]?.position ?? START, 3);
        expect(seen).toEqual(events.slice(2));
      });

      it('returns batches up to the given size, none empty except a first one that is caught up', async () => {
        await store.append(exampleStream(), NO_STREAM, exampleEvents(25));
        const batches = await collectBatches(store, { after: start, batchSize: 10, count: 25, caughtUp: true });
        for (const { events } of batches) expect(events.length).toBeLessThanOrEqual(10);
        expect(batches.flatMap(({ events }) => events)).toHaveLength(25);
        const empty = batches.filter(({ events }) => events.length === 0);
        for (const { caughtUp } of empty) expect(caughtUp).toBe(true);
      });

      it('reports caughtUp only at the end of the feed, also when the last batch is full', async () => {
        await store.append(exampleStream(), NO_STREAM, exampleEvents(20));
        const batches = await collectBatches(store, { after: start, batchSize: 5, count: 20, caughtUp: true });
        let seen = 0;
        for (const { events, caughtUp } of batches) {
          seen += events.length;
          if (caughtUp) expect(seen).toBe(20);
        }
        expect(batches.at(-1)?.caughtUp).toBe(true);
      });

      it('reports caughtUp for an empty feed', async () => {
        await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
        const batches = await collectBatches(store, { after: await store.head(), count: 0, caughtUp: true });
        expect(batches).toEqual([{ events: [], caughtUp: true }]);
      });

      it('waits for a slow consumer, which misses nothing', async () => {
        const stream = exampleStream();
        let revision = NO_STREAM;
        const grow = async () => ({ revision } = await store.append(stream, revision, exampleEvents(3)));
        await grow();
        const ending = new AbortController();
        const seen: StoredEvent[] = [];
        for await (const { events } of store.subscribe({ after: start, batchSize: 2, signal: ending.signal })) {
          seen.push(...events);
          if (seen.length < 20) await grow();
          if (seen.length > revision) ending.abort();
        }
        expect(seen).toEqual(await store.readStream(stream));
      });

      it('serves several subscriptions independently', async () => {
        const following = Array.from({ length: 5 }, (_, index) => collect(store, start, 30, 3 + index));
        for (let round = 0; round < 10; round++) await store.append(exampleStream(), NO_STREAM, exampleEvents(3));
        const expected = await store.readFeed({ after: start, limit: 100 });
        for (const seen of await Promise.all(following)) expect(seen).toEqual(expected);
      });

      it('returns events that another connection appends', async () => {
        const other = await anotherOrSame();
        const following = collect(store, start, 10);
        for (let round = 0; round < 10; round++) await other.append(exampleStream(), NO_STREAM, exampleEvents(1));
        expect(await following).toEqual(await other.readFeed({ after: start, limit: 10 }));
      });

      it('returns no events of other streams', async () => {
        const stream = exampleStream();
        const following = collect(store, start, 2);
        await store.append(exampleStream('other'), NO_STREAM, exampleEvents(3));
        await store.append(stream, NO_STREAM, exampleEvents(1));
        await store.append(exampleStream('other'), NO_STREAM, exampleEvents(3));
        await store.append(stream, 0, exampleEvents(1));
        expect(await following).toEqual(await store.readStream(stream));
      });

      it('ends without an error when its signal is aborted before, while it waits, or during a batch', async () => {
        await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
        const drain = async (after: Position, signal: AbortSignal, onBatch: () => void = () => {}): Promise<number> => {
          let batches = 0;
          for await (const _ of store.subscribe({ after, batchSize: 10, signal })) {
            batches++;
            onBatch();
          }
          return batches;
        };
        expect(await drain(start, AbortSignal.abort())).toBe(0);
        const inHand = new AbortController();
        expect(await drain(start, inHand.signal, () => inHand.abort())).toBe(1);
        const waiting = new AbortController();
        expect(await drain(start, waiting.signal, () => setImmediate(() => waiting.abort()))).toBeGreaterThan(0);
      });

      it('ends when the store is closed', async () => {
        const ended = (async () => {
          for await (const { caughtUp } of store.subscribe({
            after: start,
            batchSize: 10,
            signal: new AbortController().signal,
          }))
            if (caughtUp) void store.close();
        })();
        await ended;
        await expect(store.head()).rejects.toThrow(EngineUnavailable);
      });
    });

    it('has one identity for all concurrent and later callers', async () => {
      const other = await anotherOrSame();
      const [mine, theirs, again] = await Promise.all([store.identity(), other.identity(), store.identity()]);
      expect(mine.length).toBeGreaterThan(0);
      expect([theirs, again]).toEqual([mine, mine]);
      await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
      expect(await store.identity()).toBe(mine);
      expect(await store.head()).not.toBe(start);
    });

    it('does not show its identity in the feed', async () => {
      await store.identity();
      expect(await store.head()).toBe(start);
    });

    it('has all acknowledged events after it is opened again', async () => {
      if (!made.reopen) return;
      const stream = exampleStream();
      const events = exampleEvents(3);
      const answer = await store.append(stream, NO_STREAM, events);
      const before = [await store.readStream(stream), await store.head(), await store.identity()];
      const opened = await made.reopen();
      expect([await opened.readStream(stream), await opened.head(), await opened.identity()]).toEqual(before);
      expect(await opened.append(stream, NO_STREAM, events)).toEqual(answer);
      const next = await opened.append(stream, 2, exampleEvents(1));
      expect(next.position > answer.position).toBe(true);
      expect(ids(await collect(opened, start, 4))).toEqual(ids(await opened.readStream(stream)));
    });
  });
};
