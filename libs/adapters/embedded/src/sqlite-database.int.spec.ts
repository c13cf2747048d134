import { EngineUnavailable } from '@rekey/ports';
import Database from 'libsql';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { FolderInUse, lockFolder } from './folder-lock';
import { SqliteDatabase } from './sqlite-database';
import type { Step } from './sqlite-statement';
import { STORE_FILE } from './store-file';
import { ConstraintFailed, ExpectationFailed, NewerSchema } from './sqlite-errors';

let folder: string;
const opened: SqliteDatabase[] = [];

const open = async (options = {}): Promise<SqliteDatabase> => {
  const database = await SqliteDatabase.open(folder, options);
  opened.push(database);
  return database;
};
const run = (sql: string, ...params: (string | number | null)[]): Step => ({ kind: 'run', sql, params });
const insert = (name: string): Step => run('INSERT INTO things (name) VALUES (?)', name);
const things = (database: SqliteDatabase): unknown[] =>
  database
    .prepare<{ name: string }>('SELECT name FROM things ORDER BY id')
    .all()
    .map((row) => row.name);
const THINGS = [['CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT']];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'rekey-database-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((database) => database.close()));
  rmSync(folder, { recursive: true });
});

describe('writing', () => {
  it('is visible to reads once it resolves, and after the file is reopened', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    const [first, second] = await database.write([
      insert('a'),
      { kind: 'all', sql: 'SELECT id, name FROM things', params: [] },
    ]);
    expect(first).toEqual({ changes: 1, lastRowId: 1, rows: [] });
    expect(second).toEqual({ changes: 1, lastRowId: 0, rows: [{ id: 1, name: 'a' }] });
    expect(database.prepare('SELECT id, name FROM things').get()).toEqual({ id: 1, name: 'a' });
    expect(database.prepare('SELECT id, name FROM things WHERE id = ?').get([2])).toBeUndefined();
    await database.close();
    expect(things(await open())).toEqual(['a']);
  });

  it('rolls back only the failed write among many that are committed together', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    const settled = await Promise.allSettled([
      database.write([insert('a')]),
      database.write([insert('b'), insert('a')]),
      database.write([insert('c'), { ...run('DELETE FROM things WHERE name = ?', 'none'), expectChanges: 1 }]),
      database.write([insert('d'), { kind: 'run', sql: 'INSERT INTO nowhere VALUES (1)' }]),
      database.write([insert('e')]),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected', 'fulfilled']);
    const reasons = settled.map((each) => (each.status === 'rejected' ? (each.reason as Error) : undefined));
    expect(reasons[1]).toBeInstanceOf(ConstraintFailed);
    expect(reasons[1]).toMatchObject({ code: 'SQLITE_CONSTRAINT_UNIQUE' });
    expect(reasons[2]).toBeInstanceOf(ExpectationFailed);
    expect(reasons[2]).toMatchObject({ step: 1, expected: 1, actual: 0 });
    expect(reasons[3]).not.toBeInstanceOf(EngineUnavailable);
    expect(things(database)).toEqual(['a', 'e']);
  });

  it('refuses values that the driver cannot bind and statements of the wrong kind, and recovers', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    expect(() => database.write([{ kind: 'run', sql: 'SELECT ?', params: [true as never] }])).toThrow(TypeError);
    expect(() => database.prepare('SELECT ? AS x').get([undefined as never])).toThrow(TypeError);
    const returning: Step = run('INSERT INTO things (name) VALUES (?) RETURNING id', 'a');
    await expect(database.write([returning])).rejects.toThrow("needs the kind 'all'");
    await database.write([{ ...returning, kind: 'all', expectChanges: 1 }]);
    expect(things(database)).toEqual(['a']);
  });

  it('keeps the order of thousands of writes', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    const names = Array.from({ length: 5_000 }, (_, index) => `name-${index}`);
    await Promise.all(names.map((name) => database.write([insert(name)])));
    expect(things(database)).toEqual(names);
  });

  it('throws EngineUnavailable while another process holds the write lock too long, and recovers', async () => {
    const database = await open({ busyTimeoutMs: 50 });
    await database.migrate('things', THINGS);
    const other = new Database(path.join(folder, STORE_FILE));
    other.exec('BEGIN IMMEDIATE');
    await expect(database.write([insert('a')])).rejects.toThrow(EngineUnavailable);
    other.exec('COMMIT');
    other.close();
    await database.write([insert('b')]);
    expect(things(database)).toEqual(['b']);
  });

  it('fails pending writes when the write thread dies, and continues with a new one', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    const { worker } = (database as unknown as { writer: { worker: Promise<Worker> } }).writer;
    const thread = await worker;
    const inHand = Promise.allSettled(Array.from({ length: 50 }, (_, index) => database.write([insert(`a-${index}`)])));
    await thread.terminate();
    for (const each of await inHand)
      if (each.status === 'rejected') expect(each.reason).toBeInstanceOf(EngineUnavailable);
    const before = things(database).length;
    await Promise.all([database.write([insert('b')]), database.write([insert('c')])]);
    expect(things(database)).toHaveLength(before + 2);
  });

  it('finishes pending writes on close, and refuses later ones', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    const inHand = [database.write([insert('a')]), database.write([insert('b')])];
    const closed = database.close();
    await expect(database.write([insert('c')])).rejects.toThrow(EngineUnavailable);
    await Promise.all([...inHand, closed, database.close()]);
    expect(() => things(database)).toThrow(EngineUnavailable);
    expect(things(await open())).toEqual(['a', 'b']);
  });
});

describe('reading', () => {
  it('sees one state within a snapshot, and the current one after it', async () => {
    const database = await open();
    const writer = await open();
    await database.migrate('things', THINGS);
    const other = new Database(path.join(folder, STORE_FILE));
    const seen = database.snapshot(() => {
      const before = things(database);
      other.exec("INSERT INTO things (name) VALUES ('a')");
      return [before, things(database)];
    });
    other.close();
    expect(seen).toEqual([[], []]);
    expect(things(database)).toEqual(['a']);
    expect(things(writer)).toEqual(['a']);
  });

  it('cannot write', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    expect(() => database.prepare("INSERT INTO things (name) VALUES ('a') RETURNING id").all()).toThrow();
    expect(things(database)).toEqual([]);
  });

  it.each(['this process', 'another connection'])('notices commits of %s within 20 ms', async (whose) => {
    const database = await open();
    const writer = whose === 'this process' ? database : await open();
    await database.migrate('things', THINGS);
    const delays: number[] = [];
    for (let round = 0; round < 20; round++) {
      let toldAt = Number.NaN;
      const told = new Promise<void>((resolve) => {
        const stop = database.watch(() => {
          if (things(database).length <= round) return;
          toldAt = performance.now();
          stop();
          resolve();
        });
      });
      await writer.write([insert(`name-${round}`)]);
      const writtenAt = performance.now();
      await told;
      delays.push(toldAt - writtenAt);
    }
    delays.sort((left, right) => left - right);
    expect(delays[10]).toBeLessThan(20);
  });
});

describe('opening', () => {
  it('initializes a store that several processes open at once', async () => {
    const databases = await Promise.all(Array.from({ length: 5 }, () => open()));
    await Promise.all(databases.map((database) => database.migrate('things', THINGS)));
    await Promise.all(databases.map((database, index) => database.write([insert(`name-${index}`)])));
    for (const database of databases) expect(things(database)).toHaveLength(5);
  });

  it('creates a file that only its owner can access', async () => {
    await open();
    expect(statSync(path.join(folder, STORE_FILE)).mode & 0o777).toBe(0o600);
    chmodSync(path.join(folder, STORE_FILE), 0o644);
    await open();
    expect(statSync(path.join(folder, STORE_FILE)).mode & 0o777).toBe(0o600);
  });

  it('migrates a part from one schema version to the next, and refuses a newer one', async () => {
    const database = await open();
    await database.migrate('things', THINGS);
    await database.write([insert('a')]);
    const newer = [...THINGS, ["ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'"]];
    await database.migrate('things', newer);
    await database.migrate('things', newer);
    expect(database.prepare('SELECT name, colour FROM things').all()).toEqual([{ name: 'a', colour: 'red' }]);
    await expect(database.migrate('things', THINGS)).rejects.toThrow(NewerSchema);
  });

  it('refuses a database of another program, and a file that is not a database', async () => {
    const foreign = new Database(path.join(folder, STORE_FILE));
    foreign.exec('CREATE TABLE theirs (id)');
    foreign.close();
    await expect(open()).rejects.toThrow(EngineUnavailable);
    writeFileSync(path.join(folder, STORE_FILE), 'no database '.repeat(1_000));
    await expect(open()).rejects.toThrow(EngineUnavailable);
    await expect(SqliteDatabase.open('/dev/null/nowhere')).rejects.toThrow(EngineUnavailable);
  });
});

it('lets one holder at a time lock a folder', () => {
  const release = lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(FolderInUse);
  release();
  release();
  lockFolder(folder)();
});

it('gives a folder free whose holder was killed', async () => {
  const script = `
    const lock = new (require('libsql'))(process.argv[1], { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
    console.log('locked');
    setInterval(() => lock.inTransaction, 1000);`;
  const child = spawn(process.execPath, ['-e', script, path.join(folder, 'rekey.lock')], {
    cwd: __dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  expect(() => lockFolder(folder)).toThrow(FolderInUse);
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockFolder(folder)();
});
