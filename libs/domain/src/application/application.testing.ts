import { application, applicationIdOf, type ApplicationContext, type ApplicationEvent, type Secret } from '.';
import type { ApplicationPolicy, Duration, DurationUnit } from '../expiry-policy';
import type { SecurityDomainState } from '../security-domain';
import { specification, type History } from '../testing';

type ActiveDomain = Extract<SecurityDomainState, { status: 'active' | 'disabled' }>;
type DataOf<Type extends ApplicationEvent['type']> = Extract<ApplicationEvent, { type: Type }>['data'];

export const domainId = 'payments';
export const clientId = 'shop';
export const applicationId = applicationIdOf(domainId, clientId);
export const ids = { applicationId, domainId };

/** Returns the instant `number` days after the start of every history. */
export const day = (number: number, time = '00:00:00.000'): string =>
  new Date(Date.parse(`2026-01-01T${time}Z`) + number * 86_400_000).toISOString();

export const of = (amount: number, unit: DurationUnit): Duration => ({ amount, unit });
export const days = (amount: number): Duration => of(amount, 'days');

/** An active domain. */
export const domain = (more: Partial<ActiveDomain> = {}): ActiveDomain => ({
  status: 'active',
  domainId,
  name: 'Payments',
  contacts: [],
  policy: {},
  resourceRevision: 0,
  ...more,
});

/** The verifier of the value generated for a command. */
export const verifier = { verifier: 'phc', lookupId: 'lookup', hint: 'hint' };

export const context: Omit<ApplicationContext, 'now'> = { domain: domain(), secretsMax: 3, verifier };

export const { given } = specification(application, context);

/** Returns the secret `s1`, folded from a history. */
export const secretOf = (...history: History<ApplicationEvent>): Secret | undefined => {
  const state = given(...history).state();
  return 'secrets' in state ? state.secrets['s1'] : undefined;
};

// ── Events ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const registered: ApplicationEvent = {
  type: 'ApplicationRegistered',
  data: { ...ids, clientId, name: 'Shop', contacts: [] },
};

/** Returns the event of an added secret, by default without an expiry. */
export const added = (secretId = 's1', more: Partial<DataOf<'SecretAdded'>> = {}): ApplicationEvent => ({
  type: 'SecretAdded',
  data: { ...ids, secretId, version: 1, description: secretId, ...verifier, expirySource: 'none', ...more },
});

export const renewed = (version: number, more: Partial<DataOf<'SecretRenewed'>> = {}): ApplicationEvent => ({
  type: 'SecretRenewed',
  data: { ...ids, secretId: 's1', version, ...verifier, expirySource: 'none', ...more },
});

export const revoked = (secretId = 's1'): ApplicationEvent => ({
  type: 'SecretRevoked',
  data: { ...ids, secretId, reason: 'unspecified' },
});

export const suspended = (secretId = 's1'): ApplicationEvent => ({
  type: 'SecretSuspended',
  data: { ...ids, secretId },
});

export const resumed = (secretId = 's1'): ApplicationEvent => ({ type: 'SecretResumed', data: { ...ids, secretId } });

export const restricted = (data: { allowedCidrs?: string[]; notBefore?: string }): ApplicationEvent => ({
  type: 'SecretRestricted',
  data: { ...ids, secretId: 's1', allowedCidrs: [], ...data },
});

export const policyChanged = (policy: ApplicationPolicy): ApplicationEvent => ({
  type: 'PolicyChanged',
  data: { ...ids, policy },
});

export const disabled: ApplicationEvent = { type: 'ApplicationDisabled', data: ids };
export const enabled: ApplicationEvent = { type: 'ApplicationEnabled', data: ids };
export const deleted: ApplicationEvent = { type: 'ApplicationDeleted', data: ids };
