import { Application, Secret, type Domain, type Gate, type Slot } from './model.testing';
import type { Reply } from './client.testing';

/** A command to send, with the consequences of each outcome for the model. */
export interface Plan {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly target: string;
  readonly body?: unknown;
  /** Types of the events it appends if accepted. */
  readonly events: readonly string[];
  /** Error codes with which it may be rejected. */
  readonly refusals?: readonly string[];
  /** Gates whose state is unknown until the outcome is known. */
  readonly gates?: readonly Gate[];
  /** Locks and unlocks what no other command may change at the same time. */
  readonly hold: (held: boolean) => void;
  /** Called with the answer if the command is accepted. */
  readonly accepted?: (reply: Reply) => void;
}

type Random = () => number;

const CLOSED = ['domain_disabled', 'application_disabled'];
const FOREIGN = { allowedCidrs: ['192.0.2.0/24'] };
const HOUR = { amount: 1, unit: 'hours' };
let names = 0;

/** Returns a unique text. */
const another = (what: string): string => `${what} ${++names}`;
const oneOf = <T>(random: Random, choices: readonly T[]): T | undefined =>
  choices[Math.floor(random() * choices.length)];

/** Draws a command that is possible now on one of the slots or its domain, or returns undefined. */
export const drawPlan = (slots: readonly Slot[], random: Random): Plan | undefined => {
  const slot = oneOf(random, slots);
  if (!slot || slot.exclusive) return undefined;
  const { domain, application } = slot;
  const lot = random();
  if (!domain.busy && (lot < 0.03 || (domain.gate.state === 'shut' && lot < 0.6))) return ofDomain(domain, random);
  if (!application) return register(slot, random);
  if (application.gate.state === 'shut' && lot < 0.5) return application.busy ? undefined : enable(application);
  if (lot < 0.12) return application.busy ? undefined : ofApplication(application, random);
  if (lot < 0.13) return application.busy || application.inHand > 0 ? undefined : remove(application);
  return ofSecrets(application, random);
};

const ofDomain = (domain: Domain, random: Random): Plan => {
  const hold = (held: boolean): void => void (domain.busy = held);
  const update = { method: 'PATCH', target: domain.path, hold } as const;
  if (domain.gate.state === 'shut')
    return {
      ...update,
      body: { enabled: true },
      events: ['DomainEnabled'],
      gates: [domain.gate],
      accepted: () => domain.gate.set('open'),
    };
  const lot = random();
  if (lot < 0.2)
    return {
      ...update,
      body: { enabled: false },
      events: ['DomainDisabled'],
      gates: [domain.gate],
      accepted: () => domain.gate.set('shut'),
    };
  if (lot < 0.5) return { ...update, body: { name: another('Domain') }, events: ['DomainRenamed'] };
  const policy = { expiry: { mode: 'after', after: { amount: ++names, unit: 'days' } } };
  return { method: 'PUT', target: `${domain.path}/policy`, hold, body: policy, events: ['PolicyChanged'] };
};

const register = (slot: Slot, random: Random): Plan => {
  const own = random() < 0.25 ? { value: `${another('a value of our own')} ${random()}` } : {};
  const description = another('first');
  return {
    method: 'POST',
    target: `${slot.domain.path}/applications`,
    body: { clientId: slot.clientId, name: another('App'), firstSecret: { description, ...own } },
    events: ['ApplicationRegistered', 'SecretAdded'],
    refusals: CLOSED,
    hold: (held) => void (slot.exclusive = held),
    accepted: ({ body }) => {
      const application = new Application(slot, body.id);
      slot.application = application;
      const { id, secret, version, expiresAt } = body.firstSecret;
      const first = new Secret(application, id, description);
      application.secrets.add(first);
      first.holds(own.value ?? secret, version, expiresAt);
    },
  };
};

const remove = (application: Application): Plan => ({
  method: 'DELETE',
  target: application.path,
  events: ['ApplicationDeleted'],
  gates: [application.gate],
  hold: (held) => void (application.slot.exclusive = held),
  accepted: () => {
    application.gate.set('shut');
    application.slot.application = undefined;
  },
});

const update = (application: Application, body: object) => ({
  method: 'PATCH' as const,
  target: application.path,
  body,
  hold: (held: boolean) => void (application.busy = held),
});

const enable = (application: Application): Plan => ({
  ...update(application, { enabled: true }),
  events: ['ApplicationEnabled'],
  gates: [application.gate],
  accepted: () => application.gate.set('open'),
});

const ofApplication = (application: Application, random: Random): Plan => {
  const { gate, path } = application;
  if (gate.state === 'shut') return enable(application);
  const lot = random();
  if (lot < 0.3)
    return {
      ...update(application, { enabled: false }),
      events: ['ApplicationDisabled'],
      gates: [gate],
      accepted: () => gate.set('shut'),
    };
  if (lot < 0.7) {
    const body = { name: another('App'), contacts: [`ops${++names}@example.com`] };
    return { ...update(application, body), events: ['ApplicationRenamed', 'ContactsChanged'] };
  }
  const expiry = { mode: 'after', after: { amount: ++names, unit: 'days' } };
  const { hold } = update(application, {});
  return { method: 'PUT', target: `${path}/policy`, body: { expiry }, events: ['PolicyChanged'], hold };
};

const ofSecrets = (application: Application, random: Random): Plan | undefined => {
  const lot = random();
  const free = [...application.secrets].filter(({ busy }) => !busy);
  const secret = oneOf(random, free);
  if (!secret || lot < 0.3) return add(application, random);
  if (lot < 0.33) return taken(secret);
  if (lot < 0.36) return idle(secret, oneOf(random, application.revoked));
  if (lot < 0.56) return secret.expires ? revoke(secret) : renew(secret, random() < 0.6);
  if (lot < 0.66) return secret.previous ? endOverlap(secret) : revoke(secret);
  if (lot < 0.76) return revoke(secret);
  if (lot < 0.9) return secret.suspension.state === 'shut' ? resume(secret) : suspend(secret);
  if (lot < 0.95) return restrict(secret);
  return describeAnew(secret);
};

const holding = (secret: Secret) => (held: boolean) => {
  secret.busy = held;
  secret.application.inHand += held ? 1 : -1;
};

const add = (application: Application, random: Random): Plan => {
  const description = another('secret');
  const lot = random();
  // The first expires during the test; the second is due for a notice.
  const soon = lot < 0.2 && { expiresIn: lot < 0.1 ? { amount: 1, unit: 'seconds' } : { amount: 12, unit: 'hours' } };
  return {
    method: 'POST',
    target: `${application.path}/secrets`,
    body: { description, ...soon },
    events: ['SecretAdded'],
    refusals: [...CLOSED, 'too_many_secrets'],
    hold: (held) => void (application.inHand += held ? 1 : -1),
    accepted: ({ body: { id, secret, version, expiresAt } }) => {
      const added = new Secret(application, id, description);
      application.secrets.add(added);
      added.holds(secret, version, expiresAt);
    },
  };
};

/** Must be rejected as a duplicate, or because the domain or application is disabled. */
const taken = (secret: Secret): Plan => ({
  method: 'POST',
  target: `${secret.application.path}/secrets`,
  body: { description: secret.description },
  events: ['must not be accepted'],
  refusals: [...CLOSED, 'description_taken'],
  hold: holding(secret),
});

const ofSecret = (secret: Secret, verb: string, body: object = {}) => ({
  method: 'POST' as const,
  target: `${secret.path}/${verb}`,
  body,
  hold: holding(secret),
});

/** A no-op: the secret is already in the requested state. */
const idle = (secret: Secret, revoked: Secret | undefined): Plan | undefined => {
  if (revoked && !revoked.busy) return { ...ofSecret(revoked, 'revoke'), events: [] };
  return secret.suspension.state === 'open' ? { ...ofSecret(secret, 'resume'), events: [] } : undefined;
};

const renew = (secret: Secret, overlap: boolean): Plan => {
  const { current, previous } = secret;
  const dies = [...(previous ? [previous.own] : []), ...(overlap ? [] : [current.own])];
  return {
    ...ofSecret(secret, 'renew', overlap ? { overlap: HOUR } : {}),
    events: ['SecretRenewed'],
    refusals: CLOSED,
    gates: dies,
    accepted: ({ body }) => {
      for (const gate of dies) gate.set('shut');
      secret.previous = overlap ? current : undefined;
      secret.holds(body.secret, body.version, body.expiresAt);
    },
  };
};

const endOverlap = (secret: Secret): Plan => {
  const gates = secret.previous ? [secret.previous.own] : [];
  return {
    ...ofSecret(secret, 'end-overlap'),
    body: undefined,
    events: ['OverlapEnded'],
    gates,
    accepted: () => {
      for (const gate of gates) gate.set('shut');
      secret.previous = undefined;
    },
  };
};

const revoke = (secret: Secret): Plan => ({
  ...ofSecret(secret, 'revoke', { force: true, reason: 'superseded' }),
  events: ['SecretRevoked'],
  gates: [secret.revocation],
  accepted: () => {
    secret.revocation.set('shut');
    secret.application.secrets.delete(secret);
    secret.application.revoked.push(secret);
  },
});

const suspend = (secret: Secret): Plan => ({
  ...ofSecret(secret, 'suspend', { force: true }),
  events: ['SecretSuspended'],
  gates: [secret.suspension],
  accepted: () => secret.suspension.set('shut'),
});

const resume = (secret: Secret): Plan => ({
  ...ofSecret(secret, 'resume'),
  events: ['SecretResumed'],
  gates: [secret.suspension],
  accepted: () => secret.suspension.set('open'),
});

/** Restricts the secret to foreign networks, or lifts the restriction. */
const restrict = (secret: Secret): Plan => {
  const { networks } = secret;
  const away = networks.state === 'open';
  return {
    ...ofSecret(secret, ''),
    method: 'PATCH',
    target: secret.path,
    body: away ? FOREIGN : { allowedCidrs: [] },
    events: ['SecretRestricted'],
    gates: [networks],
    accepted: () => networks.set(away ? 'shut' : 'open'),
  };
};

const describeAnew = (secret: Secret): Plan => {
  const description = another('secret');
  return {
    ...ofSecret(secret, ''),
    method: 'PATCH',
    target: secret.path,
    body: { description },
    events: ['SecretDescribed'],
    accepted: () => void (secret.description = description),
  };
};
