import { EngineUnavailable } from '@rekey/ports';

/** Name of the engine in `EngineUnavailable`. */
export const ENGINE = 'embedded store (SQLite)';

/** Why a call after `close` fails. */
export const CLOSED = 'The store is closed; Rekey is shutting down.';

/** A step changed a different number of rows than expected; the whole write was rolled back. */
export class ExpectationFailed extends Error {
  constructor(
    readonly step: number,
    readonly expected: number,
    readonly actual: number,
  ) {
    super(`Step ${step} changed ${actual} rows, expected ${expected}.`);
    this.name = 'ExpectationFailed';
  }
}

/** A write violated a constraint and was rolled back. `code` is SQLite's: `SQLITE_CONSTRAINT_UNIQUE` … */
export class ConstraintFailed extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'ConstraintFailed';
  }
}

/** A newer version of Rekey has written the store, or a part of its schema. */
export class NewerSchema extends Error {
  constructor(part: string, found: number, known: number) {
    super(
      `Written by a newer version of Rekey: schema part "${part}" is at version ${found}, ` +
        `this version supports up to ${known}. Use the newer version.`,
    );
    this.name = 'NewerSchema';
  }
}

/** An error as a worker thread reports it. `code` is SQLite's, or `EXPECTATION`. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly step?: number;
  readonly expected?: number;
  readonly actual?: number;
}

/** Runs `work` and maps the errors of SQLite that it throws as `errorOf` does. */
export const withSqliteErrors = <T>(work: () => T): T => {
  try {
    return work();
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    throw typeof code === 'string' ? errorOf({ code, message: String(message) }, error) : error;
  }
};

/** SQLite result codes that blame the file, the disk or a lock rather than the statement. */
const UNAVAILABLE =
  /^SQLITE_(BUSY|LOCKED|IOERR|FULL|CANTOPEN|READONLY|NOMEM|CORRUPT|NOTADB|PROTOCOL|PERM|AUTH|INTERRUPT|ABORT|SCHEMA)/;

/** Returns the error for a failure of SQLite: `ExpectationFailed`, `ConstraintFailed`, `EngineUnavailable` or as it is. */
export const errorOf = (failure: Failure, cause?: unknown): Error => {
  const { code, message, step = 0, expected = 0, actual = 0 } = failure;
  if (code === 'EXPECTATION') return new ExpectationFailed(step, expected, actual);
  if (code.startsWith('SQLITE_CONSTRAINT')) return new ConstraintFailed(code, message);
  const error = cause ?? new Error(`${code}: ${message}`);
  if (UNAVAILABLE.test(code)) return new EngineUnavailable(ENGINE, { cause: error });
  return error instanceof Error ? error : new Error(`${code}: ${message}`);
};
