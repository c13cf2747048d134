import Database from 'libsql';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../../../..');
const json = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(ROOT, file), 'utf8')) as Record<string, unknown>;

// The adapter depends on undocumented behaviour of libsql. If a test fails after an upgrade, its comment says what to
// review.
describe('the libsql that the adapter was written for', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-libsql-'));
  const file = path.join(folder, 'store.db');
  const database = new Database(file);

  beforeAll(() => {
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('CREATE TABLE numbers (value INTEGER)');
  });
  afterAll(() => {
    database.close();
    rmSync(folder, { recursive: true });
  });

  it('is pinned to the exact version that is installed', () => {
    const { libsql } = json('package.json')['dependencies'] as Record<string, string>;
    expect(libsql).toBe(json('node_modules/libsql/package.json')['version']);
  });

  // Review wal-index.ts: every commit must change the header of the WAL-index, or the cache returns outdated documents.
  it('keeps two copies of the WAL-index header, format 3007000, in the -shm file', () => {
    database.exec('INSERT INTO numbers VALUES (1)');
    const header = readFileSync(`${file}-shm`).subarray(0, 96);
    expect(header.readUInt32LE(0)).toBe(3_007_000);
    expect(header.subarray(0, 48)).toEqual(header.subarray(48));
  });

  // Review `prepared` and `perform` in sqlite-worker.mjs and `compile` in sqlite-reader.ts.
  it('has statements with `reader`, `raw` and `columns`, and connections with `inTransaction`', () => {
    const select = database.prepare('SELECT value FROM numbers') as unknown as { reader: boolean };
    const insert = database.prepare('INSERT INTO numbers VALUES (2)') as unknown as { reader: boolean };
    expect([select.reader, insert.reader]).toEqual([true, false]);
    const raw = database.prepare('SELECT value AS number FROM numbers').raw();
    expect(raw.columns().map(({ name }) => name)).toEqual(['number']);
    expect(raw.get([])).toEqual([1]);
    expect(database.inTransaction).toBe(false);
    database.exec('BEGIN');
    expect(database.inTransaction).toBe(true);
    database.exec('ROLLBACK');
  });

  // Review `SqlValue` in sqlite-statement.ts and `accumulateStep` in sqlite-collection.ts, which sends numbers as JSON.
  it('binds every number as REAL', () => {
    expect(database.prepare('SELECT typeof(?) AS type').get([1])).toMatchObject({ type: 'real' });
  });
});
