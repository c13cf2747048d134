import { RekeyError, type Caller, type Role } from '@rekey/contracts';
import type { Clock } from '@rekey/ports';
import { hash } from 'node:crypto';
import { OidcVerifier, type OidcOptions } from './oidc';

/** A token that the configuration, or the key folder, knows by its digest. */
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
/** RFC 6750 §2.1; the name of the scheme is blind to case (RFC 9110 §11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;

/**
 * Knows callers by their bearer token (RFC 6750). Static tokens are looked up by their SHA-256, which a stranger can
 * neither choose nor learn from the time that it takes; so the look-up need not take constant time. Everything else
 * is left to the OIDC issuer's keys, where one is configured.
 */
export class Access {
  private readonly callers = new Map<string, Caller>();
  private readonly oidc: OidcVerifier | undefined;

  /** Throws `invalid_request` where two tokens have one name, or one digest. */
  constructor({ tokens, oidc, clock }: AccessOptions) {
    const names = new Set<string>();
    for (const { name, sha256, roles, domains } of tokens) {
      if (names.has(name) || this.callers.has(sha256))
        throw new RekeyError('invalid_request', `The access token ${name} is there twice.`, { field: 'access.tokens' });
      names.add(name);
      this.callers.set(sha256, { type: 'token', name, roles: [...roles], domains: [...domains] });
    }
    this.oidc = oidc && new OidcVerifier(oidc, clock);
  }

  /**
   * Who sends this `Authorization` header. Answers at once for a static token, as this stands before every check.
   * Throws `unauthenticated` where there is no valid token, `forbidden` where a JWT must name domains and names none,
   * `unavailable` where the issuer's keys cannot be had.
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
