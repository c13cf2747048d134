import type { Position as LogPosition } from '@eventstore/db-client';
import { type Position, START } from '@rekey/ports';

/** Digits of the greatest unsigned 64-bit number. */
const DIGITS = 20;
const FORM = new RegExp(`^\\d{${2 * DIGITS}}$`);

const padded = (place: bigint): string => String(place).padStart(DIGITS, '0');

/** A place in the log as text that sorts like the log: commit position, then prepare position, 20 digits each. */
export const textOf = ({ commit, prepare }: LogPosition): Position => padded(commit) + padded(prepare);

/** The place in the log that a text names; `start` before the first event. Throws `RangeError`. */
export const logPositionOf = (position: Position): LogPosition | 'start' => {
  if (position === START) return 'start';
  if (!FORM.test(position)) throw new RangeError('Not a position of this store.');
  return { commit: BigInt(position.slice(0, DIGITS)), prepare: BigInt(position.slice(DIGITS)) };
};
