import {
  RekeyError,
  secretDocumentId,
  type ApplicationCredentials,
  type DomainCredentials,
  type SecretCredentials,
  type ValueCredentials,
} from '@rekey/contracts';
import {
  CLIENT_ID_PATTERN,
  DOMAIN_ID_PATTERN,
  applicationIdOf,
  applicationStream,
  domainStream,
  parseSecret,
  versionStateAt,
  type Instant,
  type VersionState,
} from '@rekey/domain';
import type { Clock, SecretHasher, ViewDocument } from '@rekey/ports';
import { MatchCache, RecentCache } from './caches';
import type { FailureLimiter } from './limiter';
import { Networks, parseAddress } from './networks';
import {
  REFUSED,
  limitedFor,
  parseBasic,
  type Admitted,
  type CheckOutcome,
  type CheckRequest,
  type CheckResult,
  type RefusalCause,
  type Refused,
} from './request';
import type { UsageRecorder } from './usage';

/** Reads the `authentication` view. Throws `RekeyError` `unavailable` while the view may be outdated. */
export interface CredentialsView {
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
}

export interface AuthenticatorOptions {
  readonly view: CredentialsView;
  readonly hasher: Pick<SecretHasher, 'verify' | 'importedLookupId'>;
  readonly clock: Clock;
  readonly limiter: Pick<FailureLimiter, 'failed' | 'inTurn'>;
  readonly usage?: Pick<UsageRecorder, 'record'>;
  /** Called once per check. Must not throw. */
  readonly onChecked?: (outcome: CheckOutcome) => void;
  /** Size of the cache of matches; an entry takes about 200 bytes. */
  readonly rememberedMax?: number;
}

const MATCHES_MAX = 200_000;
const CLIENTS_MAX = 50_000;
const NETWORKS_MAX = 10_000;
/** Longer than any value that Rekey generates or imports. */
const SECRET_LENGTH_MAX = 1024;

/** The part of an outcome that identifies the application and secret, as far as they are known to exist. */
type Subject = Omit<CheckOutcome, 'outcome' | 'limited' | 'source'>;
const UNKNOWN: Subject = {};
type Refusal = { readonly cause: RefusalCause; readonly subject: Subject };
const MALFORMED: Refusal = { cause: 'malformed', subject: UNKNOWN };

/** The ids that belong to a client id in a domain. */
interface Client {
  readonly applicationId: string;
  /** Document ids of the application and its domain. */
  readonly documents: readonly [string, string];
}

/** A well-formed request, ready to be looked up. */
interface Lookup {
  readonly client: Client;
  /** Whether the client is in the cache of known clients. */
  readonly known: boolean;
  /** Of a generated value. Undefined for an imported one, whose lookup id is computed later, with an HMAC. */
  readonly lookupId: string | undefined;
}

/** A stored value with the presented lookup id that authenticates now and from here, if its verifier matches. */
interface Candidate {
  readonly secretId: string;
  readonly value: ValueCredentials;
}
/** The view has no revoked secrets; `revoked` is here because the type has it. */
const NOT_LIVE: Readonly<Record<Exclude<VersionState, 'live'>, RefusalCause>> = {
  revoked: 'no_match',
  suspended: 'suspended',
  pending: 'not_yet_valid',
  expired: 'expired',
};

const NO_CANDIDATES: readonly Candidate[] = [];
/** Candidates to verify, and the refusal for when none of them matches. */
type Judgement = Refusal & { readonly candidates: readonly Candidate[] };

type Documents = readonly [ApplicationCredentials | null, DomainCredentials | null];

/** Where a request came from. */
type Origin = Pick<CheckRequest, 'remoteAddress' | 'limiterSource'>;

/**
 * Checks client credentials. State and time come from the view and the clock on every check; only the fact that a value
 * matches a verifier is cached, so a revocation is effective at once.
 */
export class Authenticator {
  private readonly matches: MatchCache;
  /** Cache of known clients by domain and client id. Saves a SHA-1 per check. */
  private readonly clients = new RecentCache<Client>(CLIENTS_MAX);
  private instant = { ms: NaN, text: '' };
  private readonly networks = new Networks(NETWORKS_MAX);

  constructor(private readonly options: AuthenticatorOptions) {
    this.matches = new MatchCache(options.rememberedMax ?? MATCHES_MAX);
  }

  /** Checks credentials. Throws `RekeyError` `unavailable` while the view may be outdated. */
  check(request: CheckRequest): Promise<CheckResult> {
    return this.checkAny([request], request);
  }

  /**
   * Checks an `Authorization: Basic` header. Tries each of its readings (see `parseBasic`) but counts as one check: valid
   * if one reading is, `malformed` if there is none. Throws as `check` does.
   */
  checkBasic(domainId: string, header: string | undefined, origin: Origin): Promise<CheckResult> {
    return this.checkAny(
      parseBasic(header).map((reading) => ({ domainId, ...reading, ...origin })),
      origin,
    );
  }

  private async checkAny(readings: readonly CheckRequest[], origin: Origin): Promise<CheckResult> {
    let refusal = MALFORMED;
    try {
      for (const request of readings) {
        const lookup = this.lookUp(request);
        if (!lookup) continue;
        const [application, domain] = (await this.options.view.read(lookup.client.documents)) as Documents;
        const now = this.now();
        const judgement = this.judge(request, lookup, application, domain, now);
        const { candidates, subject } = judgement;
        let { cause } = judgement;
        for (const candidate of candidates) {
          const isMatch = this.matchesVerifier(candidate.value.verifier, request.clientSecret, lookup);
          // Awaiting a known result would cost a turn of the microtask queue on every check.
          if (isMatch === true || (await isMatch)) return this.admit(request, lookup, candidate, now, origin);
          cause = 'wrong_value';
        }
        // Report the reading with a known client: it says most about what went wrong.
        if (refusal.subject.clientId === undefined || cause === 'broken') refusal = { cause, subject };
      }
    } catch (error) {
      this.report('unavailable', false, UNKNOWN, origin);
      throw error;
    }
    return this.refuse(refusal, origin);
  }

  /** Returns the current instant; formats it at most once per millisecond. */
  private now(): Instant {
    const nowMs = this.options.clock.nowMs();
    if (nowMs !== this.instant.ms) this.instant = { ms: nowMs, text: new Date(nowMs).toISOString() };
    return this.instant.text;
  }

  /** Parses a request, without I/O. Returns undefined if it is malformed. */
  private lookUp({ domainId, clientId, clientSecret }: CheckRequest): Lookup | undefined {
    const presented = parseSecret(clientSecret);
    if (presented.kind === 'malformed') return undefined;
    if (clientSecret.length < 1 || clientSecret.length > SECRET_LENGTH_MAX) return undefined;
    const lookupId = presented.kind === 'generated' ? presented.lookupId : undefined;
    const client = this.clients.get(clientKey(domainId, clientId));
    if (client) return { client, known: true, lookupId };
    if (!CLIENT_ID_PATTERN.test(clientId) || !DOMAIN_ID_PATTERN.test(domainId)) return undefined;
    const applicationId = applicationIdOf(domainId, clientId);
    const documents = [applicationStream(applicationId), domainStream(domainId)] as const;
    return { client: { applicationId, documents }, known: false, lookupId };
  }

  /** Applies the documents as of `now`; everything but the verification of the value. */
  private judge(
    request: CheckRequest,
    lookup: Lookup,
    application: ApplicationCredentials | null,
    domain: DomainCredentials | null,
    now: Instant,
  ): Judgement {
    const { domainId, clientId, clientSecret, remoteAddress } = request;
    const { applicationId } = lookup.client;
    if (domain?.broken || application?.broken) return refused('broken', { applicationId });
    if (!domain || domain.state === 'deleted') return refused('unknown_domain', UNKNOWN);
    if (domain.state === 'disabled') return refused('domain_disabled', { domainId });
    // The id is a truncated hash of domain and client id, so compare both to rule out a collision.
    const isClient = application?.domainId === domainId && application.clientId === clientId;
    if (!isClient || application.state === 'deleted') return refused('unknown_client', { domainId });
    if (!lookup.known) this.clients.set(clientKey(domainId, clientId), lookup.client);
    if (application.state === 'disabled') return refused('application_disabled', { domainId, clientId, applicationId });

    const lookupId = lookup.lookupId ?? this.options.hasher.importedLookupId(domainId, clientId, clientSecret);
    const candidates: Candidate[] = [];
    let cause: RefusalCause = 'no_match';
    let secretId: string | undefined;
    let version: number | undefined;
    for (const secret of application.secrets) {
      for (const value of secret.values) {
        if (!sameText(value.lookupId, lookupId)) continue;
        ({ secretId } = secret);
        ({ version } = value);
        const refusal = this.refusalOf(secret, value, now, remoteAddress);
        if (refusal === undefined) candidates.push({ secretId, value });
        else cause = refusal;
      }
    }
    return { cause, subject: { domainId, clientId, applicationId, secretId, version }, candidates };
  }

  /** Returns why a stored value does not authenticate at an instant from an address; undefined if it does. */
  private refusalOf(
    secret: SecretCredentials,
    value: ValueCredentials,
    now: Instant,
    remoteAddress: string | undefined,
  ): RefusalCause | undefined {
    const state = versionStateAt(secret.suspended ? 'suspended' : 'active', secret.notBefore, value.validUntil, now);
    if (state !== 'live') return NOT_LIVE[state];
    if (secret.allowedCidrs.length === 0) return undefined;
    const address = parseAddress(remoteAddress);
    if (!address) return 'address_unknown';
    return this.networks.anyContains(secret.allowedCidrs, address) ? undefined : 'address';
  }

  /** Returns whether a value matches a verifier; without a promise if the match is cached. */
  private matchesVerifier(verifier: string, value: string, { client, lookupId }: Lookup): true | Promise<boolean> {
    const { hasher, limiter } = this.options;
    return this.matches.matchesVerifier(verifier, value, () =>
      lookupId === undefined
        ? limiter.inTurn(client.applicationId, () => hasher.verify(verifier, value))
        : hasher.verify(verifier, value),
    );
  }

  private admit(
    { domainId, clientId }: CheckRequest,
    { client: { applicationId } }: Lookup,
    { secretId, value: { version, validUntil } }: Candidate,
    now: Instant,
    origin: Origin,
  ): Admitted {
    this.options.usage?.record(secretDocumentId(applicationId, secretId), now, origin.remoteAddress);
    const admitted: Admitted = {
      valid: true,
      domainId,
      clientId,
      applicationId,
      secretId,
      version,
      expiresAt: validUntil,
    };
    this.report('valid', false, admitted, origin);
    return admitted;
  }

  private refuse({ cause, subject }: Refusal, origin: Origin): Refused {
    if (cause === 'broken') {
      this.report(cause, false, subject, origin);
      const error = new RekeyError('unavailable', 'The credentials cannot be checked at the moment; retry later.');
      return { valid: false, cause, error };
    }
    const client = subject.clientId === undefined ? undefined : subject.applicationId;
    const retryAfterSeconds = this.options.limiter.failed(client, origin.limiterSource ?? origin.remoteAddress);
    this.report(cause, retryAfterSeconds !== undefined, subject, origin);
    const error = retryAfterSeconds === undefined ? REFUSED : limitedFor(retryAfterSeconds);
    return { valid: false, cause, error };
  }

  private report(outcome: CheckOutcome['outcome'], limited: boolean, subject: Subject, origin: Origin): void {
    const { domainId, clientId, applicationId, secretId, version } = subject;
    const source = origin.limiterSource ?? origin.remoteAddress;
    this.options.onChecked?.({ outcome, limited, domainId, clientId, applicationId, secretId, version, source });
  }
}

/** Outside of `judge` for speed: esbuild's `keepNames` makes each creation of an inner function expensive. */
const refused = (cause: RefusalCause, subject: Subject): Judgement => ({ cause, subject, candidates: NO_CANDIDATES });

/** Unique, because a domain id contains no colon. */
const clientKey = (domainId: string, clientId: string): string => `${domainId}:${clientId}`;

/** Compares two strings in time that depends only on their lengths. */
const sameText = (left: string, right: string): boolean => {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (let index = 0; index < left.length; index++) difference |= left.charCodeAt(index) ^ right.charCodeAt(index);
  return difference === 0;
};
