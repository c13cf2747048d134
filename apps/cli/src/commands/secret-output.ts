import { secretAnswer } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import type { z } from 'zod';
import { durationText, status, when, type Formatter } from '../output';

/** Partial: the answer 202 lacks some fields. */
export const partialSecret = secretAnswer.partial();
export type Secret = z.infer<typeof partialSecret>;

/** Formats one secret, with its revision. */
export const secretRecord = (formatter: Formatter, secret: Secret, now: Instant, etag: string | undefined): string => {
  const by = (at: string | undefined, who: { id: string } | undefined): string | undefined =>
    at && `${when(at, now)}${who ? ` by ${who.id}` : ''}`;
  const { expirySource, lastNotice } = secret;
  const source = expirySource === undefined ? '' : `, by ${SOURCES[expirySource] ?? expirySource}`;
  return formatter.record([
    ['Secret', secret.id],
    ['Description', secret.description],
    ['Application', secret.clientId],
    ['Domain', secret.domainId],
    ['Status', secret.status && status(secret.status)],
    ['Version', secret.version?.toString()],
    ['Ends with', secret.hint],
    ['Expires', secret.expiresAt ? when(secret.expiresAt, now) + source : expirySource && `never${source}`],
    ['Own lifetime', secret.ownExpiresIn && durationText(secret.ownExpiresIn)],
    ['Not before', secret.notBefore && when(secret.notBefore, now)],
    ['Old value until', secret.previousValidUntil && when(secret.previousValidUntil, now)],
    ['Networks', secret.allowedCidrs?.join(', ') || undefined],
    ['Created', by(secret.createdAt, secret.createdBy)],
    ['Renewed', by(secret.renewedAt, secret.renewedBy)],
    ['Suspended', by(secret.suspendedAt, secret.suspendedBy)],
    ['Revoked', by(secret.revokedAt, secret.revokedBy)],
    ['Reason', secret.revocationReason],
    ['Expiry recorded', secret.expiredAt],
    ['Last notice', lastNotice && `${lastNotice.outcome} by ${lastNotice.channel}, ${when(lastNotice.at, now)}`],
    [
      'Last used',
      secret.lastUsedAt &&
        `${when(secret.lastUsedAt, now)}${secret.lastUsedFrom ? ` from ${secret.lastUsedFrom}` : ''}`,
    ],
    ['Uses', secret.uses?.toString()],
    ['Revision', etag?.replaceAll('"', '')],
  ]);
};

const SOURCES: Readonly<Record<string, string>> = {
  command: 'request',
  secret: "the secret's own lifetime",
  application: "the application's policy",
  domain: "the domain's policy",
  none: 'no rule',
  'domain-bound': "the domain's bound",
};

/** Formats secrets as a table; `wide` adds the columns of the application. */
export const secretTable = (formatter: Formatter, secrets: Secret[], now: Instant, wide = false): string =>
  formatter.table(
    ['SECRET', ...(wide ? ['DOMAIN', 'CLIENT ID'] : []), 'DESCRIPTION', 'STATUS', 'VERSION', 'EXPIRES', 'LAST USED'],
    secrets.map((secret) => [
      secret.id,
      ...(wide ? [secret.domainId, secret.clientId] : []),
      secret.description,
      secret.status && status(secret.status),
      secret.version?.toString(),
      secret.expiresAt ? when(secret.expiresAt, now) : 'never',
      secret.lastUsedAt ? when(secret.lastUsedAt, now) : 'never',
    ]),
  );
