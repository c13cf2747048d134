import { RekeyError } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';

/** What somebody shows to be let in. */
export interface CheckRequest {
  readonly domainId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Where the client speaks from, for secrets with networks; any text, what is no IP address counts as unknown. */
  readonly remoteAddress?: string | undefined;
  /** Whose failures are counted together; default: the remote address. */
  readonly limiterSource?: string | undefined;
}

/** Why a check was refused: for the log and the metric, never for the caller. */
export const REFUSAL_CAUSES = [
  'malformed',
  'unknown_domain',
  'domain_disabled',
  'unknown_client',
  'application_disabled',
  'no_match',
  'suspended',
  'not_yet_valid',
  'expired',
  'address_unknown',
  'address',
  'wrong_value',
  'broken',
] as const;
export type RefusalCause = (typeof REFUSAL_CAUSES)[number];

export interface Admitted {
  readonly valid: true;
  readonly domainId: string;
  readonly clientId: string;
  readonly applicationId: string;
  readonly secretId: string;
  readonly version: number;
  /** Until when the value that was shown is valid; undefined: without end. */
  readonly expiresAt: Instant | undefined;
}

export interface Refused {
  readonly valid: false;
  readonly cause: RefusalCause;
  /** What the caller is told: `invalid_client_credentials`, `rate_limited` or, for a broken document, `unavailable`. */
  readonly error: RekeyError;
}

export type CheckResult = Admitted | Refused;

/** A check as log and metrics see it. Names of clients only where they exist: a stranger's may be a misplaced secret. */
export interface CheckOutcome {
  readonly outcome: 'valid' | 'unavailable' | RefusalCause;
  /** The refusal was told as `rate_limited`. */
  readonly limited: boolean;
  readonly domainId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly applicationId?: string | undefined;
  readonly secretId?: string | undefined;
  readonly version?: number | undefined;
  readonly source?: string | undefined;
}

/** One error for all refusals: where it was made tells nothing, and capturing a stack costs more than the check. */
export const REFUSED = new RekeyError('invalid_client_credentials', 'The client credentials are not valid.');
const LIMITED = new Map<number, RekeyError>();

/** Likewise, one a number of seconds: a window has few. */
export const limitedFor = (retryAfterSeconds: number): RekeyError => {
  let error = LIMITED.get(retryAfterSeconds);
  if (!error) {
    error = new RekeyError('rate_limited', 'Too many wrong credentials; try again later.', { retryAfterSeconds });
    LIMITED.set(retryAfterSeconds, error);
  }
  return error;
};
