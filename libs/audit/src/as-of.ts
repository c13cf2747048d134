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

/** An application as it stood at an instant, everything that had happened by then included. */
export interface ApplicationAsOf {
  readonly asOf: Instant;
  readonly id: string;
  readonly domainId: string;
  readonly domainStatus: 'active' | 'disabled' | 'deleted';
  /** `deleted`: nothing but the ids is left of it. */
  readonly status: 'active' | 'disabled' | 'deleted';
  readonly clientId?: string;
  readonly name?: string;
  readonly contacts: readonly string[];
  readonly policy?: ApplicationPolicy;
  /** All secrets of the life that it then had, revoked ones included, oldest first. */
  readonly secrets: readonly SecretAsOf[];
}

export interface SecretAsOf {
  readonly id: string;
  readonly description: string;
  /** Of the current value. */
  readonly version: number;
  readonly status: Exclude<StatusAt, 'expiring'>;
  readonly valueCreatedAt: Instant;
  readonly notBefore?: Instant;
  readonly expiresAt?: Instant;
  /** Until when the value before the current one authenticates. */
  readonly previousValidUntil?: Instant;
  readonly allowedCidrs: readonly string[];
  /** Versions whose values could authenticate then, the current one first; from the networks named, where there are any. */
  readonly authenticates: readonly number[];
}

/**
 * Replays an application to an instant. Throws `application_not_found` where the domain had no such application yet,
 * and `invalid_request` for an instant to come.
 */
export const applicationAsOf = async (
  { store, clock }: { readonly store: Pick<EventStore, 'readStream'>; readonly clock: Clock },
  { domainId, applicationId }: { readonly domainId: string; readonly applicationId: string },
  asOf: Instant,
): Promise<ApplicationAsOf> => {
  if (asOf > clock.now()) throw new RekeyError('invalid_request', 'This instant is still to come.', { field: 'asOf' });
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
    throw new RekeyError('application_not_found', 'The application was not registered in this domain at that time.');
  const domain = foldDomain(until(domainEvents, asOf)).state;
  const state = foldApplication(past).state;
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
