import { START, SystemClock, type StoredEvent } from '@rekey/ports';
import { TestProcess, bundled } from '@rekey/testing';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Acknowledged } from './append-load.testing';
import { SqliteDatabase } from './sqlite-database';
import { SqliteEventStore } from './sqlite-event-store';

const ROUNDS = 5;

let root: string;
let program: string;
let folder: string;
const opened: (() => Promise<void>)[] = [];

beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'rekey-crash-'));
  program = bundled(path.join(__dirname, 'append-load.testing.ts'), root);
  copyFileSync(path.join(__dirname, 'sqlite-worker.mjs'), path.join(root, 'sqlite-worker.mjs'));
});
beforeEach(() => {
  folder = mkdtempSync(path.join(root, 'store-'));
});
afterEach(() => Promise.all(opened.splice(0).map((close) => close())));
afterAll(() => rmSync(root, { recursive: true }));

const open = async () => {
  const database = await SqliteDatabase.open(folder);
  const store = await SqliteEventStore.open(database, new SystemClock());
  opened.push(async () => (await store.close(), await database.close()));
  return { database, store };
};

/** Runs a process that appends, and kills it after it has acknowledged the given number. */
const runAndKill = async (enough: number): Promise<Acknowledged[]> => {
  const appending = new TestProcess(program, { args: [folder] });
  appending.watch(() => appending.outputLines.length >= enough && appending.signal('SIGKILL'));
  expect([await appending.exited, appending.errorLines]).toEqual(['SIGKILL', []]);
  // The kill may have cut off the last line.
  const whole = appending.outputLines.filter((line) => line.endsWith('}'));
  return whole.map((line) => JSON.parse(line) as Acknowledged);
};

/** Checks that every acknowledged append is stored, and every other one completely or not at all. */
const expectWhole = async (store: SqliteEventStore, acknowledged: readonly Acknowledged[]): Promise<StoredEvent[]> => {
  for (const { stream, eventIds, revision, position } of acknowledged) {
    const found = (await store.readStream(stream, revision - eventIds.length + 1)).slice(0, eventIds.length);
    expect(found.map(({ eventId }) => eventId)).toEqual(eventIds);
    expect(found.at(-1)).toMatchObject({ revision, position });
  }
  const all = await store.readFeed({ after: START, limit: 1_000_000 });
  const lengths = new Map<string, number>();
  for (const { stream, revision } of all) {
    expect(revision).toBe(lengths.get(stream) ?? 0);
    lengths.set(stream, revision + 1);
  }
  // The number of events of an append follows from its revision.
  const whole = new Set<number>();
  for (let length = 0; length <= Math.max(...lengths.values()); length += 1 + (length % 5)) whole.add(length);
  for (const length of lengths.values()) expect(whole).toContain(length);
  return all;
};

const someNumber = (): number => 1 + Math.floor(Math.random() * 400);

it('has every acknowledged append, and none in part, after kill -9 and recovery', async () => {
  const acknowledged: Acknowledged[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    acknowledged.push(...(await runAndKill(someNumber())));
    const { database, store } = await open();
    expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
    await expectWhole(store, acknowledged);
    // No process has the file open between the rounds, so each round starts with a recovery.
    await Promise.all(opened.splice(0).map((close) => close()));
  }
});

it('tells a follower in another process of each event once, in order, whatever is killed', async () => {
  const { store } = await open();
  const ending = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { events } of store.subscribe({ after: START, batchSize: 50, signal: ending.signal }))
      seen.push(...events.map(({ eventId }) => eventId));
  })();
  const acknowledged: Acknowledged[] = [];
  for (let round = 0; round < ROUNDS; round++) acknowledged.push(...(await runAndKill(someNumber())));
  const all = await expectWhole(store, acknowledged);
  while (seen.length < all.length) await new Promise((resolve) => setImmediate(resolve));
  ending.abort();
  await following;
  expect(seen).toEqual(all.map(({ eventId }) => eventId));
});
