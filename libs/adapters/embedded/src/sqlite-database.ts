import { EngineUnavailable } from '@rekey/ports';
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { ENGINE, ExpectationFailed, NewerSchema } from './sqlite-errors';
import { SqliteReader } from './sqlite-reader';
import type { Row, Statement, Step, StepResult } from './sqlite-statement';
import { SqliteWriter } from './sqlite-writer';
import { STORE_FILE } from './store-file';

/** Upper bound on how long a commit of another process goes unnoticed. */
const POLL_MS = 5;
const BUSY_TIMEOUT_MS = 5_000;

export interface SqliteOptions {
  /** How long a write waits for other writing processes. Default 5,000. */
  readonly busyTimeoutMs?: number;
}

/**
 * One SQLite file in WAL mode. Writes go through one worker thread with `synchronous=FULL`: a resolved write is on disk.
 * Reads are synchronous, on a connection that cannot write. Several processes of one machine may open the same folder.
 */
export class SqliteDatabase {
  private readonly listeners = new Set<() => void>();
  private closing: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private seenVersion = -1;

  private constructor(
    readonly folder: string,
    private readonly writer: SqliteWriter,
    private readonly reader: SqliteReader,
  ) {}

  /**
   * Opens the store of a folder. Creates both if they are missing, accessible to their owner only. Throws
   * `EngineUnavailable` if the file cannot be opened or is not a Rekey store.
   */
  static async open(folder: string, options: SqliteOptions = {}): Promise<SqliteDatabase> {
    const file = path.join(folder, STORE_FILE);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      // SQLite gives its WAL and shared-memory files the mode of the database file.
      closeSync(openSync(file, 'a', 0o600));
      chmodSync(file, 0o600);
      const writer = await SqliteWriter.start({
        file,
        busyTimeoutMs: options.busyTimeoutMs ?? BUSY_TIMEOUT_MS,
        onCommit: () => database.notifyIfChanged(),
      });
      const database = new SqliteDatabase(folder, writer, new SqliteReader(file));
      return database;
    } catch (error) {
      throw error instanceof EngineUnavailable ? error : new EngineUnavailable(ENGINE, { cause: error });
    }
  }

  /**
   * Runs the steps in order, all or none, and resolves when they are on disk. Throws `ExpectationFailed`,
   * `ConstraintFailed`, or `EngineUnavailable` (the outcome is then unknown).
   */
  write(steps: readonly Step[]): Promise<StepResult[]> {
    return this.writer.write(steps);
  }

  /**
   * Returns a statement of the read connection, cached by its text. Name the columns instead of using `*`: their names
   * are read once, when the statement is compiled. Running it throws `EngineUnavailable` if the store cannot be read.
   */
  prepare<R extends object = Row>(sql: string): Statement<R> {
    return this.reader.prepare<R>(sql);
  }

  /** Runs synchronous `work` whose reads all see the same state of the store. */
  snapshot<T>(work: () => T): T {
    return this.reader.snapshot(work);
  }

  /**
   * Calls `listener` within milliseconds of each commit, by this process or another; sometimes without one. Returns a
   * function that removes the listener.
   */
  watch(listener: () => void): () => void {
    // Wrapped, so that a function registered twice counts as two listeners.
    const own = (): void => listener();
    this.listeners.add(own);
    this.timer ??= setInterval(() => this.notifyIfChanged(), POLL_MS).unref();
    return () => {
      this.listeners.delete(own);
      if (this.listeners.size > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }

  /**
   * Migrates one part of the schema to its newest version: `versions[n]` holds the statements from version n to n+1.
   * Safe to call from several processes at once. Throws `NewerSchema` if a newer version of Rekey has migrated it.
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
        // Another process migrated first: read the version again.
        if (!(error instanceof ExpectationFailed)) throw error;
      }
    }
  }

  /** Finishes pending writes, refuses new ones and closes the file. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    clearInterval(this.timer);
    this.listeners.clear();
    this.reader.close();
    await this.writer.close();
  }

  private notifyIfChanged(): void {
    if (this.listeners.size === 0 || this.closing) return;
    try {
      const version = this.prepare<{ data_version: number }>('PRAGMA data_version').get()?.data_version ?? -1;
      if (version === this.seenVersion) return;
      this.seenVersion = version;
    } catch {
      // The store cannot be read now. The listeners read it and get the error where they can handle it.
    }
    for (const listener of [...this.listeners]) listener();
  }
}
