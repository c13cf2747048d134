import type { Command } from 'commander';
import type { z } from 'zod';
import type { Answer } from '../client';
import { EXIT, Failure } from '../failure';
import { parseBody, type Session } from '../session';

export interface ValueOptions {
  readonly valueOnly?: boolean;
}

export const valueOnly = (command: Command): Command => command.option('--value-only', 'Print only the value.');

/**
 * Prints an answer with a new value; nothing else in the CLI prints one. Throws `Failure` if the answer has no value: the
 * repeat of a request returns it for 15 minutes only.
 */
export const showValue = async <T>(
  session: Session,
  options: ValueOptions,
  answer: Answer,
  schema: z.ZodType<T>,
  valueOf: (body: T) => string | null | undefined,
  format: (session: Session, body: T, answer: Answer) => string,
): Promise<void> => {
  const body = session.json ? undefined : parseBody(schema, answer.body);
  if (body === undefined) return session.line(answer.text);
  const value = valueOf(body);
  if (options.valueOnly && typeof value === 'string') return session.line(value);
  if (!options.valueOnly) {
    const shown = typeof value === 'string' ? `\n\n${session.formatter.record([['Value', value]])}` : '';
    await session.line(`${format(session, body, answer)}${shown}`);
    if (typeof value === 'string') return session.note('\nStore this value now; it cannot be shown again.');
  }
  throw new Failure(
    EXIT.refused,
    'An earlier request with this idempotency key created the value; it cannot be shown again. Renew the secret to get a new one.',
  );
};
