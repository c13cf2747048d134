/** A value that can be bound. Numbers are bound as REAL; INTEGER affinity of a column turns whole ones back into integers. */
export type SqlValue = string | number | bigint | null | Uint8Array;
export type Row = Readonly<Record<string, unknown>>;

/** A prepared statement of the read connection. It sees everything committed before the call. */
export interface Statement<R> {
  get(params?: readonly SqlValue[]): R | undefined;
  all(params?: readonly SqlValue[]): R[];
}

/** One statement of a write. */
export interface Step {
  readonly sql: string;
  readonly params?: readonly SqlValue[];
  /** `all` for statements that return rows (SELECT, RETURNING) and for ALTER TABLE, `run` for the rest. */
  readonly kind: 'run' | 'all';
  /** Fails the whole write with `ExpectationFailed` if the step changes (`all`: returns) a different number of rows. */
  readonly expectChanges?: number;
}

export interface StepResult {
  /** Number of rows changed; for an `all` step, of rows returned. */
  readonly changes: number;
  /** Rowid of the last insert of a `run` step. */
  readonly lastRowId: number;
  readonly rows: readonly Row[];
}

/** Throws `TypeError` for values that the driver cannot bind: on a boolean it aborts the whole process. */
export const checkBindable = (value: unknown): void => {
  if (value === null || typeof value === 'string' || typeof value === 'number') return;
  if (typeof value === 'bigint' || value instanceof Uint8Array) return;
  throw new TypeError(`A value of type ${typeof value} cannot be bound.`);
};
