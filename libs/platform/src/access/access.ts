import { RekeyError, type Caller, type Role } from '@rekey/contracts';
import type { Clock } from '@rekey/ports';
import { hash } from 'node:crypto';
import { OidcVerifier, type OidcOptions } from './oidc';

/** A static token, of which only the digest is known. */
export interface StaticToken {
  readonly name: string;
  /** SHA-256 of the token, 64 hexadecimal digits in lower case. */
  readonly sha256: string;
  readonly roles: readonly Role[];
  /** Empty: all. */
  readonly domains: readonly string[];
}

export interface AccessOptions {
  readonly tokens: readonly StaticToken[];
  readonly oidc?: OidcOptions | undefined;
  readonly clock: Clock;
}

const HEADER_LENGTH_MAX = 16 * 1024;
/** RFC 6750 §2.1; the scheme is case-insensitive (RFC 9110 §11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;

/**
 * Authenticates callers by their bearer token (RFC 6750). Looks up static tokens by their SHA-256: the time of a look-up
 * reveals nothing that helps to guess a token, so it need not be constant. Other tokens are verified with the keys of the
 * OIDC issuer, if one is configured.
 */
export class Access {
  private readonly callers = new Map<string, Caller>();
  private readonly oidc: OidcVerifier | undefined;

  /** Throws `invalid_request` if two tokens have the same name or digest. */
  constructor({ tokens, oidc, clock }: AccessOptions) {
    const names = new Set<string>();
    for (const { name, sha256, roles, domains } of tokens) {
      if (names.has(name) || this.callers.has(sha256))
        throw new RekeyError(
          'invalid_request',
          `The access token ${name} is a duplicate: names and digests must differ.`,
          { field: 'access.tokens' },
        );
      names.add(name);
      this.callers.set(sha256, { type: 'token', name, roles: [...roles], domains: [...domains] });
    }
    this.oidc = oidc && new OidcVerifier(oidc, clock);
  }

  /**
   * Returns the caller who sends this `Authorization` header, synchronously for a static token, because every check needs
   * it. Throws `unauthenticated` without a valid token, `forbidden` if a JWT must name domains and does not, `unavailable`
   * if the issuer's keys cannot be fetched.
   */
  authenticate(authorization: string | undefined): Caller | Promise<Caller> {
    if (authorization === undefined || authorization.length > HEADER_LENGTH_MAX) throw unauthenticated();
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) throw unauthenticated();
    const digest = hash('sha256', token, 'hex');
    const known = this.callers.get(digest) ?? this.oidc?.remembered(digest);
    if (known) return known;
    if (!this.oidc) throw unauthenticated();
    return this.oidc.verify(token, digest);
  }
}

const unauthenticated = (): RekeyError =>
  new RekeyError('unauthenticated', 'Send a valid token: Authorization: Bearer <token>.');
