import { EngineUnavailable, NO_STREAM, START, SYSTEM_STREAM, SystemClock } from '@rekey/ports';
import { exampleEvent, exampleStream } from '@rekey/ports/conformance';
import { eventually } from '@rekey/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SqliteDatabase } from './sqlite-database';
import type { Statement } from './sqlite-statement';
import { ENGINE } from './sqlite-errors';
import { SqliteEventStore } from './sqlite-event-store';

let folder: string;
const databases: SqliteDatabase[] = [];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'rekey-events-'));
});
afterEach(async () => {
  await Promise.all(databases.splice(0).map((database) => database.close()));
  rmSync(folder, { recursive: true });
});

const openDatabase = async (): Promise<SqliteDatabase> => {
  const database = await SqliteDatabase.open(folder);
  databases.push(database);
  return database;
};
const open = async () => SqliteEventStore.open(await openDatabase(), new SystemClock());

it('counts positions from 1, as text of 20 digits', async () => {
  const store = await open();
  expect(await store.head()).toBe(START);
  expect(await store.append(exampleStream(), NO_STREAM, [exampleEvent(), exampleEvent()])).toEqual({
    revision: 1,
    position: '00000000000000000002',
  });
});

it('refuses an event id that stands in another stream, and a place that is none of its own', async () => {
  const store = await open();
  const event = exampleEvent();
  await store.append(exampleStream(), NO_STREAM, [event]);
  await expect(store.append(exampleStream(), NO_STREAM, [event])).rejects.toMatchObject({ name: 'ConstraintFailed' });
  await expect(store.readFeed({ after: 'C:1/P:1', limit: 1 })).rejects.toThrow(RangeError);
});

it('shows positions in their order, whichever of two databases writes: a reader never finds an earlier one later', async () => {
  const stores = [await open(), await open()];
  const reader = await open();
  let writing = true;
  const writers = Promise.all(
    Array.from({ length: 10 }, async (_, writer) => {
      const stream = exampleStream();
      for (let round = 0; round < 40; round++)
        await stores[writer % 2]?.append(stream, round * 2 - 1, [exampleEvent(), exampleEvent()]);
    }),
  ).finally(() => (writing = false));
  const seen: string[] = [];
  while (writing) {
    const page = await reader.readFeed({ after: seen.at(-1) ?? START, limit: 1_000 });
    seen.push(...page.map(({ position }) => position));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writers;
  const all = await reader.readFeed({ limit: 10_000 });
  expect(all).toHaveLength(800);
  expect(seen).toEqual(all.slice(0, seen.length).map(({ position }) => position));
});

it('brings an append of another connection to a follower within 20 ms', async () => {
  const [writer, follower] = [await open(), await open()];
  const ending = new AbortController();
  const seenAt = new Map<string, number>();
  const following = (async () => {
    for await (const { events } of follower.subscribe({ after: START, batchSize: 100, signal: ending.signal })) {
      for (const { eventId } of events) seenAt.set(eventId, performance.now());
      if (seenAt.size === 40) ending.abort();
    }
  })();
  const appendedAt = new Map<string, number>();
  for (let round = 0; round < 40; round++) {
    const event = exampleEvent();
    await writer.append(exampleStream(), NO_STREAM, [event]);
    appendedAt.set(event.eventId, performance.now());
    while (!seenAt.has(event.eventId)) await new Promise((resolve) => setImmediate(resolve));
  }
  await following;
  const delays = [...appendedAt].map(([id, at]) => (seenAt.get(id) ?? Infinity) - at).sort((a, b) => a - b);
  expect(delays[20]).toBeLessThan(20);
});

it('goes on with a subscription when the store was away', async () => {
  const database = await openDatabase();
  let away = false;
  let refused = 0;
  const flaky = <R extends object>(query: Statement<R>): Statement<R> => ({
    ...query,
    all: (params) => {
      if (!away) return query.all(params);
      refused++;
      throw new EngineUnavailable(ENGINE);
    },
  });
  const sometimesAway = Object.assign(Object.create(database) as SqliteDatabase, {
    prepare: (sql: string) => flaky(database.prepare(sql)),
  });
  const store = await SqliteEventStore.open(sometimesAway, new SystemClock());
  const other = await open();
  const stream = exampleStream();
  const grow = (round: number) => other.append(stream, round - 1, [exampleEvent()]);
  const ending = new AbortController();
  const seen: number[] = [];
  away = true;
  const following = (async () => {
    for await (const { events } of store.subscribe({ after: START, batchSize: 2, signal: ending.signal })) {
      seen.push(...events.map(({ revision }) => revision));
      if (seen.length === 6) ending.abort();
    }
  })();
  for (let round = 0; round < 3; round++) await grow(round);
  await eventually(() => refused >= 2);
  away = false;
  await eventually(() => seen.length === 3);
  away = true;
  for (let round = 3; round < 6; round++) await grow(round);
  await eventually(() => refused >= 4);
  away = false;
  await following;
  expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
});

it('begins its stream rekey-system with the id of the store, chained', async () => {
  const store = await open();
  const identity = await store.identity();
  const events = await store.readStream(SYSTEM_STREAM);
  expect(events).toHaveLength(1);
  expect(events[0]).toMatchObject({
    eventId: identity,
    type: 'StoreCreated',
    data: { storeId: expect.any(String) as string },
    metadata: { previousHash: '', actor: { type: 'system', id: 'rekey' } },
  });
  expect(await store.readFeed({ limit: 10 })).toEqual([]);
});

it('reads 100,000 events of many streams in one subscription', async () => {
  const store = await open();
  for (let batch = 0; batch < 100; batch++)
    await store.append(
      exampleStream(),
      NO_STREAM,
      Array.from({ length: 1_000 }, (_, number) => exampleEvent({ number })),
    );
  const ending = new AbortController();
  let seen = 0;
  for await (const batch of store.subscribe({ after: START, batchSize: 1_000, signal: ending.signal })) {
    seen += batch.events.length;
    if (batch.caughtUp) ending.abort();
  }
  expect(seen).toBe(100_000);
});
