import { v5 as uuidV5 } from 'uuid';
import type { EventShape } from '../decider';
import type { ApplicationPolicy, Duration, ExpirySource, Instant } from '../expiry-policy';

/**
 * UUID namespace (RFC 9562) of application ids. Must never change: the id names the stream, and the stream is what
 * keeps a client id unique in its domain.
 */
const APPLICATION_NAMESPACE = '5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21';

/** Returns the id of an application: the UUID v5 of its domain and client id. */
export const applicationIdOf = (domainId: string, clientId: string): string =>
  uuidV5(`${domainId}:${clientId}`, APPLICATION_NAMESPACE);

/** Returns the name of an application's stream. */
export const applicationStream = (applicationId: string): string => `application-${applicationId}`;

/** RFC 6749 appendix A.1: a client id consists of VSCHAR. Case-sensitive; we allow 1 to 255 characters. */
export const CLIENT_ID_PATTERN = /^[\x20-\x7e]{1,255}$/;

/** The reason codes of RFC 5280 §5.3.1 that apply to a secret. */
export const REVOCATION_REASONS = [
  'unspecified',
  'keyCompromise',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
] as const;
export type RevocationReason = (typeof REVOCATION_REASONS)[number];

/** What Rekey stores of a secret value. The value itself is never stored. */
export interface Verifier {
  /** Argon2id hash as a PHC string. */
  readonly verifier: string;
  readonly lookupId: string;
  /** The last four characters of the value; missing for imported values. */
  readonly hint?: string | undefined;
}

/** Identifies an expiry notice. `threshold`: days before the expiry; 0 is the notice of the expiry itself. */
export interface NoticeKey {
  readonly secretId: string;
  readonly version: number;
  readonly threshold: number;
  readonly channel: string;
}

type Ids = { applicationId: string; domainId: string };
type SecretIds = Ids & { secretId: string };

/**
 * The events of an application's stream. Names and shapes are the stored format: an incompatible change needs a new
 * schema version and an upcast.
 */
export type ApplicationEvent =
  | E<'ApplicationRegistered', Ids & { clientId: string; name: string; contacts: readonly string[] }>
  | E<'PolicyChanged', Ids & { policy: ApplicationPolicy }>
  | E<'ContactsChanged', Ids & { contacts: readonly string[] }>
  | E<'ApplicationRenamed', Ids & { name: string }>
  | E<'ApplicationDisabled' | 'ApplicationEnabled' | 'ApplicationDeleted', Ids>
  | SecretEvent;

/** The events about one secret of an application. */
export type SecretEvent =
  | E<
      'SecretAdded',
      SecretIds &
        Verifier & {
          version: 1;
          description: string;
          expiresAt?: Instant;
          notBefore?: Instant;
          allowedCidrs?: readonly string[];
          ownExpiresIn?: Duration;
          expirySource: ExpirySource;
        }
    >
  | E<
      'SecretRenewed',
      SecretIds &
        Verifier & {
          version: number;
          expiresAt?: Instant;
          ownExpiresIn?: Duration;
          expirySource: ExpirySource;
          /** End of the overlap: the previous version authenticates until then. Missing: no overlap. */
          previousValidUntil?: Instant;
        }
    >
  | E<'OverlapEnded', SecretIds & { version: number }>
  | E<'SecretRevoked', SecretIds & { reason: RevocationReason }>
  | E<'SecretSuspended' | 'SecretResumed', SecretIds & { reason?: string }>
  | E<'SecretDescribed', SecretIds & { description: string }>
  | E<'SecretRestricted', SecretIds & { allowedCidrs: readonly string[]; notBefore?: Instant }>
  | E<'SecretExpired', SecretIds & { version: number; expiresAt: Instant }>
  | E<'ExpiryNoticeSent', Ids & NoticeKey & { recipients: number }>
  | E<'ExpiryNoticeFailed', Ids & NoticeKey & { cause: string }>
  | E<'ExpiryNoticeRetried' | 'ExpiryNoticeAcknowledged', Ids & NoticeKey>;

interface E<Type extends string, Data extends object> extends EventShape {
  readonly type: Type;
  readonly data: Readonly<Data>;
}
