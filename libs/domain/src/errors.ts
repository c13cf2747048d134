/** Error codes of the domain rules. The error table in `contracts` maps them to HTTP statuses. */
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

/** Details of an error. Public: must not contain a secret value or a verifier. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;

/**
 * A rule rejects a command. `decide` throws it instead of returning events, so a rejected command changes nothing.
 * `message` is shown to the caller.
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
 * The message of `domain_not_found`: the same for a domain that does not exist and one that the caller may not see. It
 * does not repeat the id, which may be a secret value that was pasted into the wrong field.
 */
export const DOMAIN_NOT_FOUND = 'This domain does not exist, or you have no access to it.';

/** Returns an `invalid_request` error that names the invalid field. */
export const invalid = (field: string, message: string): DomainError =>
  new DomainError('invalid_request', message, { field });

/** Returns a `revision_conflict` error for an `If-Match` that is not the current revision of the resource. */
export const revisionConflict = (ifMatch: number, revision: number): DomainError =>
  new DomainError('revision_conflict', `The resource has changed since revision ${ifMatch}; read it again and retry.`, {
    revision,
  });
