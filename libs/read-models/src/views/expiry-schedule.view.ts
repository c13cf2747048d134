import { VIEW_VERSIONS, secretDocumentId, type FeedEvent, type ScheduledSecret } from '@rekey/contracts';
import type { NoticeKey, NoticeState } from '@rekey/domain';
import { isOfAllSecrets } from './secrets.view';
import type { Body, View } from './view';

type ApplicationEvent = Extract<FeedEvent, { aggregate: 'application' }>;

/** What the expiry watcher needs. Independent of its configuration, so that a change of that needs no rebuild. */
export const expiryScheduleView: View<ScheduledSecret> = {
  name: 'expiry-schedule',
  version: VIEW_VERSIONS['expiry-schedule'],
  indexes: [
    { name: 'state', fields: ['state', 'expiresAt'] },
    { name: 'application', fields: ['applicationId'] },
    { name: 'domain', fields: ['domainId', 'state', 'expiresAt'] },
    { name: 'expiry', fields: ['expiresAt'] },
  ],
  streams: 'application-',
  concerns: (event) => {
    if (event.aggregate === 'domain' || event.type === 'SecretDescribed' || event.type === 'SecretRestricted')
      return undefined;
    const { data } = event;
    if ('secretId' in data) return secretDocumentId(data.applicationId, data.secretId);
    return isOfAllSecrets(event) ? { applicationId: data.applicationId } : undefined;
  },
  evolve: (document, event) => (event.aggregate === 'application' ? evolve(document, event) : document),
};

const evolve = (document: ScheduledSecret | null, event: ApplicationEvent): Body<ScheduledSecret> | null => {
  if (event.type === 'SecretAdded') {
    const { applicationId, domainId, secretId, version, expiresAt } = event.data;
    return {
      _id: secretDocumentId(applicationId, secretId),
      applicationId,
      secretId,
      domainId,
      version,
      createdAt: event.metadata.occurredAt,
      ...(expiresAt !== undefined && { expiresAt }),
      state: 'active',
      suspended: false,
      notices: {},
    };
  }
  if (!document || document.state === 'deleted') return document;
  switch (event.type) {
    case 'SecretRenewed': {
      const { version, expiresAt } = event.data;
      const { expiresAt: _end, ...rest } = document;
      const createdAt = event.metadata.occurredAt;
      return { ...rest, version, createdAt, ...(expiresAt !== undefined && { expiresAt }), notices: {} };
    }
    case 'SecretRevoked':
      return { ...document, state: 'revoked' };
    case 'SecretSuspended':
      return { ...document, suspended: true, state: document.state === 'disabled' ? 'disabled' : 'suspended' };
    case 'SecretResumed':
      return { ...document, suspended: false, state: document.state === 'disabled' ? 'disabled' : 'active' };
    case 'SecretExpired':
      return { ...document, expiredVersion: event.data.version };
    case 'ExpiryNoticeSent':
      return withNotice(document, event.data, 'sent');
    case 'ExpiryNoticeFailed':
      return withNotice(document, event.data, 'failed');
    case 'ExpiryNoticeRetried':
      return withNotice(document, event.data, 'retried');
    case 'ExpiryNoticeAcknowledged':
      return withNotice(document, event.data, 'acknowledged');
    case 'ApplicationDisabled':
      return document.state === 'revoked' ? document : { ...document, state: 'disabled' };
    case 'ApplicationEnabled':
      if (document.state !== 'disabled') return document;
      return { ...document, state: document.suspended ? 'suspended' : 'active' };
    case 'ApplicationDeleted':
      return { ...document, state: 'deleted' };
    case 'ApplicationRegistered':
    case 'OverlapEnded':
    case 'SecretDescribed':
    case 'SecretRestricted':
    case 'PolicyChanged':
    case 'ContactsChanged':
    case 'ApplicationRenamed':
      return document;
  }
};

/** Ignores notices of earlier versions. */
const withNotice = (
  document: ScheduledSecret,
  { version, threshold, channel }: NoticeKey,
  state: NoticeState,
): Body<ScheduledSecret> =>
  version === document.version
    ? { ...document, notices: { ...document.notices, [`${threshold}.${channel}`]: state } }
    : document;
