import { chain } from '@rekey/domain';
import { sha256, ManualClock, START, SYSTEM_STREAM, type EventStore, type NewEvent, SystemClock } from '@rekey/ports';
import Database from 'libsql';
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { backup, restore } from './backup';
import { SqliteDatabase } from './sqlite-database';
import { STORE_FILE } from './store-file';
import { SqliteEventStore } from './sqlite-event-store';
import { SqliteOutcomes } from './sqlite-outcomes';

const clock = new ManualClock(Date.parse('2026-03-01T00:00:00.000Z'));
let root: string;
let folder: string;
let file: string;
const opened: SqliteDatabase[] = [];

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'rekey-backup-'));
  folder = path.join(root, 'store');
  file = path.join(root, 'backup.db');
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((database) => database.close()));
  rmSync(root, { recursive: true });
});

const open = async (at = folder) => {
  const database = await SqliteDatabase.open(at);
  opened.push(database);
  const store = await SqliteEventStore.open(database, new SystemClock());
  return { database, store, outcomes: await SqliteOutcomes.open(database) };
};

/** Appends events that are hash-chained like those of real commands. */
const grow = async (store: EventStore, stream: string, count: number): Promise<void> => {
  const before = await store.readStream(stream);
  let { revision, hash } = { revision: before.length - 1, hash: before.at(-1)?.metadata.hash ?? '' };
  const events: NewEvent[] = [];
  for (let added = 0; added < count; added++) {
    revision++;
    const id = randomUUID();
    const fact = { stream, revision, eventId: id, type: 'ApplicationRenamed', data: { name: `name ${revision}` } };
    const actor = { type: 'token', id: 'test' } as const;
    const event = chain(
      fact,
      { commandId: id, correlationId: id, causationId: id, actor, occurredAt: clock.now(), schemaVersion: 1 },
      hash,
      sha256,
    );
    hash = event.metadata.hash;
    events.push({ eventId: id, type: event.type, data: event.data, metadata: event.metadata });
  }
  await store.append(stream, before.length - 1, events);
};

const outcome = (commandId: string) => ({
  commandId,
  fingerprint: 'f',
  caller: 'test',
  recordedAt: clock.now(),
  reply: { id: commandId, status: 'accepted', replayed: false, revision: 0, position: '' } as const,
});

const everything = async (store: EventStore) => ({
  feed: await store.readFeed({ limit: 100_000 }),
  system: await store.readStream(SYSTEM_STREAM),
  identity: await store.identity(),
});

it('copies one moment of a store that is being written to, and puts it into an empty folder', async () => {
  const { store, outcomes } = await open();
  await store.identity();
  await outcomes.record(outcome('known'));
  let stop = false;
  let appended = 0;
  const writing = (async () => {
    for (; !stop; appended++) await grow(store, `application-${appended % 7}`, 3);
  })();
  while (appended < 20) await new Promise((resolve) => setImmediate(resolve));
  const report = await backup(folder, file);
  stop = true;
  await writing;
  expect(report.events).toBeGreaterThan(20);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(root).sort()).toEqual(['backup.db', 'store']);

  const elsewhere = path.join(root, 'elsewhere');
  expect(await restore(elsewhere, file, { clock })).toEqual(report);
  const copy = await open(elsewhere);
  const feed = await copy.store.readFeed({ limit: 100_000 });
  expect(feed).toEqual((await store.readFeed({ limit: 100_000 })).slice(0, report.events - 1));
  expect(await copy.outcomes.find('known')).toEqual(outcome('known'));
  expect(await copy.store.identity()).not.toBe(await store.identity());
  const system = await copy.store.readStream(SYSTEM_STREAM);
  expect(system.map(({ type }) => type)).toEqual(['StoreCreated', 'StoreRestored']);
  expect(readdirSync(elsewhere).filter((name) => name.startsWith('restore-'))).toEqual([]);
});

it('puts an older state back under a running store, which notices and goes on', async () => {
  const { database, store, outcomes } = await open();
  await database.migrate('a-view', [['CREATE TABLE a_view (id TEXT) STRICT', "INSERT INTO a_view VALUES ('kept')"]]);
  await grow(store, 'application-a', 5);
  await outcomes.record(outcome('before'));
  const identity = await store.identity();
  const old = await store.readFeed({ limit: 100 });
  await backup(folder, file);
  await grow(store, 'application-a', 5);
  await grow(store, 'application-b', 5);
  await outcomes.record(outcome('after'));
  const lost = await store.head();
  const ending = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { events } of store.subscribe({ after: START, batchSize: 4, signal: ending.signal })) {
      seen.push(...events.map(({ position }) => position));
      if (seen.length >= 17) ending.abort();
    }
  })();
  while (seen.length < 15) await new Promise((resolve) => setImmediate(resolve));

  await restore(folder, file, { clock });

  expect(await store.readFeed({ limit: 100 })).toEqual(old);
  expect(await store.head()).toBe(old.at(-1)?.position);
  expect(await store.readStream('application-b')).toEqual([]);
  expect(await outcomes.find('before')).not.toBeNull();
  expect(await outcomes.find('after')).toBeNull();
  const restored = await store.identity();
  expect(restored).not.toBe(identity);
  const [, event] = await store.readStream(SYSTEM_STREAM);
  expect(event).toMatchObject({ type: 'StoreRestored', data: { backup: identity, replaced: identity } });
  expect(database.prepare('SELECT id FROM a_view').all()).toEqual([{ id: 'kept' }]);

  await grow(store, 'application-a', 1);
  await grow(store, 'application-b', 1);
  await following;
  expect(seen.slice(15).every((position) => position > lost)).toBe(true);
  expect(await store.head()).toBe(seen.at(-1));

  await restore(folder, file, { clock });
  expect(new Set([identity, restored, await store.identity()]).size).toBe(3);
});

it('never gives a position twice, also where a backup of a restored store is put elsewhere', async () => {
  const { store } = await open();
  await grow(store, 'application-a', 2);
  await backup(folder, file);
  await grow(store, 'application-a', 50);
  const lost = await store.head();
  await restore(folder, file, { clock });
  const second = path.join(root, 'second.db');
  await backup(folder, second);
  const elsewhere = path.join(root, 'elsewhere');
  await restore(elsewhere, second, { clock });
  const copy = await open(elsewhere);
  await grow(copy.store, 'application-a', 1);
  expect((await copy.store.head()) > lost).toBe(true);
});

it('keeps the chain of the system stream whole, so that a restored store can be backed up and restored', async () => {
  const { store } = await open();
  await store.identity();
  for (const name of ['one.db', 'two.db', 'three.db']) {
    await backup(folder, path.join(root, name));
    await restore(folder, path.join(root, name), { clock });
  }
  expect((await store.readStream(SYSTEM_STREAM)).map(({ revision }) => revision)).toEqual([0, 1, 2, 3]);
});

describe('refuses without changing anything', () => {
  const alter = (sql: string): void => {
    const database = new Database(file);
    database.exec(sql);
    database.close();
  };
  const damages: Record<string, () => void> = {
    'no file': () => rmSync(file),
    'an empty file': () => truncateSync(file),
    'a file of something else': () => writeFileSync(file, 'no database '.repeat(1_000)),
    'a database of something else': () => {
      rmSync(file);
      alter('CREATE TABLE theirs (id)');
    },
    'a file cut off': () => truncateSync(file, statSync(file).size - 4096),
    'a page that was overwritten': () => {
      const bytes = readFileSync(file);
      bytes.fill(0x5a, bytes.length - 4096);
      writeFileSync(file, bytes);
    },
    'an event that was altered': () =>
      alter(`UPDATE events SET data = '{"name":"other"}' WHERE stream = 'application-a' AND revision = 3`),
    'an event that is no JSON': () => alter(`UPDATE events SET data = '{' WHERE revision = 3`),
    'an event taken out of the middle': () => alter('DELETE FROM events WHERE revision = 3'),
    'a stream without its beginning': () => alter(`DELETE FROM events WHERE stream = 'application-a' AND revision < 3`),
    'a backup of newer code': () => alter("UPDATE rekey_schema SET version = version + 1 WHERE part = 'events'"),
  };

  it.each(Object.keys(damages))('%s', async (damage) => {
    const { store } = await open();
    await store.identity();
    await grow(store, 'application-a', 100);
    await backup(folder, file);
    await grow(store, 'application-a', 1);
    const before = await everything(store);
    damages[damage]?.();
    await expect(restore(folder, file, { clock })).rejects.toMatchObject({
      name: 'RekeyError',
      code: 'invalid_request',
      details: { field: 'file' },
    });
    expect(await everything(store)).toEqual(before);
    expect(readdirSync(folder).filter((name) => name.startsWith('restore-'))).toEqual([]);
  });

  it('accepts an altered history with acceptBrokenChains, if no stream has a gap', async () => {
    const { store } = await open();
    await grow(store, 'application-a', 5);
    await backup(folder, file);
    alter(`UPDATE events SET data = '{"name":"other"}' WHERE revision = 3`);
    await restore(folder, file, { clock, acceptBrokenChains: true });
    expect((await store.readStream('application-a'))[3]?.data).toEqual({ name: 'other' });
    alter('DELETE FROM events WHERE revision = 2');
    await expect(restore(folder, file, { clock, acceptBrokenChains: true })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  it('refuses to overwrite a file, or to back up a folder without a store', async () => {
    await open();
    writeFileSync(file, 'precious');
    await expect(backup(folder, file)).rejects.toMatchObject({ code: 'invalid_request' });
    expect(readFileSync(file, 'utf8')).toBe('precious');
    await expect(backup(root, path.join(root, 'other.db'))).rejects.toMatchObject({ code: 'not_found' });
    await expect(backup(folder, path.join(root, 'nowhere', 'x.db'))).rejects.toMatchObject({ code: 'unavailable' });
    expect(existsSync(path.join(root, STORE_FILE))).toBe(false);
  });
});
