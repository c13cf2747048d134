import { RekeyError } from '@rekey/contracts';
import { CHAIN_START, type ChainPlace, type ChainedEvent, checkLink } from '@rekey/domain';
import { sha256, type Clock, EngineUnavailable, type Position, SYSTEM_STREAM, systemEvent } from '@rekey/ports';
import Database from 'libsql';
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { SqliteDatabase } from './sqlite-database';
import { APPLICATION_ID, STORE_FILE } from './store-file';
import { NewerSchema } from './sqlite-errors';
import { SqliteEventStore, positionOf } from './sqlite-event-store';
import { SqliteOutcomes } from './sqlite-outcomes';

/**
 * Tables in a backup. Views and jobs are rebuilt from the events. Usage is not, but it is approximate; a restore leaves it
 * unchanged.
 */
const TABLES = ['events', 'outcomes', 'sealed_values'];
const IN_TABLES = `('rekey_schema', ${TABLES.map((table) => `'${table}'`).join(', ')})`;
const BUSY_TIMEOUT_MS = 30_000;

export interface BackupReport {
  readonly events: number;
  /** Position of the last event. */
  readonly position: Position;
}

export interface RestoreOptions {
  /** Dates `StoreRestored`. */
  readonly clock: Clock;
  /** Accepts a history with a broken hash chain, to rescue what is left of a damaged store. Default false. */
  readonly acceptBrokenChains?: boolean;
}

/**
 * Copies a consistent snapshot of a store's events and outcomes into a new file that only its owner can read. Another
 * process may use the store meanwhile and is not blocked. Runs synchronously, so it is not for a process that serves
 * requests. Throws `RekeyError`: `not_found` if the folder has no store, `invalid_request` if the file exists,
 * `unavailable` if a file cannot be read or written.
 */
export const backup = async (folder: string, targetFile: string): Promise<BackupReport> => {
  const source = path.join(folder, STORE_FILE);
  if (!existsSync(source))
    throw new RekeyError('not_found', `No store (${STORE_FILE}) in the data folder ${folder}.`, { field: 'folder' });
  if (existsSync(targetFile)) throw refused('The file already exists; choose another name for the backup.');
  // Written under another name and renamed when complete, so that an interrupted backup cannot be mistaken for one.
  const unfinished = `${path.resolve(targetFile)}.${process.pid}.unfinished`;
  try {
    const report = translated(() => {
      closeSync(openSync(unfinished, 'wx', 0o600));
      // A read transaction sees one state of the store and, in WAL mode, does not block writers.
      return connected(source, unfinished, (database) => within(database, 'BEGIN', () => copyOut(database)));
    });
    translated(() => {
      renameSync(unfinished, targetFile);
      syncFolder(path.dirname(path.resolve(targetFile)));
    });
    return report;
  } finally {
    rmSync(unfinished, { force: true });
  }
};

/**
 * Replaces the events and outcomes of a store by those of a backup, in one transaction, even while another process uses
 * the store. Creates the store if there is none. Events appended after the backup are lost.
 *
 * - `StoreRestored` is appended to `rekey-system`. That changes `identity()` in the same commit, so every view built from
 *   the previous events is refused and rebuilt. The tables of views are not changed.
 * - Positions continue after the last one of the store or the backup, whichever is later. No position is used twice, so a
 *   subscription that was past the backup's end continues with the next new event.
 * - Outcomes recorded after the backup are removed too, because their events are.
 * - A running process waits for the transaction (about a second per 100,000 events) and answers `unavailable` after its
 *   own timeout.
 *
 * A copy of the backup is verified first: SQLite's integrity check, no gap in any stream, no broken hash chain. Throws
 * `RekeyError`, and changes nothing: `invalid_request` if the backup is unusable, `unavailable` if a file cannot be read
 * or written or the store is locked too long.
 */
export const restore = async (folder: string, backupFile: string, options: RestoreOptions): Promise<BackupReport> => {
  if (!existsSync(backupFile)) throw refused('The backup file does not exist.');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const copied = mkdtempSync(path.join(folder, 'restore-'));
  const copy = path.join(copied, STORE_FILE);
  try {
    translated(() => {
      copyFileSync(backupFile, copy);
      connected(copy, undefined, checkFile);
    });
    // Opening migrates both to the current schema. A backup of a newer version of Rekey is refused.
    await bringUpToDate(copied, options.clock);
    translated(() => connected(copy, undefined, (database) => checkHistory(database, options)));
    await bringUpToDate(folder, options.clock);
    return translated(() =>
      connected(path.join(folder, STORE_FILE), copy, (database) =>
        within(database, 'BEGIN IMMEDIATE', () => copyIn(database, options.clock)),
      ),
    );
  } finally {
    rmSync(copied, { recursive: true, force: true });
  }
};

// ── Copying ────────────────────────────────────────────────────────────────────────────────────────────────────────

const copyOut = (database: Database.Database): BackupReport => {
  const parts = database
    .prepare(`SELECT type, name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL AND tbl_name IN ${IN_TABLES}`)
    .all([]) as { type: string; name: string; sql: string }[];
  const tables = parts.filter(({ type }) => type === 'table');
  if (tables.length <= TABLES.length)
    throw new RekeyError('not_found', `The folder has no store (${STORE_FILE}).`, { field: 'folder' });
  const inCopy = (sql: string): string => sql.replace(/^CREATE (TABLE|INDEX|UNIQUE INDEX) /, 'CREATE $1 copy.');
  database.exec(`PRAGMA copy.application_id = ${APPLICATION_ID}`);
  for (const { name, sql } of tables) {
    database.exec(inCopy(sql));
    if (name === 'rekey_schema') continue;
    database.exec(`INSERT INTO copy.${name} SELECT * FROM main.${name}`);
  }
  for (const { type, sql } of parts) if (type === 'index') database.exec(inCopy(sql));
  database.exec(`INSERT INTO copy.rekey_schema SELECT * FROM main.rekey_schema WHERE part IN ('events', 'outcomes')`);
  carrySequence(database, 'main', 'copy');
  return reportOf(database, 'copy');
};

const copyIn = (database: Database.Database, clock: Clock): BackupReport => {
  const lastOfSystem = (schema: string) =>
    database
      .prepare(
        `SELECT revision, event_id AS id, metadata ->> '$.hash' AS hash, metadata ->> '$.occurredAt' AS occurredAt
         FROM ${schema}.events WHERE stream = ? ORDER BY revision DESC LIMIT 1`,
      )
      .all([SYSTEM_STREAM])[0] as { revision: number; id: string; hash: string; occurredAt: string } | undefined;
  const replaced = lastOfSystem('main');
  const report = reportOf(database, 'copy');
  for (const table of TABLES) {
    database.exec(`DELETE FROM main.${table}`);
    database.exec(`INSERT INTO main.${table} SELECT * FROM copy.${table}`);
  }
  carrySequence(database, 'copy', 'main');
  const last = lastOfSystem('main');
  const data = { events: report.events, backup: last?.id ?? '', replaced: replaced?.id ?? '' };
  const occurredAt = last && last.occurredAt > clock.now() ? last.occurredAt : clock.now();
  const place = { revision: (last?.revision ?? -1) + 1, hash: last?.hash ?? '' };
  const event = systemEvent('StoreRestored', data, occurredAt, place);
  database
    .prepare(
      `INSERT INTO main.events (stream, revision, event_id, type, data, metadata, feed) VALUES (?, ?, ?, ?, ?, ?, 0)`,
    )
    .run([
      SYSTEM_STREAM,
      place.revision,
      event.eventId,
      event.type,
      JSON.stringify(data),
      JSON.stringify(event.metadata),
    ]);
  return report;
};

/** Continues positions after the last one used on either side, including those removed by an earlier restore. */
const carrySequence = (database: Database.Database, from: string, to: string): void => {
  database.exec(`INSERT INTO ${to}.sqlite_sequence (name, seq) SELECT 'events', 0
                 WHERE NOT EXISTS (SELECT 1 FROM ${to}.sqlite_sequence WHERE name = 'events')`);
  database.exec(`UPDATE ${to}.sqlite_sequence
                 SET seq = max(seq, coalesce((SELECT seq FROM ${from}.sqlite_sequence WHERE name = 'events'), 0))
                 WHERE name = 'events'`);
};

const reportOf = (database: Database.Database, schema: string): BackupReport => {
  const sql = `SELECT count(*) AS events, coalesce(max(position), 0) AS position FROM ${schema}.events`;
  const [row] = database.prepare(sql).all([]) as { events: number; position: number }[];
  return { events: row?.events ?? 0, position: row && row.position > 0 ? positionOf(row.position) : '' };
};

// ── Verifying ──────────────────────────────────────────────────────────────────────────────────────────────────────

const checkFile = (database: Database.Database): void => {
  const value = (sql: string): unknown => (database.prepare(sql).raw().all([]) as unknown[][])[0]?.[0];
  let sound: boolean;
  try {
    if (value('PRAGMA application_id') !== APPLICATION_ID) throw refused('The file is not a Rekey backup.');
    const found = value(`SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ${IN_TABLES}`);
    if (found !== TABLES.length + 1) throw refused('The file is not a Rekey backup.');
    sound = value('PRAGMA integrity_check') === 'ok';
  } catch (error) {
    if (error instanceof RekeyError) throw error;
    throw refused('The file is damaged or not a Rekey backup.', { cause: error });
  }
  if (!sound) throw refused('The file is damaged: it fails the integrity check of SQLite.');
};

/** Checks all streams. A gap is never accepted: nothing could be appended to such a stream. */
const checkHistory = (database: Database.Database, { acceptBrokenChains = false }: RestoreOptions): void => {
  const rows = database
    .prepare('SELECT stream, revision, event_id, type, data, metadata FROM events ORDER BY stream, revision')
    .iterate([]) as IterableIterator<HistoryRow>;
  let stream = '';
  let place: ChainPlace = CHAIN_START;
  for (const row of rows) {
    if (row.stream !== stream) place = CHAIN_START;
    stream = row.stream;
    const step = checkLink(eventOf(row), place, sha256);
    place = step.place;
    const cause = step.broken?.cause;
    if (cause === 'revision' || (cause !== undefined && !acceptBrokenChains))
      throw refused('The history in the file was altered or damaged.', undefined, { stream, revision: row.revision });
  }
};

interface HistoryRow extends Readonly<Record<'stream' | 'event_id' | 'type' | 'data' | 'metadata', string>> {
  readonly revision: number;
}

const eventOf = (row: HistoryRow): ChainedEvent => {
  const { stream, revision, event_id: eventId, type, data, metadata } = row;
  try {
    return { stream, revision, eventId, type, data: JSON.parse(data), metadata: JSON.parse(metadata) };
  } catch (cause) {
    throw refused('The history in the file is damaged.', { cause }, { stream, revision });
  }
};

// ── Files ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const bringUpToDate = async (folder: string, clock: Clock): Promise<void> => {
  const database = await SqliteDatabase.open(folder, { busyTimeoutMs: BUSY_TIMEOUT_MS });
  try {
    await SqliteEventStore.open(database, clock);
    await SqliteOutcomes.open(database);
  } catch (error) {
    throw error instanceof NewerSchema ? refused(error.message) : error;
  } finally {
    await database.close();
  }
};

const connected = <T>(file: string, attached: string | undefined, work: (database: Database.Database) => T): T => {
  const database = new Database(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    if (attached !== undefined) {
      database.exec('PRAGMA synchronous = FULL');
      database.prepare('ATTACH ? AS copy').run([attached]);
    }
    return work(database);
  } finally {
    database.close();
  }
};

const within = <T>(database: Database.Database, begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => T): T => {
  database.exec(begin);
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.inTransaction) database.exec('ROLLBACK');
    throw error;
  }
};

const syncFolder = (folder: string): void => {
  const descriptor = openSync(folder, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
};

const refused = (message: string, options?: ErrorOptions, details = {}): RekeyError =>
  new RekeyError('invalid_request', message, { field: 'file', ...details }, options);

/** Hides the errors of SQLite and the file system, which name paths and statements, in `cause` for the log. */
const translated = <T>(work: () => T): T => {
  try {
    return work();
  } catch (error) {
    if (error instanceof RekeyError || error instanceof EngineUnavailable) throw error;
    throw new RekeyError(
      'unavailable',
      'The backup or the store could not be read or written; see the log.',
      {},
      { cause: error },
    );
  }
};
