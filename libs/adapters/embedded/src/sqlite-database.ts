import { EngineUnavailable } from '@rekey/ports';
import Database from 'libsql';
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { ENGINE, ExpectationFailed, type Failure, NewerSchema, errorOf, reading } from './sqlite-errors';

/** Name of the store's file in its folder. */
export const STORE_FILE = 'rekey.db';
/** Marks the file as ours (`PRAGMA application_id`): "RKEY". */
export const APPLICATION_ID = 0x524b4559;

/** How soon a commit of another process is noticed, at the latest. */
const POLL_MS = 5;
const BUSY_TIMEOUT_MS = 5_000;
/** Reads run on the event loop, so they do not wait long; in WAL mode they hardly ever meet a lock. */
const READ_BUSY_TIMEOUT_MS = 500;
const STATEMENTS_KEPT = 1_000;

/** What can be bound. Numbers are bound as REAL: a column's INTEGER affinity makes whole ones integers again. */
export type SqlValue = string | number | bigint | null | Uint8Array;
export type Row = Readonly<Record<string, unknown>>;

/** One statement of a write. */
export interface Step {
  readonly sql: string;
  readonly params?: readonly SqlValue[];
  /** `all` for statements that answer rows (SELECT, RETURNING) and for ALTER TABLE, `run` for the rest. */
  readonly kind: 'run' | 'all';
  /** Fails the whole write with `ExpectationFailed` where the step changes (`all`: answers) another number of rows. */
  readonly expectChanges?: number;
}

export interface StepResult {
  /** Rows changed; of an `all` step: rows answered. */
  readonly changes: number;
  /** Rowid of the last insert of a `run` step. */
  readonly lastRowId: number;
  readonly rows: readonly Row[];
}

/** A prepared question to the read side. Answers what is committed when it is asked. */
export interface Query<R> {
  get(params?: readonly SqlValue[]): R | undefined;
  all(params?: readonly SqlValue[]): R[];
}

export interface SqliteOptions {
  /** How long a write waits for other processes that write. */
  readonly busyTimeoutMs?: number;
}

interface FromWorker {
  readonly ready?: true;
  readonly failed?: Failure;
  readonly answers?: readonly { id: number; results?: StepResult[]; failure?: Failure }[];
}

interface Waiting {
  readonly resolve: (results: StepResult[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * One SQLite file in WAL mode. Writes go through one worker thread, which commits all that wait in one transaction with
 * `synchronous=FULL`: a write that resolved is on disk. Reads are synchronous, on a connection that cannot write.
 * Several processes of one machine may open the same folder.
 */
export class SqliteDatabase {
  private readonly queries = new Map<string, Query<unknown>>();
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Set<() => void>();
  private unsent: { id: number; steps: readonly Step[] }[] = [];
  private lastId = 0;
  private worker: Promise<Worker> | undefined;
  private closing: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private seenVersion = -1;

  private constructor(
    readonly folder: string,
    private readonly startWorker: () => Promise<Worker>,
    private readonly reader: Database.Database,
  ) {}

  /**
   * Opens the store of a folder; makes both where they are missing, readable for their owner only. Throws
   * `EngineUnavailable` where the file cannot be opened or is no store of ours.
   */
  static async open(folder: string, options: SqliteOptions = {}): Promise<SqliteDatabase> {
    const file = path.join(folder, STORE_FILE);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      // SQLite gives its WAL and shared-memory files the mode of the file itself.
      closeSync(openSync(file, 'a', 0o600));
      chmodSync(file, 0o600);
      const start = () => startWorker(file, options.busyTimeoutMs ?? BUSY_TIMEOUT_MS);
      const worker = await start();
      const database = new SqliteDatabase(folder, start, openReader(file));
      database.attend(worker);
      return database;
    } catch (error) {
      throw error instanceof EngineUnavailable ? error : new EngineUnavailable(ENGINE, { cause: error });
    }
  }

  /**
   * Runs steps in order, all or none, and resolves when they are on disk. Throws `ExpectationFailed`,
   * `ConstraintFailed`, or `EngineUnavailable` (then it is not known whether they were done).
   */
  write(steps: readonly Step[]): Promise<StepResult[]> {
    if (this.closing) return Promise.reject(new EngineUnavailable(ENGINE));
    for (const { params } of steps) params?.forEach(checkBindable);
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      this.waiting.set(id, { resolve, reject });
      if (this.unsent.push({ id, steps }) === 1) queueMicrotask(() => this.send());
    });
  }

  /**
   * A statement of the read side; the same text gives the same prepared statement. Name the columns: their names are
   * taken once. Asking throws `EngineUnavailable` where the store is away.
   */
  prepare<R extends object = Row>(sql: string): Query<R> {
    const known = this.queries.get(sql);
    const query = known ?? this.compile(sql);
    if (known) this.queries.delete(sql);
    this.queries.set(sql, query);
    if (this.queries.size > STATEMENTS_KEPT) this.queries.delete(this.queries.keys().next().value as string);
    return query as Query<R>;
  }

  /** Lets all questions that are asked inside `work` (which must not wait) see the store at one and the same moment. */
  snapshot<T>(work: () => T): T {
    this.refuseIfClosed();
    reading(() => this.reader.exec('BEGIN'));
    try {
      return work();
    } finally {
      this.reader.exec('COMMIT');
    }
  }

  /**
   * Calls back after each commit, of this process or another, within milliseconds; sometimes without need. The answer
   * takes it back.
   */
  watch(listener: () => void): () => void {
    const own = (): void => listener();
    this.listeners.add(own);
    this.timer ??= setInterval(() => this.poll(), POLL_MS).unref();
    return () => {
      this.listeners.delete(own);
      if (this.listeners.size > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }

  /**
   * Brings a part of the store to its newest schema: `versions[n]` holds the statements from version n to n+1. Safe to
   * call from several processes at once. Throws `NewerSchema` where newer code has been here.
   */
  async migrate(part: string, versions: readonly (readonly string[])[]): Promise<void> {
    const stored = this.prepare<{ version: number }>('SELECT version FROM rekey_schema WHERE part = ?');
    for (;;) {
      const found = stored.get([part])?.version ?? 0;
      if (found > versions.length) throw new NewerSchema(part, found, versions.length);
      if (found === versions.length) return;
      const claim: Step = {
        kind: 'run',
        sql: `INSERT INTO rekey_schema (part, version) SELECT ?1, ?2
              WHERE coalesce((SELECT version FROM rekey_schema WHERE part = ?1), 0) = ?3
              ON CONFLICT (part) DO UPDATE SET version = excluded.version`,
        params: [part, versions.length, found],
        expectChanges: 1,
      };
      const changes = versions
        .slice(found)
        .flatMap((statements) => statements.map((sql): Step => ({ kind: 'all', sql })));
      try {
        await this.write([claim, ...changes]);
      } catch (error) {
        if (!(error instanceof ExpectationFailed)) throw error;
      }
    }
  }

  /** Finishes the writes in hand, refuses new ones, and lets go of the file. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  // ── Inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private async shutDown(): Promise<void> {
    clearInterval(this.timer);
    this.listeners.clear();
    this.send();
    const worker = await this.worker?.catch(() => undefined);
    if (worker)
      await new Promise<void>((resolve) => {
        worker.once('exit', () => resolve());
        worker.postMessage({ close: true });
      });
    this.queries.clear();
    this.reader.close();
  }

  private compile(sql: string): Query<unknown> {
    let statement:
      { get(params: readonly SqlValue[]): unknown; all(params: readonly SqlValue[]): unknown[] } | undefined;
    let names: string[] = [];
    const compiled = () => {
      this.refuseIfClosed();
      if (statement) return statement;
      const made = this.reader.prepare(sql).raw();
      names = made.columns().map((column) => column.name);
      return (statement = made);
    };
    const rowOf = (values: readonly unknown[]): Row => {
      const row: Record<string, unknown> = {};
      for (let index = 0; index < names.length; index++) row[names[index] as string] = values[index];
      return row;
    };
    return {
      get: (params = []) => {
        params.forEach(checkBindable);
        const values = reading(() => compiled().get(params)) as unknown[] | undefined;
        return values && rowOf(values);
      },
      all: (params = []) => {
        params.forEach(checkBindable);
        return (reading(() => compiled().all(params)) as unknown[][]).map(rowOf);
      },
    };
  }

  private refuseIfClosed(): void {
    if (this.closing) throw new EngineUnavailable(ENGINE);
  }

  private send(): void {
    if (this.unsent.length === 0) return;
    const requests = this.unsent;
    this.unsent = [];
    // A thread that died is replaced by the first write after it.
    this.worker ??= this.startWorker().then((worker) => this.attend(worker));
    this.worker.then(
      (worker) => worker.postMessage({ requests }),
      (error: Error) => this.abandon(error),
    );
  }

  private attend(worker: Worker): Worker {
    this.worker = Promise.resolve(worker);
    worker.on('message', ({ answers = [] }: FromWorker) => {
      for (const { id, results, failure } of answers) {
        const waiting = this.waiting.get(id);
        this.waiting.delete(id);
        if (failure) waiting?.reject(errorOf(failure));
        else waiting?.resolve(results ?? []);
      }
      this.poll();
    });
    let cause = new Error('The writing thread has ended.');
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => this.abandon(cause));
    return worker;
  }

  private abandon(cause: Error): void {
    this.worker = undefined;
    for (const { reject } of this.waiting.values()) reject(new EngineUnavailable(ENGINE, { cause }));
    this.waiting.clear();
  }

  /** Tells the listeners where the file has changed since they were told last. */
  private poll(): void {
    if (this.listeners.size === 0 || this.closing) return;
    try {
      const version = this.prepare<{ data_version: number }>('PRAGMA data_version').get()?.data_version ?? -1;
      if (version === this.seenVersion) return;
      this.seenVersion = version;
    } catch {
      // The store is away for now. Whoever is told and reads it meets the error where it can be handled.
    }
    for (const listener of [...this.listeners]) listener();
  }
}

const startWorker = async (file: string, busyTimeoutMs: number): Promise<Worker> => {
  const opening = [
    'PRAGMA journal_mode = WAL',
    'PRAGMA synchronous = FULL',
    'PRAGMA journal_size_limit = 67108864',
    // 16 MB: a page that many commits in a row change is copied back once, which halves the cost of projecting.
    'PRAGMA wal_autocheckpoint = 4000',
    'PRAGMA cache_size = -32000',
    // Indexes are made by sorting, and there may be no other folder that can be written to.
    'PRAGMA temp_store = MEMORY',
  ];
  const beginning = [
    `PRAGMA application_id = ${APPLICATION_ID}`,
    'CREATE TABLE rekey_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID',
  ];
  const workerData = { file, busyTimeoutMs, opening, beginning, applicationId: APPLICATION_ID };
  const worker = new Worker(path.join(__dirname, 'sqlite-worker.mjs'), { workerData });
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('The writing thread has ended.')));
    worker.once('message', ({ failed }: FromWorker) => (failed ? reject(errorOf(failed)) : resolve()));
  });
  return worker;
};

const openReader = (file: string): Database.Database => {
  const reader = new Database(file, { timeout: READ_BUSY_TIMEOUT_MS });
  reader.exec('PRAGMA query_only = 1');
  reader.exec('PRAGMA cache_size = -32000');
  return reader;
};

/** The driver ends the whole process on a boolean, so nothing but what it knows gets there. */
const checkBindable = (value: unknown): void => {
  if (value === null || typeof value === 'string' || typeof value === 'number') return;
  if (typeof value === 'bigint' || value instanceof Uint8Array) return;
  throw new TypeError(`A value of type ${typeof value} cannot be bound.`);
};
