import { EngineUnavailable } from '@rekey/ports';

/** How the store is called where it is away. */
export const ENGINE = 'embedded store';

/** A step changed another number of rows than it had to; the write left nothing behind. */
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

/** A write broke a constraint and left nothing behind. `code` as SQLite names it: `SQLITE_CONSTRAINT_UNIQUE` … */
export class ConstraintFailed extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'ConstraintFailed';
  }
}

/** The store, or a part of it, was written by newer code than this. */
export class NewerSchema extends Error {
  constructor(part: string, found: number, known: number) {
    super(`The store's part ${part} has schema version ${found}; this version of Rekey knows ${known} at most.`);
    this.name = 'NewerSchema';
  }
}

/** What a thread tells of an error: SQLite's code, or `EXPECTATION`. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly step?: number;
  readonly expected?: number;
  readonly actual?: number;
}

/** Asks SQLite, and turns what it throws into the errors of ours. */
export const reading = <T>(work: () => T): T => {
  try {
    return work();
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    throw typeof code === 'string' ? errorOf({ code, message: String(message) }, error) : error;
  }
};

/** SQLite's result codes that say that the file, the disk or a lock is at fault and not the question. */
const AWAY =
  /^SQLITE_(BUSY|LOCKED|IOERR|FULL|CANTOPEN|READONLY|NOMEM|CORRUPT|NOTADB|PROTOCOL|PERM|AUTH|INTERRUPT|ABORT|SCHEMA)/;

/** The error that a failure of SQLite is to the rest of us. */
export const errorOf = (failure: Failure, cause?: unknown): Error => {
  const { code, message, step = 0, expected = 0, actual = 0 } = failure;
  if (code === 'EXPECTATION') return new ExpectationFailed(step, expected, actual);
  if (code.startsWith('SQLITE_CONSTRAINT')) return new ConstraintFailed(code, message);
  const error = cause ?? new Error(`${code}: ${message}`);
  if (AWAY.test(code)) return new EngineUnavailable(ENGINE, { cause: error });
  return error instanceof Error ? error : new Error(`${code}: ${message}`);
};
