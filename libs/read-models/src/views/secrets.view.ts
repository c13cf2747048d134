import { VIEW_VERSIONS, secretDocumentId, type FeedEvent } from '@rekey/contracts';
import type { Actor, Duration, ExpirySource, Instant, NoticeKey, PolicySubject, RevocationReason } from '@rekey/domain';
import type { ViewDocument } from '@rekey/ports';
import type { ApplicationDocument } from './applications.view';
import { findPage, type Page } from './paging';
import type { Body, View, ViewReader } from './view';

/** A secret, by `secretDocumentId`. */
export interface SecretDocument extends ViewDocument {
  readonly secretId: string;
  readonly applicationId: string;
  readonly domainId: string;
  readonly description: string;
  readonly state: 'active' | 'suspended' | 'revoked';
  /** State of its application. `deleted` is final: a client id that is registered again has new secrets. */
  readonly applicationState: 'active' | 'disabled' | 'deleted';
  /** Version of the current value. */
  readonly version: number;
  readonly hint?: string;
  readonly createdAt: Instant;
  readonly createdBy: Actor;
  /** Creation of the current value, and `notBefore` at that time. */
  readonly valueCreatedAt: Instant;
  readonly valueCreatedBy: Actor;
  readonly valueNotBefore?: Instant;
  readonly expiresAt?: Instant;
  /** For sorting: `expiresAt`, or a text that sorts after every instant. */
  readonly expiryOrder: string;
  readonly expirySource: ExpirySource;
  /** The secret's own expiry rule, if a command set one: a duration, or never. */
  readonly ownExpiresIn?: Duration;
  readonly ownNever?: true;
  readonly notBefore?: Instant;
  readonly allowedCidrs: readonly string[];
  /** End of the overlap: until then, the previous value authenticates. */
  readonly previousValidUntil?: Instant;
  /** Set while the secret is suspended. */
  readonly suspendedAt?: Instant;
  readonly suspendedBy?: Actor;
  readonly revokedAt?: Instant;
  readonly revokedBy?: Actor;
  readonly revocationReason?: RevocationReason;
  /** When the expiry of the current value was recorded. */
  readonly expiredAt?: Instant;
  /** The latest change of a notice about the current value. */
  readonly lastNotice?: SecretNotice;
  /** Revision of the last event that changed the secret, except notices and recorded expiries. Its ETag. */
  readonly resourceRevision: number;
}

export interface SecretNotice {
  readonly threshold: number;
  readonly channel: string;
  readonly at: Instant;
  readonly outcome: 'sent' | 'failed' | 'retried' | 'acknowledged';
}

/** Sorts after every instant. */
const NEVER = '~';

type ApplicationEvent = Extract<FeedEvent, { aggregate: 'application' }>;
type ValueCreated = Extract<ApplicationEvent, { type: 'SecretAdded' | 'SecretRenewed' }>;

export const secretsView: View<SecretDocument> = {
  name: 'secrets',
  version: VIEW_VERSIONS.secrets,
  indexes: [
    { name: 'application', fields: ['applicationId', 'applicationState', 'createdAt'] },
    { name: 'domain', fields: ['domainId', 'applicationState', 'expiryOrder'] },
    { name: 'expiry', fields: ['expiryOrder'] },
    { name: 'expiresAt', fields: ['expiresAt', 'previousValidUntil'] },
    { name: 'creation', fields: ['createdAt'] },
    { name: 'description', fields: ['description'] },
    { name: 'state', fields: ['state', 'notBefore'] },
  ],
  streams: 'application-',
  concerns: (event) => {
    if (event.aggregate === 'domain') return undefined;
    const { data } = event;
    if ('secretId' in data) return secretDocumentId(data.applicationId, data.secretId);
    return isOfAllSecrets(event) ? { applicationId: data.applicationId } : undefined;
  },
  evolve: (document, event) => (event.aggregate === 'application' ? evolve(document, event) : document),
};

/** Whether an event of an application affects all of its secrets. */
export const isOfAllSecrets = ({ type }: ApplicationEvent): boolean =>
  type === 'ApplicationDisabled' || type === 'ApplicationEnabled' || type === 'ApplicationDeleted';

const evolve = (document: SecretDocument | null, event: ApplicationEvent): Body<SecretDocument> | null => {
  if (event.type === 'SecretAdded') return added(event);
  if (!document || document.applicationState === 'deleted') return document;
  const { occurredAt: at, actor: by } = event.metadata;
  const changed = { ...document, resourceRevision: event.revision };
  const notice = (outcome: SecretNotice['outcome'], { version, threshold, channel }: NoticeKey) =>
    version === document.version ? { ...document, lastNotice: { threshold, channel, at, outcome } } : document;
  switch (event.type) {
    case 'SecretRenewed': {
      const { lastNotice: _notice, expiredAt: _expired, hint: _hint, expiresAt: _end, ...kept } = changed;
      const { previousValidUntil: _until, valueNotBefore: _before, ...rest } = kept;
      const { previousValidUntil } = event.data;
      return {
        ...withOwnExpiry(rest, event),
        ...valueOf(event, document.notBefore),
        ...(previousValidUntil !== undefined && { previousValidUntil }),
      };
    }
    case 'OverlapEnded': {
      const { previousValidUntil: _until, ...rest } = changed;
      return rest;
    }
    case 'SecretRevoked':
      return { ...changed, state: 'revoked', revokedAt: at, revokedBy: by, revocationReason: event.data.reason };
    case 'SecretSuspended':
      return { ...changed, state: 'suspended', suspendedAt: at, suspendedBy: by };
    case 'SecretResumed': {
      const { suspendedAt: _at, suspendedBy: _by, ...rest } = changed;
      return { ...rest, state: 'active' };
    }
    case 'SecretDescribed':
      return { ...changed, description: event.data.description };
    case 'SecretRestricted': {
      const { allowedCidrs, notBefore } = event.data;
      const { notBefore: _before, ...rest } = changed;
      return { ...rest, allowedCidrs, ...(notBefore !== undefined && { notBefore }) };
    }
    case 'SecretExpired':
      return event.data.version === document.version ? { ...document, expiredAt: at } : document;
    case 'ExpiryNoticeSent':
      return notice('sent', event.data);
    case 'ExpiryNoticeFailed':
      return notice('failed', event.data);
    case 'ExpiryNoticeRetried':
      return notice('retried', event.data);
    case 'ExpiryNoticeAcknowledged':
      return notice('acknowledged', event.data);
    case 'ApplicationDisabled':
      return { ...document, applicationState: 'disabled' };
    case 'ApplicationEnabled':
      return { ...document, applicationState: 'active' };
    case 'ApplicationDeleted':
      return { ...document, applicationState: 'deleted' };
    case 'ApplicationRegistered':
    case 'PolicyChanged':
    case 'ContactsChanged':
    case 'ApplicationRenamed':
      return document;
  }
};

const added = (event: Extract<ApplicationEvent, { type: 'SecretAdded' }>): Body<SecretDocument> => {
  const { secretId, applicationId, domainId, description, notBefore, allowedCidrs } = event.data;
  const { occurredAt, actor } = event.metadata;
  return withOwnExpiry(
    {
      _id: secretDocumentId(applicationId, secretId),
      secretId,
      applicationId,
      domainId,
      description,
      state: 'active',
      applicationState: 'active',
      createdAt: occurredAt,
      createdBy: actor,
      resourceRevision: event.revision,
      allowedCidrs: allowedCidrs ?? [],
      ...(notBefore !== undefined && { notBefore }),
      ...valueOf(event, notBefore),
    },
    event,
  );
};

const valueOf = ({ data, metadata }: ValueCreated, notBefore: Instant | undefined) => ({
  version: data.version,
  valueCreatedAt: metadata.occurredAt,
  valueCreatedBy: metadata.actor,
  expirySource: data.expirySource,
  expiryOrder: data.expiresAt ?? NEVER,
  ...(data.hint !== undefined && { hint: data.hint }),
  ...(data.expiresAt !== undefined && { expiresAt: data.expiresAt }),
  ...(notBefore !== undefined && { valueNotBefore: notBefore }),
});

/** Sets the secret's own expiry rule if the command stated one; otherwise keeps the previous rule. */
const withOwnExpiry = <T extends object>(secret: T, { data }: ValueCreated): T => {
  if (data.ownExpiresIn === undefined && data.expirySource !== 'command') return secret;
  const {
    ownExpiresIn: _in,
    ownNever: _never,
    ...rest
  } = secret as T & Pick<SecretDocument, 'ownExpiresIn' | 'ownNever'>;
  if (data.ownExpiresIn !== undefined) return { ...rest, ownExpiresIn: data.ownExpiresIn } as never;
  return (data.expiresAt === undefined ? { ...rest, ownNever: true } : rest) as never;
};

/** Returns a secret, or null if it does not exist or its application was deleted. */
export const getSecret = async (
  secrets: ViewReader,
  applicationId: string,
  secretId: string,
): Promise<SecretDocument | null> => {
  const [secret] = await secrets.read<SecretDocument>([secretDocumentId(applicationId, secretId)]);
  return secret && secret.applicationState !== 'deleted' ? secret : null;
};

/** Returns a page of an application's secrets, oldest first, including revoked ones. */
export const listSecrets = (
  secrets: ViewReader,
  query: { readonly applicationId: string; readonly after?: string | undefined; readonly limit: number },
): Promise<Page<SecretDocument>> =>
  findPage(secrets, { and: ofApplication(query.applicationId) }, { field: 'createdAt' }, query);

/** Returns the number of an application's unrevoked secrets. */
export const countSecrets = (secrets: ViewReader, applicationId: string): Promise<number> =>
  secrets.count({ and: [...ofApplication(applicationId), { field: 'state', op: 'ne', value: 'revoked' }] });

const ofApplication = (applicationId: string) =>
  [
    { field: 'applicationId', op: 'eq', value: applicationId },
    { field: 'applicationState', op: 'ne', value: 'deleted' },
  ] as const;

/** Returns the input of a policy preview. `applicationPolicy` is the application's current policy, or the new one. */
export const policySubjectOf = (
  secret: SecretDocument,
  applicationPolicy: ApplicationDocument['policy'],
): PolicySubject => ({
  valueCreatedAt: secret.valueCreatedAt,
  notBefore: secret.valueNotBefore,
  expiresAt: secret.expiresAt,
  ownExpiresIn: secret.ownExpiresIn,
  ownNever: secret.ownNever,
  expirySource: secret.expirySource,
  applicationPolicy,
});
