import { DomainError, type DomainErrorCode, type ErrorDetails } from '@rekey/domain';

/**
 * All error codes with HTTP status and title, for HTTP, Kafka and the CLI. `revision_conflict` has status 412 if the
 * request has `If-Match` (RFC 9110 §13.1.1).
 */
export const ERRORS = {
  invalid_request: { status: 400, title: 'Invalid request' },
  recipient_key_required: { status: 400, title: 'Recipient key required' },
  expiry_required: { status: 400, title: 'Expiry required' },
  unauthenticated: { status: 401, title: 'Unauthenticated' },
  invalid_client_credentials: { status: 401, title: 'Invalid client credentials' },
  forbidden: { status: 403, title: 'Forbidden' },
  not_found: { status: 404, title: 'Not found' },
  domain_not_found: { status: 404, title: 'Domain not found' },
  application_not_found: { status: 404, title: 'Application not found' },
  secret_not_found: { status: 404, title: 'Secret not found' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  client_id_taken: { status: 409, title: 'Client id taken' },
  domain_taken: { status: 409, title: 'Domain taken' },
  description_taken: { status: 409, title: 'Description taken' },
  domain_disabled: { status: 409, title: 'Domain disabled' },
  application_disabled: { status: 409, title: 'Application disabled' },
  too_many_secrets: { status: 409, title: 'Too many secrets' },
  last_live_secret: { status: 409, title: 'Last live secret' },
  revision_conflict: { status: 409, title: 'Revision conflict' },
  not_renewable: { status: 409, title: 'Not renewable' },
  secret_revoked: { status: 409, title: 'Secret revoked' },
  payload_too_large: { status: 413, title: 'Payload too large' },
  unsupported_media_type: { status: 415, title: 'Unsupported media type' },
  lifetime_out_of_bounds: { status: 422, title: 'Lifetime out of bounds' },
  idempotency_key_reused: { status: 422, title: 'Idempotency key reused' },
  rate_limited: { status: 429, title: 'Rate limited' },
  internal: { status: 500, title: 'Internal error' },
  unavailable: { status: 503, title: 'Unavailable' },
  timeout: { status: 504, title: 'Timeout' },
} as const satisfies Record<string, { status: number; title: string }> & Record<DomainErrorCode, unknown>;

export type ErrorCode = keyof typeof ERRORS;

/** The public part of an error, for replies and problem documents. */
export interface PublicError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: ErrorDetails;
}

/** An error with a code of the table and a public message. The cause is for the log only. */
export class RekeyError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'RekeyError';
  }
}

/** Returns the public part of an error; undefined if it has none, which means `internal`. */
export const publicErrorOf = (error: unknown): PublicError | undefined =>
  error instanceof RekeyError || error instanceof DomainError
    ? { code: error.code, message: error.message, details: error.details }
    : undefined;
