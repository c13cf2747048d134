import { unreachable, type Recorded } from '../decider';
import type { ApplicationPolicy, ExpirySource, Duration, Instant, OwnExpiry } from '../expiry-policy';
import { present } from '../json';
import type { ApplicationEvent, NoticeKey, SecretEvent } from './events';

/** A secret, folded from its application's stream. */
export interface Secret {
  readonly secretId: string;
  readonly version: number;
  readonly description: string;
  readonly status: 'active' | 'suspended' | 'revoked';
  readonly expiresAt?: Instant;
  readonly notBefore?: Instant;
  readonly allowedCidrs: readonly string[];
  readonly own: OwnExpiry;
  /** End of the overlap: the previous version authenticates until then. */
  readonly previousValidUntil?: Instant;
  readonly valueCreatedAt: Instant;
  /** The latest version that has a `SecretExpired` event. */
  readonly expiredVersion?: number;
  /** Notices of every version, by `noticeId`. */
  readonly notices: Readonly<Record<string, NoticeState>>;
  /** Revision of the last event that changed the secret; notices and recorded expiries do not count. Its ETag. */
  readonly resourceRevision: number;
}

export type NoticeState = 'sent' | 'failed' | 'retried' | 'acknowledged';

/** Returns the key of a notice within its secret. */
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
  /** Secret ids from before the application was deleted and registered again; they cannot be reused. */
  readonly formerSecretIds: readonly string[];
  /** Revision of the last event that changed the application itself. Its ETag. */
  readonly resourceRevision: number;
}

export type ApplicationState =
  | { readonly status: 'none' }
  | { readonly status: 'deleted'; readonly formerSecretIds: readonly string[] }
  | RegisteredApplication;

/** Returns an application as it is directly after its registration. */
export const newApplication = (
  ids: Pick<RegisteredApplication, 'applicationId' | 'domainId' | 'clientId' | 'name' | 'contacts'>,
  before: ApplicationState,
  revision: number,
): RegisteredApplication => ({
  status: 'active',
  ...ids,
  policy: { mode: 'inherit' },
  secrets: {},
  formerSecretIds: before.status === 'deleted' ? before.formerSecretIds : [],
  resourceRevision: revision,
});

/** Applies an event. An event of an application that does not exist changes nothing. */
export const evolve = (state: ApplicationState, event: Recorded<ApplicationEvent>): ApplicationState => {
  const { revision } = event;
  if (event.type === 'ApplicationRegistered') {
    const { applicationId, domainId, clientId, name, contacts } = event.data;
    return newApplication({ applicationId, domainId, clientId, name, contacts }, state, revision);
  }
  if (state.status === 'none' || state.status === 'deleted') return state;
  const changed = { ...state, resourceRevision: revision };
  switch (event.type) {
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
    default: {
      const { secretId } = event.data;
      const secret = evolveSecret(state.secrets[secretId], event);
      return secret ? { ...state, secrets: { ...state.secrets, [secretId]: secret } } : state;
    }
  }
};

const evolveSecret = (secret: Secret | undefined, event: Recorded<SecretEvent>): Secret | undefined => {
  const { revision: resourceRevision, metadata } = event;
  if (event.type === 'SecretAdded') return newSecret(event);
  if (!secret) return undefined;
  switch (event.type) {
    case 'SecretRenewed': {
      const { version, expiresAt, previousValidUntil } = event.data;
      const { expiresAt: _end, previousValidUntil: _until, ...kept } = secret;
      return {
        ...kept,
        version,
        own: ownExpiryOf(event.data) ?? secret.own,
        valueCreatedAt: metadata.occurredAt,
        resourceRevision,
        ...present({ expiresAt, previousValidUntil }),
      };
    }
    case 'OverlapEnded': {
      const { previousValidUntil: _until, ...kept } = secret;
      return { ...kept, resourceRevision };
    }
    case 'SecretRevoked':
      return { ...secret, status: 'revoked', resourceRevision };
    case 'SecretSuspended':
      return { ...secret, status: 'suspended', resourceRevision };
    case 'SecretResumed':
      return { ...secret, status: 'active', resourceRevision };
    case 'SecretDescribed':
      return { ...secret, description: event.data.description, resourceRevision };
    case 'SecretRestricted': {
      const { allowedCidrs, notBefore } = event.data;
      const { notBefore: _before, ...kept } = secret;
      return { ...kept, allowedCidrs, resourceRevision, ...present({ notBefore }) };
    }
    case 'SecretExpired':
      return { ...secret, expiredVersion: event.data.version };
    case 'ExpiryNoticeSent':
      return withNotice(secret, event.data, 'sent');
    case 'ExpiryNoticeFailed':
      return withNotice(secret, event.data, 'failed');
    case 'ExpiryNoticeRetried':
      return withNotice(secret, event.data, 'retried');
    case 'ExpiryNoticeAcknowledged':
      return withNotice(secret, event.data, 'acknowledged');
    default:
      return unreachable(event);
  }
};

const newSecret = ({ data, metadata, revision }: Recorded<Extract<SecretEvent, { type: 'SecretAdded' }>>): Secret => {
  const { secretId, version, description, expiresAt, notBefore, allowedCidrs } = data;
  return {
    secretId,
    version,
    description,
    status: 'active',
    allowedCidrs: allowedCidrs ?? [],
    own: ownExpiryOf(data) ?? { kind: 'none' },
    valueCreatedAt: metadata.occurredAt,
    notices: {},
    resourceRevision: revision,
    ...present({ expiresAt, notBefore }),
  };
};

const withNotice = (secret: Secret, key: NoticeKey, state: NoticeState): Secret => ({
  ...secret,
  notices: { ...secret.notices, [noticeId(key)]: state },
});

/** Returns the expiry that the command gave to the secret itself; undefined where it gave none. */
const ownExpiryOf = (data: {
  ownExpiresIn?: Duration;
  expiresAt?: Instant;
  expirySource: ExpirySource;
}): OwnExpiry | undefined => {
  if (data.ownExpiresIn) return { kind: 'in', duration: data.ownExpiresIn };
  if (data.expirySource === 'command') return { kind: data.expiresAt === undefined ? 'never' : 'at' };
  return undefined;
};
