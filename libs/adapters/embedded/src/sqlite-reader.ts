import { EngineUnavailable } from '@rekey/ports';
import Database from 'libsql';
import { ENGINE, CLOSED, withSqliteErrors } from './sqlite-errors';
import { type Row, type SqlValue, type Statement, checkBindable } from './sqlite-statement';

/** Reads block the event loop, so they give up early. In WAL mode readers hardly ever meet a lock. */
const BUSY_TIMEOUT_MS = 500;
const STATEMENTS_KEPT = 1_000;

type RawStatement = { get(params: readonly SqlValue[]): unknown; all(params: readonly SqlValue[]): unknown[] };

/** Synchronous reads of one SQLite file, on a connection that cannot write. */
export class SqliteReader {
  private readonly statements = new Map<string, Statement<unknown>>();
  private readonly connection: Database.Database;
  private closed = false;

  constructor(file: string) {
    this.connection = new Database(file, { timeout: BUSY_TIMEOUT_MS });
    this.connection.exec('PRAGMA query_only = 1');
    this.connection.exec('PRAGMA cache_size = -32000');
  }

  /** See `SqliteDatabase.prepare`. */
  prepare<R extends object>(sql: string): Statement<R> {
    const known = this.statements.get(sql);
    const statement = known ?? this.compile(sql);
    if (known) this.statements.delete(sql);
    this.statements.set(sql, statement);
    if (this.statements.size > STATEMENTS_KEPT) this.statements.delete(this.statements.keys().next().value as string);
    return statement as Statement<R>;
  }

  /** See `SqliteDatabase.snapshot`. */
  snapshot<T>(work: () => T): T {
    this.throwIfClosed();
    withSqliteErrors(() => this.connection.exec('BEGIN'));
    try {
      return work();
    } finally {
      this.connection.exec('COMMIT');
    }
  }

  /** Later reads throw `EngineUnavailable`. */
  close(): void {
    this.closed = true;
    this.statements.clear();
    this.connection.close();
  }

  /** Compiles on first use, so that an unavailable store fails the read and not its caller's constructor. */
  private compile(sql: string): Statement<unknown> {
    let statement: RawStatement | undefined;
    let names: string[] = [];
    const compiled = (): RawStatement => {
      this.throwIfClosed();
      if (statement) return statement;
      const raw = this.connection.prepare(sql).raw();
      names = raw.columns().map((column) => column.name);
      return (statement = raw);
    };
    const rowOf = (values: readonly unknown[]): Row => {
      const row: Record<string, unknown> = {};
      for (let index = 0; index < names.length; index++) row[names[index] as string] = values[index];
      return row;
    };
    return {
      get: (params = []) => {
        params.forEach(checkBindable);
        const values = withSqliteErrors(() => compiled().get(params)) as unknown[] | undefined;
        return values && rowOf(values);
      },
      all: (params = []) => {
        params.forEach(checkBindable);
        return (withSqliteErrors(() => compiled().all(params)) as unknown[][]).map(rowOf);
      },
    };
  }

  private throwIfClosed(): void {
    if (this.closed) throw new EngineUnavailable(ENGINE, { cause: new Error(CLOSED) });
  }
}
