import type { Command } from 'commander';
import type { z } from 'zod';
import type { Answer } from '../client';
import { EXIT, Failure } from '../failure';
import { fits, type Session } from '../session';

export interface ValueOptions {
  readonly valueOnly?: boolean;
}

export const valueOnly = (command: Command): Command =>
  command.option('--value-only', 'print the value alone, and nothing else, on standard output');

/**
 * Shows an answer that holds a new value, in the one place where a value is ever printed. Where the value is no longer
 * to be had (a repeat after a quarter of an hour), that is a failure, and nothing stands where a value would.
 */
export const showValue = async <T>(
  session: Session,
  options: ValueOptions,
  answer: Answer,
  schema: z.ZodType<T>,
  valueOf: (body: T) => string | null | undefined,
  words: (session: Session, body: T, answer: Answer) => string,
): Promise<void> => {
  const body = session.json ? undefined : fits(schema, answer.body);
  if (body === undefined) return session.line(answer.text);
  const value = valueOf(body);
  if (options.valueOnly && typeof value === 'string') return session.line(value);
  if (!options.valueOnly) {
    const shown = typeof value === 'string' ? `\n\n${session.paper.record([['Value', value]])}` : '';
    await session.line(`${words(session, body, answer)}${shown}`);
    if (typeof value === 'string')
      return session.note('\nThis value is shown this once: put it where it belongs now. Rekey does not keep it.');
  }
  throw new Failure(
    EXIT.refused,
    'This was done before under the same idempotency key, and the value is no longer kept. Renew the secret to get one.',
  );
};
