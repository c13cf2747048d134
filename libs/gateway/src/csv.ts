import type { secretAnswer } from '@rekey/contracts';
import type { z } from 'zod';

type SecretAnswer = z.infer<typeof secretAnswer>;

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

/** RFC 4180 quoting; text that a spreadsheet would take for a formula gets an apostrophe before it. */
const cell = (value: unknown): string => {
  const text = value === undefined || value === null ? '' : String(value);
  const harmless = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
};

/** The inventory as CSV (RFC 4180) with a header line. */
export const csvOf = (secrets: readonly SecretAnswer[]): string =>
  [COLUMNS.join(','), ...secrets.map((secret) => COLUMNS.map((column) => cell(secret[column])).join(','))]
    .map((line) => `${line}\r\n`)
    .join('');
