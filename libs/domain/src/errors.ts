/** Codes that a domain rule can answer with. Their HTTP status stands in the error table of `contracts`. */
export type DomainErrorCode =
  | 'invalid_request'
  | 'domain_not_found'
  | 'application_not_found'
  | 'secret_not_found'
  | 'client_id_taken'
  | 'domain_taken'
  | 'description_taken'
  | 'domain_disabled'
  | 'application_disabled'
  | 'too_many_secrets'
  | 'last_live_secret'
  | 'revision_conflict'
  | 'not_renewable'
  | 'secret_revoked'
  | 'lifetime_out_of_bounds'
  | 'expiry_required';

/** What an error says beside its code: only names and public values, never a secret or a verifier. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;

/**
 * A command that a rule refuses. Thrown by `decide` before any event is built, so a refusal changes nothing.
 * `message` is public text.
 */
export class DomainError extends Error {
  constructor(
    readonly code: DomainErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
  ) {
    super(message);
    this.name = 'DomainError';
  }
}

/**
 * Message of `domain_not_found`. A caller limited to other domains gets the same one for a domain that exists, so that
 * the answer does not reveal which domains exist.
 */
export const domainNotFound = (domainId: string): string => `No domain "${domainId}".`;

/** Returns an `invalid_request` error that names the invalid field. */
export const invalid = (field: string, message: string): DomainError =>
  new DomainError('invalid_request', message, { field });
