import type { Instant } from '@rekey/domain';
import { z } from 'zod';

/** Every view, its version and what is known of it by more than one process. A change of shape is a new version. */
export const VIEW_VERSIONS = {
  authentication: 1,
  domains: 1,
  applications: 1,
  secrets: 1,
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
  /** An event of its stream could not be taken in: the document is not to be trusted until it is repaired. */
  readonly broken?: true;
}

/** View `authentication`, id `application-<applicationId>`: all that the check must know of an application. */
export interface ApplicationCredentials extends Document {
  readonly domainId: string;
  readonly clientId: string;
  readonly state: 'active' | 'disabled' | 'deleted';
  readonly secrets: readonly SecretCredentials[];
}

/** A secret that is not revoked, with the values of it that may still authenticate: the current one and one before. */
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
  /** Absent: never. An older value's is the end of its overlap. */
  readonly validUntil?: Instant;
}

/** View `authentication`, id `domain-<domainId>`. */
export interface DomainCredentials extends Document {
  readonly state: 'active' | 'disabled' | 'deleted';
}

/**
 * The id of a secret's document in `secrets` and `expiry-schedule`. Both ids are needed: callers choose secret ids, and
 * those of one application say nothing of another's.
 */
export const secretDocumentId = (applicationId: string, secretId: string): string => `${applicationId}.${secretId}`;

/** View `expiry-schedule`, id by `secretDocumentId`: facts only; what is due follows from them, the configuration and the time. */
export interface ScheduledSecret extends Document {
  readonly applicationId: string;
  readonly secretId: string;
  readonly domainId: string;
  readonly version: number;
  /** When the current version was made. */
  readonly createdAt: Instant;
  readonly expiresAt?: Instant;
  /** `active` alone is watched. The domain's own state is in the view `domains`. */
  readonly state: 'active' | 'suspended' | 'revoked' | 'disabled' | 'deleted';
  readonly suspended: boolean;
  /** The version whose expiry is on record. */
  readonly expiredVersion?: number;
  /** State of each notice of the current version by `<threshold>.<channel>`. */
  readonly notices: Readonly<Record<string, 'sent' | 'failed' | 'retried' | 'acknowledged'>>;
}
