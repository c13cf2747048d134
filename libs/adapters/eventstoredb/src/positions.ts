import type { Position as LogPosition } from '@eventstore/db-client';
import { type Position, START } from '@rekey/ports';

/** Number of digits of 2^64 - 1. */
const DIGITS = 20;
const FORM = new RegExp(`^\\d{${2 * DIGITS}}$`);

const padded = (position: bigint): string => String(position).padStart(DIGITS, '0');

/** Returns a log position as text that sorts like the log: commit position, then prepare position, 20 digits each. */
export const textOf = ({ commit, prepare }: LogPosition): Position => padded(commit) + padded(prepare);

/** Parses a position; the empty text is `start`. Throws `RangeError` if it is malformed. */
export const logPositionOf = (position: Position): LogPosition | 'start' => {
  if (position === START) return 'start';
  if (!FORM.test(position)) throw new RangeError('The position is not one of this store: it must have 40 digits.');
  return { commit: BigInt(position.slice(0, DIGITS)), prepare: BigInt(position.slice(DIGITS)) };
};
