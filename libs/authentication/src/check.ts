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
import { parseBasic } from './basic';
import type { FailureLimiter } from './limiter';
import { Networks, parseAddress } from './networks';
import { Recent } from './recent';
import { RememberedMatches } from './remembered';
import {
  REFUSED,
  limitedFor,
  type Admitted,
  type CheckOutcome,
  type CheckRequest,
  type CheckResult,
  type RefusalCause,
  type Refused,
} from './result';
import type { UsageRecorder } from './usage';

/** The read side of the `authentication` view: throws `RekeyError` `unavailable` whenever it may not be trusted. */
export interface CredentialsView {
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
}

export interface AuthenticatorOptions {
  readonly view: CredentialsView;
  readonly hasher: Pick<SecretHasher, 'verify' | 'importedLookupId'>;
  readonly clock: Clock;
  readonly limiter: Pick<FailureLimiter, 'failed' | 'inTurn'>;
  readonly usage?: Pick<UsageRecorder, 'record'>;
  /** Told of every check, once. Must not throw. */
  readonly onChecked?: (outcome: CheckOutcome) => void;
  /** Matches that are remembered; one takes about 200 bytes. */
  readonly rememberedMax?: number;
}

const REMEMBERED_MAX = 200_000;
const CLIENTS_MAX = 50_000;
const NETWORKS_MAX = 10_000;
/** Longer than every value that Rekey makes or imports. */
const SECRET_LENGTH_MAX = 1024;

/** What is known of whom a check is about. */
type Subject = Omit<CheckOutcome, 'outcome' | 'limited' | 'source'>;
const NOBODY: Subject = {};
type Refusal = { readonly cause: RefusalCause; readonly subject: Subject };
const MALFORMED: Refusal = { cause: 'malformed', subject: NOBODY };

/** Where the documents of a client lie. */
interface Client {
  readonly applicationId: string;
  /** Of the application and of its domain. */
  readonly documents: readonly [string, string];
}

/** A request that can be looked up. */
interface Asked {
  readonly client: Client;
  /** The client is known to exist. */
  readonly known: boolean;
  /** Of a generated value; undefined for an imported one, whose lookup id takes an HMAC. */
  readonly lookupId: string | undefined;
}

/** A value that was asked for and may be used now and from here, if it is the one that was shown. */
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

const NONE: readonly Candidate[] = [];
/** The refusal holds where no candidate's verifier fits. */
type Judged = Refusal & { readonly candidates: readonly Candidate[] };

type Documents = readonly [ApplicationCredentials | null, DomainCredentials | null];

/** Where a request comes from. */
type Origin = Pick<CheckRequest, 'remoteAddress' | 'limiterSource'>;

/**
 * The authentication check. State and time always come from the view and the clock; the only thing that is remembered
 * is that a value fits a verifier.
 */
export class Authenticator {
  private readonly remembered: RememberedMatches;
  /** Clients that exist, by domain and client id: a SHA-1 less, and the same texts every time, whose hash is known. */
  private readonly clients = new Recent<Client>(CLIENTS_MAX);
  private instant = { ms: NaN, text: '' };
  private readonly networks = new Networks(NETWORKS_MAX);

  constructor(private readonly options: AuthenticatorOptions) {
    this.remembered = new RememberedMatches(options.rememberedMax ?? REMEMBERED_MAX);
  }

  /** Checks credentials. Throws `RekeyError` `unavailable` where the view may not be trusted. */
  check(request: CheckRequest): Promise<CheckResult> {
    return this.checkAny([request], request);
  }

  /**
   * Checks an `Authorization: Basic` header in each of its readings (see `parseBasic`), as one check: valid where one of
   * them is, `malformed` where there is none. Throws as `check` does.
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
        const asked = this.ask(request);
        if (!asked) continue;
        const [application, domain] = (await this.options.view.read(asked.client.documents)) as Documents;
        const now = this.now();
        const judged = this.judge(request, asked, application, domain, now);
        const { candidates, subject } = judged;
        let { cause } = judged;
        for (const candidate of candidates) {
          const fits = this.fits(candidate.value.verifier, request.clientSecret, asked);
          // Not awaiting what is known already spares a turn of the queue.
          if (fits === true || (await fits)) return this.admit(request, asked, candidate, now, origin);
          cause = 'wrong_value';
        }
        // The reading that came to a known client tells most.
        if (refusal.subject.clientId === undefined || cause === 'broken') refusal = { cause, subject };
      }
    } catch (error) {
      this.tell('unavailable', false, NOBODY, origin);
      throw error;
    }
    return this.refuse(refusal, origin);
  }

  /** The clock's instant; its text is made once a millisecond. */
  private now(): Instant {
    const nowMs = this.options.clock.nowMs();
    if (nowMs !== this.instant.ms) this.instant = { ms: nowMs, text: new Date(nowMs).toISOString() };
    return this.instant.text;
  }

  /** Reads a request without any I/O; undefined where it is malformed. */
  private ask({ domainId, clientId, clientSecret }: CheckRequest): Asked | undefined {
    const presented = parseSecret(clientSecret);
    if (presented.kind === 'malformed' || !isPossible(clientSecret)) return undefined;
    const lookupId = presented.kind === 'generated' ? presented.lookupId : undefined;
    const client = this.clients.get(nameOf(domainId, clientId));
    if (client) return { client, known: true, lookupId };
    if (!CLIENT_ID_PATTERN.test(clientId) || !DOMAIN_ID_PATTERN.test(domainId)) return undefined;
    const applicationId = applicationIdOf(domainId, clientId);
    const documents = [applicationStream(applicationId), domainStream(domainId)] as const;
    return { client: { applicationId, documents }, known: false, lookupId };
  }

  /** What the documents say at an instant, all but whether the value is the right one. */
  private judge(
    request: CheckRequest,
    asked: Asked,
    application: ApplicationCredentials | null,
    domain: DomainCredentials | null,
    now: Instant,
  ): Judged {
    const { domainId, clientId, clientSecret, remoteAddress } = request;
    const { applicationId } = asked.client;
    if (domain?.broken || application?.broken) return refused('broken', { applicationId });
    if (!domain || domain.state === 'deleted') return refused('unknown_domain', NOBODY);
    if (domain.state === 'disabled') return refused('domain_disabled', { domainId });
    // The id stands for domain and client id; held against both all the same, as it is a hash.
    const named = application?.domainId === domainId && application.clientId === clientId;
    if (!named || application.state === 'deleted') return refused('unknown_client', { domainId });
    if (!asked.known) this.clients.set(nameOf(domainId, clientId), asked.client);
    if (application.state === 'disabled') return refused('application_disabled', { domainId, clientId, applicationId });

    const lookupId = asked.lookupId ?? this.options.hasher.importedLookupId(domainId, clientId, clientSecret);
    const candidates: Candidate[] = [];
    let cause: RefusalCause = 'no_match';
    let secretId: string | undefined;
    let version: number | undefined;
    for (const secret of application.secrets) {
      for (const value of secret.values) {
        if (!sameText(value.lookupId, lookupId)) continue;
        ({ secretId } = secret);
        ({ version } = value);
        const unusable = this.unusable(secret, value, now, remoteAddress);
        if (unusable === undefined) candidates.push({ secretId, value });
        else cause = unusable;
      }
    }
    return { cause, subject: { domainId, clientId, applicationId, secretId, version }, candidates };
  }

  /** Why a value cannot be used at an instant from an address, whatever was shown; undefined where it can. */
  private unusable(
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

  /** Whether a value fits a verifier; at once where that is remembered. */
  private fits(verifier: string, value: string, { client, lookupId }: Asked): true | Promise<boolean> {
    const { hasher, limiter } = this.options;
    return this.remembered.fits(verifier, value, () =>
      lookupId === undefined
        ? limiter.inTurn(client.applicationId, () => hasher.verify(verifier, value))
        : hasher.verify(verifier, value),
    );
  }

  private admit(
    { domainId, clientId }: CheckRequest,
    { client: { applicationId } }: Asked,
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
    this.tell('valid', false, admitted, origin);
    return admitted;
  }

  private refuse({ cause, subject }: Refusal, origin: Origin): Refused {
    if (cause === 'broken') {
      this.tell(cause, false, subject, origin);
      return { valid: false, cause, error: new RekeyError('unavailable', 'This cannot be checked now; try again.') };
    }
    const client = subject.clientId === undefined ? undefined : subject.applicationId;
    const retryAfterSeconds = this.options.limiter.failed(client, origin.limiterSource ?? origin.remoteAddress);
    this.tell(cause, retryAfterSeconds !== undefined, subject, origin);
    const error = retryAfterSeconds === undefined ? REFUSED : limitedFor(retryAfterSeconds);
    return { valid: false, cause, error };
  }

  private tell(outcome: CheckOutcome['outcome'], limited: boolean, subject: Subject, origin: Origin): void {
    const { domainId, clientId, applicationId, secretId, version } = subject;
    const source = origin.limiterSource ?? origin.remoteAddress;
    this.options.onChecked?.({ outcome, limited, domainId, clientId, applicationId, secretId, version, source });
  }
}

/** Not made anew for each check: a bundler that keeps names makes every inner function dear. */
const refused = (cause: RefusalCause, subject: Subject): Judged => ({ cause, subject, candidates: NONE });

/** Has one reading only: no domain id holds a colon. */
const nameOf = (domainId: string, clientId: string): string => `${domainId}:${clientId}`;

/** Whether a value could exist at all; what could not is refused without a look at any store. */
const isPossible = (value: string): boolean => value.length >= 1 && value.length <= SECRET_LENGTH_MAX;

/** Equality of two texts in a time that depends on their lengths alone. */
const sameText = (left: string, right: string): boolean => {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (let index = 0; index < left.length; index++) difference |= left.charCodeAt(index) ^ right.charCodeAt(index);
  return difference === 0;
};
