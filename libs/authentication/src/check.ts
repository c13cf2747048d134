import {
  RekeyError,
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
  type Instant,
} from '@rekey/domain';
import type { Clock, SecretHasher, ViewDocument } from '@rekey/ports';
import { LRUCache } from 'lru-cache';
import { parseBasic } from './basic';
import type { FailureLimiter } from './limiter';
import { Networks, parseAddress } from './networks';
import { RememberedMatches } from './remembered';
import type { UsageRecorder } from './usage';

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
const APPLICATION_IDS_MAX = 50_000;
const NETWORKS_MAX = 10_000;
/** Longer than every value that Rekey makes or imports. */
const SECRET_LENGTH_MAX = 1024;

// One error for all refusals: where it was made tells nothing, and capturing a stack costs more than the check.
const REFUSED = new RekeyError('invalid_client_credentials', 'The client credentials are not valid.');

/** What is known of whom a check is about. */
type Subject = Omit<CheckOutcome, 'outcome' | 'limited' | 'source'>;
const NOBODY: Subject = {};
type Refusal = { readonly cause: RefusalCause; readonly subject: Subject };
type Verdict = { readonly admitted: Admitted; readonly at: Instant } | Refusal;
const MALFORMED: Refusal = { cause: 'malformed', subject: NOBODY };

/** Where a request comes from. */
type Origin = Pick<CheckRequest, 'remoteAddress' | 'limiterSource'>;

/**
 * The authentication check. State and time always come from the view and the clock; the only thing that is remembered
 * is that a value fits a verifier.
 */
export class Authenticator {
  private readonly remembered: RememberedMatches;
  /** Ids of clients that exist; SHA-1 costs more than all else but the HMAC. */
  private readonly applicationIds = new LRUCache<string, string>({ max: APPLICATION_IDS_MAX });
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
      for (const reading of readings) {
        const verdict = await this.judge(reading);
        if ('admitted' in verdict) return this.admit(verdict.admitted, verdict.at, origin);
        // The reading that came to a known client tells most.
        if (refusal.subject.clientId === undefined || verdict.cause === 'broken') refusal = verdict;
      }
    } catch (error) {
      this.tell('unavailable', false, NOBODY, origin);
      throw error;
    }
    return this.refuse(refusal, origin);
  }

  private async judge(request: CheckRequest): Promise<Verdict> {
    const { domainId, clientId, clientSecret } = request;
    const presented = parseSecret(clientSecret);
    if (presented.kind === 'malformed' || !isPossible(clientSecret)) return MALFORMED;
    const name = `${domainId}:${clientId}`;
    const known = this.applicationIds.get(name);
    if (known === undefined && !(CLIENT_ID_PATTERN.test(clientId) && DOMAIN_ID_PATTERN.test(domainId)))
      return MALFORMED;
    const applicationId = known ?? applicationIdOf(domainId, clientId);
    const [application, domain] = (await this.options.view.read([
      applicationStream(applicationId),
      domainStream(domainId),
    ])) as [ApplicationCredentials | null, DomainCredentials | null];

    if (domain?.broken || application?.broken) return { cause: 'broken', subject: { applicationId } };
    if (!domain || domain.state === 'deleted') return { cause: 'unknown_domain', subject: NOBODY };
    if (domain.state === 'disabled') return { cause: 'domain_disabled', subject: { domainId } };
    // The id stands for domain and client id; held against both all the same, as it is a hash.
    const named = application?.domainId === domainId && application.clientId === clientId;
    if (!named || application.state === 'deleted') return { cause: 'unknown_client', subject: { domainId } };
    if (known === undefined) this.applicationIds.set(name, applicationId);
    const subject = { domainId, clientId, applicationId };
    if (application.state === 'disabled') return { cause: 'application_disabled', subject };

    const imported = presented.kind === 'foreign';
    const lookupId = imported
      ? this.options.hasher.importedLookupId(domainId, clientId, clientSecret)
      : presented.lookupId;
    const now = this.options.clock.now();
    let refusal: Verdict = { cause: 'no_match', subject };
    for (const secret of application.secrets) {
      for (const value of secret.values) {
        if (!sameText(value.lookupId, lookupId)) continue;
        let cause = this.unusable(secret, value, now, request.remoteAddress);
        if (cause === undefined) {
          const mismatch = this.mismatch(value.verifier, clientSecret, imported, applicationId);
          // Not awaiting what is there already spares a turn of the queue.
          cause = mismatch && (await mismatch);
        }
        const { secretId } = secret;
        const { version, validUntil } = value;
        if (cause === undefined)
          return {
            admitted: { valid: true, domainId, clientId, applicationId, secretId, version, expiresAt: validUntil },
            at: now,
          };
        refusal = { cause, subject: { ...subject, secretId, version } };
      }
    }
    return refusal;
  }

  /** Why a value cannot be used at an instant from an address, whatever was shown; undefined where it can. */
  private unusable(
    secret: SecretCredentials,
    value: ValueCredentials,
    now: Instant,
    remoteAddress: string | undefined,
  ): RefusalCause | undefined {
    if (secret.suspended) return 'suspended';
    if (secret.notBefore !== undefined && now < secret.notBefore) return 'not_yet_valid';
    if (value.validUntil !== undefined && now >= value.validUntil) return 'expired';
    if (secret.allowedCidrs.length === 0) return undefined;
    const address = parseAddress(remoteAddress);
    if (!address) return 'address_unknown';
    return this.networks.anyContains(secret.allowedCidrs, address) ? undefined : 'address';
  }

  /** Undefined where a value fits a verifier; at once where that is remembered. */
  private mismatch(
    verifier: string,
    value: string,
    imported: boolean,
    client: string,
  ): undefined | Promise<'wrong_value' | undefined> {
    const { hasher, limiter } = this.options;
    const fits = this.remembered.fits(verifier, value, () =>
      imported ? limiter.inTurn(client, () => hasher.verify(verifier, value)) : hasher.verify(verifier, value),
    );
    return fits === true ? undefined : fits.then((right) => (right ? undefined : 'wrong_value'));
  }

  private admit(admitted: Admitted, at: Instant, origin: Origin): Admitted {
    this.options.usage?.record(admitted.secretId, at, origin.remoteAddress);
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
    const error =
      retryAfterSeconds === undefined
        ? REFUSED
        : new RekeyError('rate_limited', 'Too many wrong credentials; try again later.', { retryAfterSeconds });
    return { valid: false, cause, error };
  }

  private tell(outcome: CheckOutcome['outcome'], limited: boolean, subject: Subject, origin: Origin): void {
    const { domainId, clientId, applicationId, secretId, version } = subject;
    const source = origin.limiterSource ?? origin.remoteAddress;
    this.options.onChecked?.({ outcome, limited, domainId, clientId, applicationId, secretId, version, source });
  }
}

/** Whether a value could exist at all; what could not is refused without a look at any store. */
const isPossible = (value: string): boolean => value.length >= 1 && value.length <= SECRET_LENGTH_MAX;

/** Equality of two texts in a time that depends on their lengths alone. */
const sameText = (left: string, right: string): boolean => {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (let index = 0; index < left.length; index++) difference |= left.charCodeAt(index) ^ right.charCodeAt(index);
  return difference === 0;
};
