import type { secretAnswer } from '@rekey/contracts';
import Negotiator from 'negotiator';
import type { z } from 'zod';

type SecretAnswer = z.infer<typeof secretAnswer>;

/**
 * Whether a caller prefers a media type to JSON by `Accept` (RFC 9110 §12.5.1). Of two that it likes equally, the one that
 * it names first counts; without a preference it gets JSON.
 */
export const prefers = (accept: string | undefined, type: string): boolean => {
  if (accept === undefined) return false;
  const offered = `${type}; charset=utf-8`;
  return new Negotiator({ headers: { accept } }).mediaType(['application/json', offered]) === offered;
};

const COLUMNS = [
  'domainId',
  'applicationId',
  'applicationName',
  'clientId',
  'id',
  'version',
  'description',
  'status',
  'hint',
  'createdAt',
  'renewedAt',
  'notBefore',
  'expiresAt',
  'expirySource',
  'previousValidUntil',
  'suspendedAt',
  'revokedAt',
  'revocationReason',
  'lastUsedAt',
  'uses',
] as const satisfies readonly (keyof SecretAnswer)[];

/** Quotes a cell (RFC 4180). Puts an apostrophe before text that a spreadsheet would run as a formula. */
const cell = (value: unknown): string => {
  const text = value === undefined || value === null ? '' : String(value);
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/** Returns secrets as CSV (RFC 4180) with a header line. */
export const csvOf = (secrets: readonly SecretAnswer[]): string =>
  [COLUMNS.join(','), ...secrets.map((secret) => COLUMNS.map((column) => cell(secret[column])).join(','))]
    .map((line) => `${line}\r\n`)
    .join('');
