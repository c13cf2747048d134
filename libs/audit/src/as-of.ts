import { RekeyError } from '@rekey/contracts';
import {
  applicationStream,
  domainStream,
  liveVersions,
  present,
  statusAt,
  type ApplicationPolicy,
  type Instant,
  type RegisteredApplication,
  type StatusAt,
  type SecurityDomainState,
} from '@rekey/domain';
import { foldApplication, foldDomain } from '@rekey/platform';
import type { Clock, EventStore, StoredEvent } from '@rekey/ports';

/** An application as of an instant: all events up to and including that instant are applied. */
export interface ApplicationAsOf {
  readonly asOf: Instant;
  readonly id: string;
  readonly domainId: string;
  readonly domainStatus: 'active' | 'disabled' | 'deleted';
  /** `deleted`: only the ids are known. */
  readonly status: 'active' | 'disabled' | 'deleted';
  readonly clientId?: string;
  readonly name?: string;
  readonly contacts: readonly string[];
  readonly policy?: ApplicationPolicy;
  /** All secrets since the last registration of the application, revoked ones included, oldest first. */
  readonly secrets: readonly SecretAsOf[];
}

export interface SecretAsOf {
  readonly id: string;
  readonly description: string;
  /** The current version. */
  readonly version: number;
  /** See `statusAt`. Does not depend on the application and the domain. */
  readonly status: Exclude<StatusAt, 'expiring'>;
  readonly valueCreatedAt: Instant;
  readonly notBefore?: Instant;
  readonly expiresAt?: Instant;
  /** End of the overlap: the previous version authenticates until then. */
  readonly previousValidUntil?: Instant;
  readonly allowedCidrs: readonly string[];
  /**
   * The versions that authenticated at that instant, the current one first; from `allowedCidrs` only, if not empty. Empty
   * if the application or the domain was not active.
   */
  readonly authenticates: readonly number[];
}

/**
 * Returns an application as of an instant. Throws `application_not_found` if it was not registered in the domain by then,
 * and `invalid_request` if the instant is in the future.
 */
export const applicationAsOf = async (
  { store, clock }: { readonly store: Pick<EventStore, 'readStream'>; readonly clock: Clock },
  { domainId, applicationId }: { readonly domainId: string; readonly applicationId: string },
  asOf: Instant,
): Promise<ApplicationAsOf> => {
  if (asOf > clock.now()) throw new RekeyError('invalid_request', 'asOf must not be in the future.', { field: 'asOf' });
  const [domain, events] = await Promise.all([
    store.readStream(domainStream(domainId)),
    store.readStream(applicationStream(applicationId)),
  ]);
  return replay(domainId, applicationId, domain, events, asOf);
};

/** Folds the events of both streams up to an instant. */
const replay = (
  domainId: string,
  applicationId: string,
  domainEvents: readonly StoredEvent[],
  applicationEvents: readonly StoredEvent[],
  asOf: Instant,
): ApplicationAsOf => {
  const past = until(applicationEvents, asOf);
  if (past[0]?.data['domainId'] !== domainId)
    throw new RekeyError('application_not_found', `No application ${applicationId} in this domain at ${asOf}.`);
  const domain = foldDomain(until(domainEvents, asOf));
  const state = foldApplication(past);
  const ids = { asOf, id: applicationId, domainId, domainStatus: statusOf(domain) };
  if (state.status === 'none' || state.status === 'deleted')
    return { ...ids, status: 'deleted', contacts: [], secrets: [] };
  const { status, clientId, name, contacts, policy } = state;
  const open = status === 'active' && domain.status === 'active';
  return { ...ids, status, clientId, name, contacts, policy, secrets: secretsAt(state, asOf, open) };
};

/** Returns the events up to an instant: in a stream `occurredAt` never decreases. */
const until = (events: readonly StoredEvent[], asOf: Instant): StoredEvent[] =>
  events.filter(({ metadata }) => metadata.occurredAt <= asOf);

const statusOf = ({ status }: SecurityDomainState): ApplicationAsOf['domainStatus'] =>
  status === 'none' ? 'deleted' : status;

const secretsAt = ({ secrets }: RegisteredApplication, asOf: Instant, open: boolean): SecretAsOf[] =>
  Object.values(secrets).map((secret) => {
    const { secretId, description, version, valueCreatedAt, notBefore, expiresAt, previousValidUntil } = secret;
    return {
      id: secretId,
      description,
      version,
      status: statusAt(secret, asOf),
      valueCreatedAt,
      ...present({ notBefore, expiresAt, previousValidUntil }),
      allowedCidrs: secret.allowedCidrs,
      authenticates: open ? liveVersions(secret, asOf) : [],
    };
  });
