import { v5 as uuidV5 } from 'uuid';
import type { Decider, EventShape, Recorded } from './decider';
import { sameJson, unreachable } from './decider';
import { DomainError, invalid } from './errors';
import type { ApplicationPolicy, Duration, ExpirySource, Instant, OwnExpiry, StatedExpiry } from './expiry-policy';
import { addDuration, checkApplicationPolicy, earlier, expiryOf, later, outOfBounds } from './expiry-policy';
import type { SecurityDomainState } from './security-domain';

// ── Stream ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** RFC 9562 name space of application ids; never changes, for the stream's name is the uniqueness of a client id. */
const APPLICATION_NAMESPACE = '5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21';

/** The id of an application: uuid v5 of its domain and client id, so the stream itself is the uniqueness. */
export const applicationIdOf = (domainId: string, clientId: string): string =>
  uuidV5(`${domainId}:${clientId}`, APPLICATION_NAMESPACE);

/** The stream of an application. */
export const applicationStream = (applicationId: string): string => `application-${applicationId}`;

/** RFC 6749 appendix A: VSCHAR; 1 to 255 of them, case-sensitive. */
export const CLIENT_ID_PATTERN = /^[\x20-\x7e]{1,255}$/;

// ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────
// These types and names are the stored format: a shape breaks only into a new version with an upcast.

/** RFC 5280 §5.3.1, as far as the words fit a secret. */
export const REVOCATION_REASONS = [
  'unspecified',
  'keyCompromise',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
] as const;
export type RevocationReason = (typeof REVOCATION_REASONS)[number];

/** What is kept of a value: never the value itself. `hint` is missing for imported values. */
export interface Verifier {
  /** Argon2id PHC string. */
  readonly verifier: string;
  readonly lookupId: string;
  readonly hint?: string | undefined;
}

/** One notice: threshold in days before the expiry; 0 is the expiry itself. */
export interface NoticeKey {
  readonly secretId: string;
  readonly version: number;
  readonly threshold: number;
  readonly channel: string;
}

type Ids = { applicationId: string; domainId: string };
type SecretIds = Ids & { secretId: string };

export type ApplicationEvent =
  | E<'ApplicationRegistered', Ids & { clientId: string; name: string; contacts: readonly string[] }>
  | E<
      'SecretAdded',
      SecretIds &
        Verifier & {
          version: 1;
          description: string;
          expiresAt?: Instant;
          notBefore?: Instant;
          allowedCidrs?: readonly string[];
          ownExpiresIn?: Duration;
          expirySource: ExpirySource;
        }
    >
  | E<
      'SecretRenewed',
      SecretIds &
        Verifier & {
          version: number;
          expiresAt?: Instant;
          ownExpiresIn?: Duration;
          expirySource: ExpirySource;
          /** Until when the value before this one still authenticates; absent: it is dead. */
          previousValidUntil?: Instant;
        }
    >
  | E<'OverlapEnded', SecretIds & { version: number }>
  | E<'SecretRevoked', SecretIds & { reason: RevocationReason }>
  | E<'SecretSuspended' | 'SecretResumed', SecretIds & { reason?: string }>
  | E<'SecretExpired', SecretIds & { version: number; expiresAt: Instant }>
  | E<'ExpiryNoticeSent', Ids & NoticeKey & { recipients: number }>
  | E<'ExpiryNoticeFailed', Ids & NoticeKey & { cause: string }>
  | E<'ExpiryNoticeRetried' | 'ExpiryNoticeAcknowledged', Ids & NoticeKey>
  | E<'PolicyChanged', Ids & { policy: ApplicationPolicy }>
  | E<'SecretDescribed', SecretIds & { description: string }>
  | E<'SecretRestricted', SecretIds & { allowedCidrs: readonly string[]; notBefore?: Instant }>
  | E<'ContactsChanged', Ids & { contacts: readonly string[] }>
  | E<'ApplicationRenamed', Ids & { name: string }>
  | E<'ApplicationDisabled' | 'ApplicationEnabled' | 'ApplicationDeleted', Ids>;

interface E<Type extends string, Data extends object> extends EventShape {
  readonly type: Type;
  readonly data: Readonly<Data>;
}

// ── State ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A secret as the write side knows it. */
export interface Secret {
  readonly secretId: string;
  readonly version: number;
  readonly description: string;
  readonly status: 'active' | 'suspended' | 'revoked';
  readonly expiresAt?: Instant;
  readonly notBefore?: Instant;
  readonly allowedCidrs: readonly string[];
  readonly own: OwnExpiry;
  readonly previousValidUntil?: Instant;
  readonly valueCreatedAt: Instant;
  /** The version whose expiry is on record. */
  readonly expiredVersion?: number;
  /** Notices of all versions, by `noticeId`. */
  readonly notices: Readonly<Record<string, NoticeState>>;
  /** Revision of the last event that changed the secret, notices and recorded expiries aside: its ETag. */
  readonly resourceRevision: number;
}

export type NoticeState = 'sent' | 'failed' | 'retried' | 'acknowledged';

/** Names a notice within its secret. */
export const noticeId = ({ version, threshold, channel }: Omit<NoticeKey, 'secretId'>): string =>
  `${version}.${threshold}.${channel}`;

export interface RegisteredApplication {
  readonly status: 'active' | 'disabled';
  readonly applicationId: string;
  readonly domainId: string;
  readonly clientId: string;
  readonly name: string;
  readonly contacts: readonly string[];
  readonly policy: ApplicationPolicy;
  readonly secrets: Readonly<Record<string, Secret>>;
  /** Ids of the secrets of earlier lives on this stream: never given again. */
  readonly formerSecretIds: readonly string[];
  readonly resourceRevision: number;
}

export type ApplicationState =
  | { readonly status: 'none' }
  | { readonly status: 'deleted'; readonly formerSecretIds: readonly string[] }
  | RegisteredApplication;

/**
 * Whether a secret can authenticate at an instant: the one predicate that every rule about live secrets uses. A value
 * is expired when `now >= expiresAt`; it is not valid before `notBefore`.
 */
export const isLive = (
  secret: Pick<Secret, 'status' | 'expiresAt' | 'notBefore' | 'previousValidUntil'>,
  now: Instant,
): boolean =>
  secret.status === 'active' &&
  (secret.notBefore === undefined || secret.notBefore <= now) &&
  (secret.expiresAt === undefined ||
    now < secret.expiresAt ||
    (secret.previousValidUntil !== undefined && now < secret.previousValidUntil));

const ownOf = (data: {
  ownExpiresIn?: Duration;
  expiresAt?: Instant;
  expirySource: ExpirySource;
}): OwnExpiry | undefined => {
  if (data.ownExpiresIn) return { kind: 'in', duration: data.ownExpiresIn };
  if (data.expirySource === 'command') return { kind: data.expiresAt === undefined ? 'never' : 'at' };
  return undefined;
};

/** An object without the keys whose value is undefined: events and states hold what is there, not what is not. */
const present = <T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, held]) => held !== undefined)) as never;

const evolve = (state: ApplicationState, event: Recorded<ApplicationEvent>): ApplicationState => {
  const { revision } = event;
  if (event.type === 'ApplicationRegistered') {
    const { applicationId, domainId, clientId, name, contacts } = event.data;
    return {
      status: 'active',
      applicationId,
      domainId,
      clientId,
      name,
      contacts,
      policy: { mode: 'inherit' },
      secrets: {},
      formerSecretIds: state.status === 'deleted' ? state.formerSecretIds : [],
      resourceRevision: revision,
    };
  }
  if (state.status === 'none' || state.status === 'deleted') return state;
  const withSecret = (secretId: string, change: (secret: Secret) => Secret): ApplicationState => {
    const secret = state.secrets[secretId];
    return secret ? { ...state, secrets: { ...state.secrets, [secretId]: change(secret) } } : state;
  };
  const notice = (key: NoticeKey, notice: NoticeState): ApplicationState =>
    withSecret(key.secretId, (secret) => ({ ...secret, notices: { ...secret.notices, [noticeId(key)]: notice } }));
  const changed = { ...state, resourceRevision: revision };
  switch (event.type) {
    case 'SecretAdded': {
      const { secretId, version, description, expiresAt, notBefore, allowedCidrs } = event.data;
      const secret: Secret = {
        secretId,
        version,
        description,
        status: 'active',
        allowedCidrs: allowedCidrs ?? [],
        own: ownOf(event.data) ?? { kind: 'none' },
        valueCreatedAt: event.metadata.occurredAt,
        notices: {},
        resourceRevision: revision,
        ...present({ expiresAt, notBefore }),
      };
      return { ...state, secrets: { ...state.secrets, [secretId]: secret } };
    }
    case 'SecretRenewed': {
      const { secretId, version, expiresAt, previousValidUntil } = event.data;
      return withSecret(secretId, ({ expiresAt: _end, previousValidUntil: _until, ...secret }) => ({
        ...secret,
        version,
        own: ownOf(event.data) ?? secret.own,
        valueCreatedAt: event.metadata.occurredAt,
        resourceRevision: revision,
        ...present({ expiresAt, previousValidUntil }),
      }));
    }
    case 'OverlapEnded':
      return withSecret(event.data.secretId, ({ previousValidUntil: _until, ...secret }) => ({
        ...secret,
        resourceRevision: revision,
      }));
    case 'SecretRevoked':
      return withSecret(event.data.secretId, (secret) => ({
        ...secret,
        status: 'revoked',
        resourceRevision: revision,
      }));
    case 'SecretSuspended':
      return withSecret(event.data.secretId, (secret) => ({
        ...secret,
        status: 'suspended',
        resourceRevision: revision,
      }));
    case 'SecretResumed':
      return withSecret(event.data.secretId, (secret) => ({ ...secret, status: 'active', resourceRevision: revision }));
    case 'SecretDescribed':
      return withSecret(event.data.secretId, (secret) => ({
        ...secret,
        description: event.data.description,
        resourceRevision: revision,
      }));
    case 'SecretRestricted': {
      const { allowedCidrs, notBefore } = event.data;
      return withSecret(event.data.secretId, ({ notBefore: _before, ...secret }) => ({
        ...secret,
        allowedCidrs,
        resourceRevision: revision,
        ...present({ notBefore }),
      }));
    }
    case 'SecretExpired':
      return withSecret(event.data.secretId, (secret) => ({ ...secret, expiredVersion: event.data.version }));
    case 'ExpiryNoticeSent':
      return notice(event.data, 'sent');
    case 'ExpiryNoticeFailed':
      return notice(event.data, 'failed');
    case 'ExpiryNoticeRetried':
      return notice(event.data, 'retried');
    case 'ExpiryNoticeAcknowledged':
      return notice(event.data, 'acknowledged');
    case 'PolicyChanged':
      return { ...changed, policy: event.data.policy };
    case 'ContactsChanged':
      return { ...changed, contacts: event.data.contacts };
    case 'ApplicationRenamed':
      return { ...changed, name: event.data.name };
    case 'ApplicationDisabled':
      return { ...changed, status: 'disabled' };
    case 'ApplicationEnabled':
      return { ...changed, status: 'active' };
    case 'ApplicationDeleted':
      return { status: 'deleted', formerSecretIds: [...state.formerSecretIds, ...Object.keys(state.secrets)] };
    default:
      return unreachable(event);
  }
};

// ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

type OfSecret = { secretId: string };

export type ApplicationCommand =
  | C<
      'RegisterApplication',
      {
        clientId: string;
        name: string;
        contacts?: readonly string[] | undefined;
        firstSecret?: { secretId: string; description: string } | undefined;
      }
    >
  | C<
      'UpdateApplication',
      { name?: string | undefined; contacts?: readonly string[] | undefined; enabled?: boolean | undefined }
    >
  | C<'ChangeApplicationPolicy', { policy: ApplicationPolicy }>
  | C<'DeleteApplication', object>
  | C<
      'AddSecret',
      OfSecret & {
        description: string;
        notBefore?: Instant | undefined;
        allowedCidrs?: readonly string[] | undefined;
      } & StatedExpiryInput
    >
  | C<'RenewSecret', OfSecret & { overlap?: Duration | undefined; version?: number | undefined } & StatedExpiryInput>
  | C<'EndOverlap', OfSecret>
  | C<'RevokeSecret', OfSecret & { reason?: RevocationReason | undefined; force?: boolean | undefined }>
  | C<'SuspendSecret', OfSecret & { reason?: string | undefined; force?: boolean | undefined }>
  | C<'ResumeSecret', OfSecret & { reason?: string | undefined }>
  | C<
      'UpdateSecret',
      OfSecret & {
        description?: string | undefined;
        allowedCidrs?: readonly string[] | undefined;
        /** `null` takes it away. */
        notBefore?: Instant | null | undefined;
      }
    >
  | C<'ExpireSecret', OfSecret & { version: number }>
  | C<'RecordNoticeSent', NoticeKey & { recipients: number }>
  | C<'RecordNoticeFailed', NoticeKey & { cause: string }>
  | C<'RetryNotice' | 'AcknowledgeNotice', NoticeKey>;

type StatedExpiryInput = { expiresIn?: Duration | undefined; expiresAt?: Instant | null | undefined };

interface C<Type extends string, Data extends object> {
  readonly type: Type;
  readonly data: Readonly<Data & { applicationId: string; domainId: string }>;
}

/** All that a decision depends on beside command and state. */
export interface ApplicationContext {
  readonly now: Instant;
  readonly domain: SecurityDomainState;
  /** `applications.secretsMax`. */
  readonly secretsMax: number;
  /** The verifier of the value that was made for this command, where it makes one (add, renew, first secret). */
  readonly verifier?: Verifier | undefined;
  /** `If-Match`: the resource's revision that the caller saw. */
  readonly ifMatch?: number | undefined;
}

// ── Decide ───────────────────────────────────────────────────────────────────────────────────────────────────────

const DESCRIPTION_LENGTH_MAX = 128;

const decide = (
  command: ApplicationCommand,
  state: ApplicationState,
  context: ApplicationContext,
): ApplicationEvent[] => {
  const { applicationId, domainId } = command.data;
  const ids = { applicationId, domainId };
  const domain = existing(context.domain);
  if (command.type === 'RegisterApplication') return register(command, state, context, domain);
  if (state.status === 'none' || state.status === 'deleted' || state.domainId !== domainId)
    throw new DomainError('application_not_found', 'There is no such application in this domain.');
  switch (command.type) {
    case 'UpdateApplication': {
      matches(context, state.resourceRevision);
      const { name, contacts, enabled } = command.data;
      const events: ApplicationEvent[] = [];
      if (name !== undefined && name !== state.name)
        events.push({ type: 'ApplicationRenamed', data: { ...ids, name } });
      if (contacts !== undefined && !sameJson(contacts, state.contacts))
        events.push({ type: 'ContactsChanged', data: { ...ids, contacts } });
      if (enabled !== undefined && enabled !== (state.status === 'active'))
        events.push({ type: enabled ? 'ApplicationEnabled' : 'ApplicationDisabled', data: ids });
      return events;
    }
    case 'ChangeApplicationPolicy': {
      matches(context, state.resourceRevision);
      const { policy } = command.data;
      if (sameJson(policy, state.policy)) return [];
      checkApplicationPolicy(policy, domain.policy, context.now);
      return [{ type: 'PolicyChanged', data: { ...ids, policy } }];
    }
    case 'DeleteApplication':
      matches(context, state.resourceRevision);
      return [{ type: 'ApplicationDeleted', data: ids }];
    case 'AddSecret':
      matches(context, state.resourceRevision);
      return [add(command.data, state, context, domain)];
    case 'RenewSecret':
      return [renew(command.data, state, context, domain)];
    case 'EndOverlap': {
      const secret = changeable(command.data.secretId, state, context);
      const { secretId, version, previousValidUntil } = secret;
      if (previousValidUntil === undefined || previousValidUntil <= context.now) return [];
      return [{ type: 'OverlapEnded', data: { ...ids, secretId, version: version - 1 } }];
    }
    case 'RevokeSecret': {
      const { secretId, reason, force } = command.data;
      const secret = found(secretId, state);
      if (secret.status === 'revoked') return [];
      matches(context, secret.resourceRevision);
      protectLastLive(secret, state, context.now, force);
      return [{ type: 'SecretRevoked', data: { ...ids, secretId, reason: reason ?? 'unspecified' } }];
    }
    case 'SuspendSecret': {
      const { secretId, reason, force } = command.data;
      const secret = changeable(secretId, state, context);
      if (secret.status === 'suspended') return [];
      protectLastLive(secret, state, context.now, force);
      return [{ type: 'SecretSuspended', data: { ...ids, secretId, ...present({ reason }) } }];
    }
    case 'ResumeSecret': {
      const { secretId, reason } = command.data;
      if (changeable(secretId, state, context).status === 'active') return [];
      return [{ type: 'SecretResumed', data: { ...ids, secretId, ...present({ reason }) } }];
    }
    case 'UpdateSecret':
      return updateSecret(command.data, state, context, domain);
    case 'ExpireSecret': {
      const { secretId, version } = command.data;
      const { expiresAt, ...secret } = found(secretId, state);
      const due = secret.version === version && expiresAt !== undefined && context.now >= expiresAt;
      if (!due || secret.status === 'revoked' || secret.expiredVersion === version) return [];
      return [{ type: 'SecretExpired', data: { ...ids, secretId, version, expiresAt } }];
    }
    case 'RecordNoticeSent': {
      const { key, known } = noticeOf(command.data, state);
      if (known === 'sent' || known === 'acknowledged') return [];
      return [{ type: 'ExpiryNoticeSent', data: { ...ids, ...key, recipients: command.data.recipients } }];
    }
    case 'RecordNoticeFailed': {
      const { key, known } = noticeOf(command.data, state);
      if (known !== undefined && known !== 'retried') return [];
      return [{ type: 'ExpiryNoticeFailed', data: { ...ids, ...key, cause: command.data.cause } }];
    }
    case 'RetryNotice': {
      const { key, known } = noticeOf(command.data, state);
      return known === 'failed' ? [{ type: 'ExpiryNoticeRetried', data: { ...ids, ...key } }] : [];
    }
    case 'AcknowledgeNotice': {
      const { key, known } = noticeOf(command.data, state);
      if (known === undefined) throw invalid('threshold', 'There is no such notice.');
      return known === 'acknowledged' ? [] : [{ type: 'ExpiryNoticeAcknowledged', data: { ...ids, ...key } }];
    }
    default:
      return unreachable(command);
  }
};

type ExistingDomain = Extract<SecurityDomainState, { status: 'active' | 'disabled' }>;
type DataOf<Type extends ApplicationCommand['type']> = Extract<ApplicationCommand, { type: Type }>['data'];

const existing = (domain: SecurityDomainState): ExistingDomain => {
  if (domain.status === 'none' || domain.status === 'deleted')
    throw new DomainError('domain_not_found', 'There is no such domain.');
  return domain;
};

const matches = ({ ifMatch }: ApplicationContext, revision: number): void => {
  if (ifMatch !== undefined && ifMatch !== revision)
    throw new DomainError('revision_conflict', 'The resource was changed since you read it.', { revision });
};

const found = (secretId: string, state: RegisteredApplication): Secret => {
  const secret = state.secrets[secretId];
  if (!secret) throw new DomainError('secret_not_found', 'There is no such secret in this application.');
  return secret;
};

/** A secret that a command may still change: known, not revoked, and as the caller saw it. */
const changeable = (secretId: string, state: RegisteredApplication, context: ApplicationContext): Secret => {
  const secret = found(secretId, state);
  if (secret.status === 'revoked') throw new DomainError('secret_revoked', 'A revoked secret cannot be changed.');
  matches(context, secret.resourceRevision);
  return secret;
};

/** New values are only made where they could be used. */
const takesNewValues = (domain: ExistingDomain, state?: RegisteredApplication): void => {
  if (domain.status === 'disabled') throw new DomainError('domain_disabled', 'The domain is disabled.');
  if (state?.status === 'disabled') throw new DomainError('application_disabled', 'The application is disabled.');
};

const madeVerifier = ({ verifier }: ApplicationContext): Verifier => {
  if (!verifier) throw new Error('This command makes a value, and none was made for it.');
  return present({ verifier: verifier.verifier, lookupId: verifier.lookupId, hint: verifier.hint });
};

const freeDescription = (text: string, state: RegisteredApplication | undefined, except?: string): string => {
  const description = text.trim();
  if (description.length === 0 || description.length > DESCRIPTION_LENGTH_MAX)
    throw invalid('description', `A description has 1 to ${DESCRIPTION_LENGTH_MAX} characters.`);
  const taken = Object.values(state?.secrets ?? {}).some(
    (secret) => secret.status !== 'revoked' && secret.description === description && secret.secretId !== except,
  );
  if (taken) throw new DomainError('description_taken', 'Another secret of this application has this description.');
  return description;
};

const register = (
  { data }: Extract<ApplicationCommand, { type: 'RegisterApplication' }>,
  state: ApplicationState,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent[] => {
  const { applicationId, domainId, clientId, name, contacts, firstSecret } = data;
  if (!CLIENT_ID_PATTERN.test(clientId))
    throw invalid('clientId', 'A client id has 1 to 255 visible ASCII characters.');
  if (applicationId !== applicationIdOf(domainId, clientId))
    throw invalid('applicationId', 'The application id does not belong to this domain and client id.');
  takesNewValues(domain);
  if (state.status === 'active' || state.status === 'disabled')
    throw new DomainError('client_id_taken', 'An application with this client id is registered in this domain.');
  const ids = { applicationId, domainId };
  const registered: ApplicationEvent = {
    type: 'ApplicationRegistered',
    data: { ...ids, clientId, name, contacts: contacts ?? [] },
  };
  if (!firstSecret) return [registered];
  const blank: RegisteredApplication = {
    status: 'active',
    ...ids,
    clientId,
    name,
    contacts: [],
    policy: { mode: 'inherit' },
    secrets: {},
    formerSecretIds: state.status === 'deleted' ? state.formerSecretIds : [],
    resourceRevision: 0,
  };
  return [registered, add({ ...ids, ...firstSecret }, blank, context, domain)];
};

const statedIn = (data: StatedExpiryInput): StatedExpiry => {
  if (data.expiresIn !== undefined && data.expiresAt !== undefined)
    throw invalid('expiresAt', 'Give expiresIn or expiresAt, not both.');
  return present({ expiresIn: data.expiresIn, expiresAt: data.expiresAt });
};

const add = (
  data: DataOf<'AddSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent => {
  const { applicationId, domainId, secretId, notBefore, allowedCidrs } = data;
  takesNewValues(domain, state);
  if (state.secrets[secretId] || state.formerSecretIds.includes(secretId))
    throw invalid('secretId', 'This secret id was used before.');
  const description = freeDescription(data.description, state);
  const unrevoked = Object.values(state.secrets).filter((secret) => secret.status !== 'revoked').length;
  if (unrevoked >= context.secretsMax)
    throw new DomainError('too_many_secrets', `An application has at most ${context.secretsMax} secrets.`, {
      limit: context.secretsMax,
    });
  const stated = statedIn(data);
  const { expiresAt, source } = expiryOf({
    now: context.now,
    notBefore,
    stated,
    own: { kind: 'none' },
    applicationPolicy: state.policy,
    domainPolicy: domain.policy,
  });
  return {
    type: 'SecretAdded',
    data: {
      applicationId,
      domainId,
      secretId,
      version: 1,
      description,
      ...madeVerifier(context),
      ...present({ expiresAt, notBefore, ownExpiresIn: stated.expiresIn }),
      ...(allowedCidrs?.length ? { allowedCidrs } : {}),
      expirySource: source,
    },
  };
};

const renew = (
  data: DataOf<'RenewSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent => {
  const { applicationId, domainId, secretId, overlap } = data;
  const secret = found(secretId, state);
  if (secret.status === 'revoked') throw new DomainError('not_renewable', 'A revoked secret cannot be renewed.');
  matches(context, secret.resourceRevision);
  if (data.version !== undefined && data.version !== secret.version)
    throw new DomainError('revision_conflict', 'This version is not the current one.', { version: secret.version });
  takesNewValues(domain, state);
  const { now } = context;
  const stated = statedIn(data);
  const { expiresAt, source } = expiryOf({
    now,
    notBefore: secret.notBefore,
    stated,
    own: secret.own,
    applicationPolicy: state.policy,
    domainPolicy: domain.policy,
  });
  const alive = secret.expiresAt === undefined || now < secret.expiresAt;
  const overlapEnd = overlap && addDuration(now, overlap);
  if (overlap && overlapEnd === undefined) throw invalid('overlap', 'The overlap would end after the last instant.');
  const previousValidUntil = alive ? overlapEnd && earlier(overlapEnd, secret.expiresAt) : undefined;
  return {
    type: 'SecretRenewed',
    data: {
      applicationId,
      domainId,
      secretId,
      version: secret.version + 1,
      ...madeVerifier(context),
      ...present({ expiresAt, ownExpiresIn: stated.expiresIn, previousValidUntil }),
      expirySource: source,
    },
  };
};

const updateSecret = (
  data: DataOf<'UpdateSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent[] => {
  const { applicationId, domainId, secretId } = data;
  const secret = changeable(secretId, state, context);
  const ids = { applicationId, domainId, secretId };
  const events: ApplicationEvent[] = [];
  if (data.description !== undefined) {
    const description = freeDescription(data.description, state, secretId);
    if (description !== secret.description) events.push({ type: 'SecretDescribed', data: { ...ids, description } });
  }
  const allowedCidrs = data.allowedCidrs ?? secret.allowedCidrs;
  const notBefore = data.notBefore === undefined ? secret.notBefore : (data.notBefore ?? undefined);
  if (sameJson(allowedCidrs, secret.allowedCidrs) && notBefore === secret.notBefore) return events;
  if (notBefore !== secret.notBefore) refuseBadStart(notBefore, secret, context.now, domain);
  return [...events, { type: 'SecretRestricted', data: { ...ids, allowedCidrs, ...present({ notBefore }) } }];
};

/** An earlier start must not stretch a life past the domain's bound, nor a later one leave no life at all. */
const refuseBadStart = (
  notBefore: Instant | undefined,
  secret: Secret,
  now: Instant,
  { policy: { maxLifetime } }: ExistingDomain,
): void => {
  const { expiresAt } = secret;
  if (expiresAt === undefined) return;
  if (notBefore !== undefined && notBefore >= expiresAt)
    throw invalid('notBefore', 'notBefore must lie before expiresAt.');
  const start = later(now, notBefore);
  if (maxLifetime === undefined || start >= later(now, secret.notBefore)) return;
  const latest = addDuration(start, maxLifetime);
  if (latest !== undefined && expiresAt > latest) throw outOfBounds('notBefore', 'maxLifetime', maxLifetime);
};

/** Revoking or suspending the only secret that can authenticate now cuts the application off: only with `force`. */
const protectLastLive = (
  secret: Secret,
  state: RegisteredApplication,
  now: Instant,
  force: boolean | undefined,
): void => {
  if (force || !isLive(secret, now)) return;
  const others = Object.values(state.secrets).filter((other) => other.secretId !== secret.secretId);
  if (!others.some((other) => isLive(other, now)))
    throw new DomainError('last_live_secret', 'No other secret of this application can authenticate; use force.');
};

const noticeOf = (
  data: NoticeKey,
  state: RegisteredApplication,
): { key: NoticeKey; known: NoticeState | undefined } => {
  const { secretId, version, threshold, channel } = data;
  const secret = found(secretId, state);
  if (version < 1 || version > secret.version) throw invalid('version', 'There is no such version.');
  const key = { secretId, version, threshold, channel };
  return { key, known: secret.notices[noticeId(key)] };
};

export const application: Decider<ApplicationState, ApplicationCommand, ApplicationEvent, ApplicationContext> = {
  initial: { status: 'none' },
  evolve,
  decide,
};
