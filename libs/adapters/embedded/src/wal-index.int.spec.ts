import Database from 'libsql';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TurnState, WalIndex } from './wal-index';

describe('the state of a file in WAL mode', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-wal-'));
  const file = path.join(folder, 'store.db');
  const open = (): Database.Database => {
    const database = new Database(file);
    database.exec('PRAGMA journal_mode = WAL');
    return database;
  };
  const writer = open();
  const reader = open();
  writer.exec('CREATE TABLE numbers (value INTEGER)');
  const index = new WalIndex(file);
  const read = (): number => (reader.prepare('SELECT count(*) AS count FROM numbers').get() as { count: number }).count;

  afterAll(() => {
    index.close();
    writer.close();
    reader.close();
    rmSync(folder, { recursive: true });
  });

  it('stays the same while nothing is committed, despite reads and open transactions', () => {
    const state = index.current();
    read();
    expect(index.current()).toBe(state);
    writer.exec('BEGIN IMMEDIATE');
    writer.exec('INSERT INTO numbers VALUES (1)');
    expect(index.current()).toBe(state);
    writer.exec('ROLLBACK');
    expect(index.current()).toBe(state);
  });

  it('changes with every commit that a reader sees, also across checkpoints and restarts of the WAL', () => {
    const insert = writer.prepare('INSERT INTO numbers VALUES (1)');
    let state = index.current();
    let count = read();
    for (let round = 0; round < 500; round++) {
      insert.run();
      const [stateNow, countNow] = [index.current(), read()];
      expect(countNow).toBe(count + 1);
      expect(stateNow).not.toBe(state);
      [state, count] = [stateNow, countNow];
      if (round % 50 === 0) writer.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      state = index.current();
    }
  });

  it('is new on every call if the file cannot be read', () => {
    const missing = new WalIndex(path.join(folder, 'missing.db'));
    expect(missing.current()).not.toBe(missing.current());
  });
});

describe('the state within a turn of the event loop', () => {
  const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  let state = 0;
  let questions = 0;
  const index = {
    current: () => {
      questions++;
      return state;
    },
  };

  beforeEach(() => {
    state = 1;
    questions = 0;
  });

  it('is read once per turn', async () => {
    const turn = new TurnState(index);
    expect([turn.current(), turn.current(), turn.current()]).toEqual([1, 1, 1]);
    expect(questions).toBe(1);
    state = 2;
    await nextTurn();
    expect(turn.current()).toBe(2);
    expect(questions).toBe(2);
  });

  it('is read again after a commit of this process', () => {
    const turn = new TurnState(index);
    expect(turn.current()).toBe(1);
    state = 2;
    turn.forget();
    expect(turn.current()).toBe(2);
  });
});
