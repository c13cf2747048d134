import type { secretAnswer } from '@rekey/contracts';
import type { z } from 'zod';

type SecretAnswer = z.infer<typeof secretAnswer>;

/** Weight of a media type in `Accept` (RFC 9110 §12.5.1): that of the range which names it most closely, 0 to 1. */
const weightOf = (accept: string, type: string): number => {
  const [main] = type.split('/');
  let closest = -1;
  let weight = 0;
  for (const part of accept.split(',')) {
    const [range = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const closeness = [`*/*`, `${main}/*`, type].indexOf(range);
    if (closeness <= closest) continue;
    const q = parameters.find((parameter) => /^q\s*=/.test(parameter));
    const given = q === undefined ? 1 : Number(q.slice(q.indexOf('=') + 1));
    closest = closeness;
    weight = given >= 0 && given <= 1 ? given : 0;
  }
  return weight;
};

/** Whether a caller wants a media type rather than JSON, which is what they get where they do not say. */
export const prefers = (accept: string | undefined, type: string): boolean =>
  accept !== undefined && weightOf(accept, type) > weightOf(accept, 'application/json');

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
