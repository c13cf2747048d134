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
  /** As it stands in `iss`; discovery is `<issuer>/.well-known/openid-configuration`. */
  readonly issuer: string;
  /** One of the token's `aud`. */
  readonly audience: string;
  /** Claim that lists roles: its name, or a path through objects with dots. */
  readonly rolesClaim: string;
  /** Claim that lists the domains that the caller is limited to (`*`: to none). Absent: nobody is limited. */
  readonly domainsClaim?: string | undefined;
  /** Names of ours for the names in the claim; empty: the claim names our roles. */
  readonly roleMap: Readonly<Record<string, Role>>;
}

/** Signatures that a public key verifies (RFC 7518 §3.1, RFC 8037); so neither `none` nor `HS256`. */
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
/** Least time between two fetches of the keys because a token names one that is not known. */
const COOLDOWN_MS = 30_000;
/** A verified token is not verified again for so long; short, as the issuer may withdraw a key. */
const REMEMBERED_MS = 60_000;
const REMEMBERED_MAX = 10_000;
const NAME_LENGTH_MAX = 255;
const DOMAINS_MAX = 1_000;

const discoverySchema = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) });

type KeySet = ReturnType<typeof createRemoteJWKSet>;

/** The issuer, or its keys, could not be fetched. */
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
   * The caller whom a JWT names. Throws `unauthenticated` where it is not valid here, `forbidden` where it must name
   * domains and names none, `unavailable` where the keys cannot be had.
   */
  async verify(token: string, digest: string): Promise<Caller> {
    this.refuseStrange(token);
    const payload = await this.verified(token);
    const caller = this.callerOf(payload);
    const untilMs = Math.min(this.clock.nowMs() + REMEMBERED_MS, (payload.exp ?? 0) * 1_000);
    this.known.set(digest, { caller, untilMs });
    return caller;
  }

  /** Whatever can be refused without a key is, so that a stranger's text makes us fetch nothing. */
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

  /** OpenID Connect Discovery 1.0 §4. Forgotten where it fails, so that the next token tries again. */
  private async discover(): Promise<KeySet> {
    try {
      const url = `${this.options.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
      const response = await fetchOk(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
      const metadata = discoverySchema.parse(await response.json());
      if (metadata.issuer !== this.options.issuer) throw new Error('The discovered issuer has another name.');
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

  /** An empty list would mean all domains; so a claim that is missing or empty lets nobody in. */
  private domainsOf(payload: JWTPayload): string[] {
    if (this.options.domainsClaim === undefined) return [];
    const domains = names(claimAt(payload, this.options.domainsClaim));
    if (domains.includes('*')) return [];
    if (domains.length === 0 || domains.length > DOMAINS_MAX)
      throw new RekeyError('forbidden', 'The token does not say for which domains it counts.');
    return domains;
  }
}

/** A claim by its name or, where there is none of that name, by a path through objects. */
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

/** A list of texts, or one text with spaces between the names as in `scope` (RFC 6749 §3.3). */
const names = (claim: unknown): string[] => {
  if (typeof claim === 'string') return claim.split(' ').filter((name) => name !== '');
  return Array.isArray(claim) ? claim.filter((name): name is string => typeof name === 'string') : [];
};

const fetchOk = async (url: string, options: Parameters<typeof fetch>[1]): Promise<Response> => {
  try {
    const response = await fetch(url, { ...options, redirect: 'error' });
    if (response.status === 200) return response;
    throw new Error(`It answered with status ${response.status}.`);
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
  new RekeyError('unavailable', 'The issuer of the token cannot be asked for its keys; try again.', {}, { cause });

const notValid = (cause?: unknown): RekeyError =>
  new RekeyError('unauthenticated', 'The token is not valid here.', {}, { cause });

const expired = (): RekeyError => new RekeyError('unauthenticated', 'The token has expired.');
