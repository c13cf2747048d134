import type { Instant } from '@rekey/domain';
import { z } from 'zod';

/** All views and their versions. An incompatible change of the documents needs a new version. */
export const VIEW_VERSIONS = {
  authentication: 1,
  domains: 1,
  applications: 1,
  secrets: 2,
  'expiry-schedule': 1,
  notifications: 1,
} as const;
export type ViewName = keyof typeof VIEW_VERSIONS;
export const viewSchema = z.enum(Object.keys(VIEW_VERSIONS) as [ViewName, ...ViewName[]]);

export const SECRET_STATUSES = ['active', 'expiring', 'expired', 'suspended', 'revoked', 'pending'] as const;
/** `pending`: `notBefore` is in the future. `expiring`: active, and within the largest notice threshold of its expiry. */
export type SecretStatus = (typeof SECRET_STATUSES)[number];

interface Document {
  readonly _id: string;
  readonly position: string;
  /** An event of the stream could not be applied: do not use the document until the stream was replayed. */
  readonly broken?: true;
}

/** View `authentication`, id `application-<applicationId>`: what a check needs of an application. */
export interface ApplicationCredentials extends Document {
  readonly domainId: string;
  readonly clientId: string;
  readonly state: 'active' | 'disabled' | 'deleted';
  readonly secrets: readonly SecretCredentials[];
}

/** A secret that is not revoked, with its current version and, during an overlap, the previous one. */
export interface SecretCredentials {
  readonly secretId: string;
  readonly suspended: boolean;
  readonly notBefore?: Instant;
  readonly allowedCidrs: readonly string[];
  readonly values: readonly ValueCredentials[];
}

export interface ValueCredentials {
  readonly version: number;
  readonly lookupId: string;
  readonly verifier: string;
  /** End of the version's life, for a previous version the end of the overlap. Absent: unlimited. */
  readonly validUntil?: Instant;
}

/** View `authentication`, id `domain-<domainId>`. */
export interface DomainCredentials extends Document {
  readonly state: 'active' | 'disabled' | 'deleted';
}

/**
 * Returns the id of a secret's document in `secrets` and `expiry-schedule`. Needs both ids: callers choose secret ids, so
 * two applications may use the same one.
 */
export const secretDocumentId = (applicationId: string, secretId: string): string => `${applicationId}.${secretId}`;

/** View `expiry-schedule`, id by `secretDocumentId`. Facts only: `dueOf` derives what is due. */
export interface ScheduledSecret extends Document {
  readonly applicationId: string;
  readonly secretId: string;
  readonly domainId: string;
  readonly version: number;
  /** When the current version was created. */
  readonly createdAt: Instant;
  readonly expiresAt?: Instant;
  /** Notices are sent for `active` secrets only. Does not include the domain's state. */
  readonly state: 'active' | 'suspended' | 'revoked' | 'disabled' | 'deleted';
  readonly suspended: boolean;
  /** The version whose expiry was recorded. */
  readonly expiredVersion?: number;
  /** State of each notice of the current version by `<threshold>.<channel>`. */
  readonly notices: Readonly<Record<string, 'sent' | 'failed' | 'retried' | 'acknowledged'>>;
}
