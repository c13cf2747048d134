import { ROLES, RekeyError, type Caller, type Role } from '@rekey/contracts';
import type { Clock } from '@rekey/ports';
import {
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTPayload,
} from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';

export interface OidcOptions {
  /** Value of `iss`; its discovery document is `<issuer>/.well-known/openid-configuration`. */
  readonly issuer: string;
  /** Required in the token's `aud`. */
  readonly audience: string;
  /** Claim that lists roles: a name, or a path with dots into nested objects. */
  readonly rolesClaim: string;
  /** Claim that lists the domains that the caller may access, `*` for all. Absent: all callers may access all. */
  readonly domainsClaim?: string | undefined;
  /** Maps names in the claim to roles; empty if the claim has Rekey's role names. */
  readonly roleMap: Readonly<Record<string, Role>>;
}

/** Asymmetric signatures only (RFC 7518 §3.1, RFC 8037): `none` and `HS256` would let callers forge tokens. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const CLOCK_TOLERANCE_SECONDS = 30;
const FETCH_TIMEOUT_MS = 5_000;
/** Minimum time between two fetches of the keys for tokens with an unknown key id. */
const COOLDOWN_MS = 30_000;
/** How long a verified token is cached. Short, because the issuer may withdraw a key. */
const REMEMBERED_MS = 60_000;
const REMEMBERED_MAX = 10_000;
const NAME_LENGTH_MAX = 255;
const DOMAINS_MAX = 1_000;

const discoverySchema = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) });

type KeySet = ReturnType<typeof createRemoteJWKSet>;

/** The issuer's discovery document or keys could not be fetched. */
class IssuerAway extends Error {
  constructor(cause: unknown) {
    super('The OIDC issuer cannot be reached.', { cause });
    this.name = 'IssuerAway';
  }
}

/** Knows callers by JWTs (RFC 7519, RFC 9068) of one OIDC issuer, whose keys are discovered and kept up to date. */
export class OidcVerifier {
  private keys: Promise<KeySet> | undefined;
  private readonly known = new LRUCache<string, { readonly caller: Caller; readonly untilMs: number }>({
    max: REMEMBERED_MAX,
  });

  constructor(
    private readonly options: OidcOptions,
    private readonly clock: Clock,
  ) {}

  /** The caller of a token that was verified a moment ago and has not expired, by the token's digest. */
  remembered(digest: string): Caller | undefined {
    const entry = this.known.get(digest);
    return entry && this.clock.nowMs() < entry.untilMs ? entry.caller : undefined;
  }

  /**
   * Returns the caller that a JWT names. Throws `unauthenticated` if it is invalid, `forbidden` if it must name domains
   * and does not, `unavailable` if the keys cannot be fetched.
   */
  async verify(token: string, digest: string): Promise<Caller> {
    this.refuseStrange(token);
    const payload = await this.verified(token);
    const caller = this.callerOf(payload);
    const untilMs = Math.min(this.clock.nowMs() + REMEMBERED_MS, (payload.exp ?? 0) * 1_000);
    this.known.set(digest, { caller, untilMs });
    return caller;
  }

  /** Refuses what can be refused without a key, so that arbitrary tokens do not make Rekey fetch keys. */
  private refuseStrange(token: string): void {
    let algorithm: string | undefined;
    let claims: JWTPayload;
    try {
      algorithm = decodeProtectedHeader(token).alg;
      claims = decodeJwt(token);
    } catch (cause) {
      throw notValid(cause);
    }
    if (!ALGORITHMS.includes(algorithm ?? '')) throw notValid();
    if (claims.iss !== this.options.issuer || typeof claims.exp !== 'number') throw notValid();
    if ((claims.exp + CLOCK_TOLERANCE_SECONDS) * 1_000 <= this.clock.nowMs()) throw expired();
  }

  private async verified(token: string): Promise<JWTPayload> {
    try {
      this.keys ??= this.discover();
      const { payload } = await jwtVerify(token, await this.keys, {
        issuer: this.options.issuer,
        audience: this.options.audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: new Date(this.clock.nowMs()),
        requiredClaims: ['exp', 'sub'],
      });
      return payload;
    } catch (cause) {
      throw isAway(cause) ? away(cause) : notValid(cause);
    }
  }

  /** OpenID Connect Discovery 1.0 §4. A failure is not cached: the next token tries again. */
  private async discover(): Promise<KeySet> {
    try {
      const url = `${this.options.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
      const response = await fetchOk(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
      const metadata = discoverySchema.parse(await response.json());
      if (metadata.issuer !== this.options.issuer) throw new Error('The discovery document names another issuer.');
      return createRemoteJWKSet(new URL(metadata.jwks_uri), {
        cooldownDuration: COOLDOWN_MS,
        timeoutDuration: FETCH_TIMEOUT_MS,
        [customFetch]: fetchOk,
      });
    } catch (cause) {
      this.keys = undefined;
      throw new IssuerAway(cause);
    }
  }

  private callerOf(payload: JWTPayload): Caller {
    const { sub } = payload;
    if (typeof sub !== 'string' || sub.length === 0 || sub.length > NAME_LENGTH_MAX) throw notValid();
    const roles = names(claimAt(payload, this.options.rolesClaim)).flatMap((name) => this.roleOf(name) ?? []);
    return { type: 'user', name: sub, roles: [...new Set(roles)], domains: this.domainsOf(payload) };
  }

  private roleOf(name: string): Role | undefined {
    const { roleMap } = this.options;
    if (Object.keys(roleMap).length > 0) return Object.hasOwn(roleMap, name) ? roleMap[name] : undefined;
    return ROLES.find((role) => role === name);
  }

  /** Refuses a missing or empty claim: an empty list of domains means all. */
  private domainsOf(payload: JWTPayload): string[] {
    if (this.options.domainsClaim === undefined) return [];
    const domains = names(claimAt(payload, this.options.domainsClaim));
    if (domains.includes('*')) return [];
    if (domains.length === 0 || domains.length > DOMAINS_MAX)
      throw new RekeyError('forbidden', 'The token names no domains. Ask the issuer to add them to its domains claim.');
    return domains;
  }
}

/** Returns a claim by its name or, if there is none, by a path through nested objects. */
const claimAt = (payload: JWTPayload, path: string): unknown =>
  Object.hasOwn(payload, path)
    ? payload[path]
    : path
        .split('.')
        .reduce<unknown>(
          (value, key) =>
            typeof value === 'object' && value !== null && Object.hasOwn(value, key)
              ? (value as Record<string, unknown>)[key]
              : undefined,
          payload,
        );

/** Returns the names in a claim: a list, or a text with spaces like `scope` (RFC 6749 §3.3). */
const names = (claim: unknown): string[] => {
  if (typeof claim === 'string') return claim.split(' ').filter((name) => name !== '');
  return Array.isArray(claim) ? claim.filter((name): name is string => typeof name === 'string') : [];
};

const fetchOk = async (url: string, options: Parameters<typeof fetch>[1]): Promise<Response> => {
  try {
    const response = await fetch(url, { ...options, redirect: 'error' });
    if (response.status === 200) return response;
    throw new Error(`The issuer answered with status ${response.status}.`);
  } catch (cause) {
    throw new IssuerAway(cause);
  }
};

const isAway = (error: unknown): boolean =>
  error instanceof IssuerAway ||
  error instanceof errors.JWKSTimeout ||
  error instanceof errors.JWKSInvalid ||
  (error instanceof errors.JOSEError && error.code === errors.JOSEError.code);

const away = (cause: unknown): RekeyError =>
  new RekeyError('unavailable', "The keys of the token's issuer cannot be fetched. Try again later.", {}, { cause });

const notValid = (cause?: unknown): RekeyError =>
  new RekeyError('unauthenticated', 'The token is invalid.', {}, { cause });

const expired = (): RekeyError => new RekeyError('unauthenticated', 'The token has expired.');
