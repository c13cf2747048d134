import { VIEW_VERSIONS, type FeedEvent } from '@rekey/contracts';
import { noticeId, type Actor, type Instant, type NoticeKey, type NoticeState } from '@rekey/domain';
import type { Filter, ViewDocument } from '@rekey/ports';
import { findVisibleDomains } from './domains.view';
import { findPage, type Page } from './paging';
import type { Body, View, ViewReader } from './view';

/** A notice about the expiry of one version of a secret, on one channel. */
export interface NotificationDocument extends ViewDocument {
  readonly applicationId: string;
  readonly domainId: string;
  readonly secretId: string;
  readonly version: number;
  /** Days before the expiry; 0 for a notice that it has expired. */
  readonly threshold: number;
  readonly channel: string;
  readonly state: NoticeState;
  /** When it was first sent or failed. The inbox is sorted by it. */
  readonly createdAt: Instant;
  readonly sentAt?: Instant;
  readonly recipients?: number;
  /** The latest failure. */
  readonly failedAt?: Instant;
  readonly cause?: string;
  readonly acknowledged: boolean;
  readonly acknowledgedAt?: Instant;
  readonly acknowledgedBy?: Actor;
  /** Whether its application was deleted. */
  readonly gone: boolean;
}

type ApplicationEvent = Extract<FeedEvent, { aggregate: 'application' }>;

/** Returns the document id of a notice. */
export const notificationId = ({
  applicationId,
  secretId,
  ...key
}: NoticeKey & { readonly applicationId: string }): string => `${applicationId}.${secretId}.${noticeId(key)}`;

export const notificationsView: View<NotificationDocument> = {
  name: 'notifications',
  version: VIEW_VERSIONS.notifications,
  indexes: [
    { name: 'inbox', fields: ['gone', 'createdAt'] },
    { name: 'domain', fields: ['domainId', 'gone', 'createdAt'] },
    { name: 'creation', fields: ['createdAt'] },
    { name: 'acknowledged', fields: ['acknowledged', 'createdAt'] },
    { name: 'application', fields: ['applicationId'] },
  ],
  streams: 'application-',
  concerns: (event) => {
    if (event.aggregate === 'domain') return undefined;
    switch (event.type) {
      case 'ExpiryNoticeSent':
      case 'ExpiryNoticeFailed':
      case 'ExpiryNoticeRetried':
      case 'ExpiryNoticeAcknowledged':
        return notificationId(event.data);
      case 'ApplicationDeleted':
        return { applicationId: event.data.applicationId };
      case 'ApplicationRegistered':
      case 'ApplicationDisabled':
      case 'ApplicationEnabled':
      case 'ApplicationRenamed':
      case 'ContactsChanged':
      case 'PolicyChanged':
      case 'SecretAdded':
      case 'SecretRenewed':
      case 'OverlapEnded':
      case 'SecretRevoked':
      case 'SecretSuspended':
      case 'SecretResumed':
      case 'SecretDescribed':
      case 'SecretRestricted':
      case 'SecretExpired':
        return undefined;
    }
  },
  evolve: (document, event) => (event.aggregate === 'application' ? evolve(document, event) : document),
};

const evolve = (document: NotificationDocument | null, event: ApplicationEvent): Body<NotificationDocument> | null => {
  const { occurredAt: at, actor: by } = event.metadata;
  switch (event.type) {
    case 'ExpiryNoticeSent':
      return { ...existingOrNew(document, event), state: 'sent', sentAt: at, recipients: event.data.recipients };
    case 'ExpiryNoticeFailed':
      return { ...existingOrNew(document, event), state: 'failed', failedAt: at, cause: event.data.cause };
    case 'ExpiryNoticeRetried':
      return document && { ...document, state: 'retried' };
    case 'ExpiryNoticeAcknowledged':
      return (
        document && { ...document, state: 'acknowledged', acknowledged: true, acknowledgedAt: at, acknowledgedBy: by }
      );
    case 'ApplicationDeleted':
      return document && { ...document, gone: true };
    case 'ApplicationRegistered':
    case 'ApplicationDisabled':
    case 'ApplicationEnabled':
    case 'ApplicationRenamed':
    case 'ContactsChanged':
    case 'PolicyChanged':
    case 'SecretAdded':
    case 'SecretRenewed':
    case 'OverlapEnded':
    case 'SecretRevoked':
    case 'SecretSuspended':
    case 'SecretResumed':
    case 'SecretDescribed':
    case 'SecretRestricted':
    case 'SecretExpired':
      return document;
  }
};

const existingOrNew = (
  document: NotificationDocument | null,
  { data, metadata }: Extract<ApplicationEvent, { type: 'ExpiryNoticeSent' | 'ExpiryNoticeFailed' }>,
): Omit<Body<NotificationDocument>, 'state'> => {
  if (document) return document;
  const { applicationId, domainId, secretId, version, threshold, channel } = data;
  return {
    _id: notificationId(data),
    applicationId,
    domainId,
    secretId,
    version,
    threshold,
    channel,
    createdAt: metadata.occurredAt,
    acknowledged: false,
    gone: false,
  };
};

/** The views that notices are read from. */
export interface InboxViews {
  readonly notifications: ViewReader;
  readonly domains: ViewReader;
}

export interface NotificationsQuery {
  /** Ids of the domains that the caller may see; empty for all. */
  readonly visible: readonly string[];
  readonly domain?: string | undefined;
  readonly acknowledged?: boolean | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Returns a page of notices, newest first, without those of deleted applications and domains. */
export const listNotifications = async (
  views: InboxViews,
  { visible, domain, acknowledged, ...page }: NotificationsQuery,
): Promise<Page<NotificationDocument>> => {
  const domains = await findVisibleDomains(views.domains, visible, domain);
  if (domains?.length === 0) return { items: [] };
  const filters: Filter[] = [{ field: 'gone', op: 'eq', value: false }];
  if (domains) filters.push({ field: 'domainId', op: 'in', value: domains });
  if (acknowledged !== undefined) filters.push({ field: 'acknowledged', op: 'eq', value: acknowledged });
  return findPage(views.notifications, { and: filters }, { field: 'createdAt', descending: true }, page);
};

/** Returns a notice, or null if it does not exist or its application or domain was deleted. */
export const getNotification = async (views: InboxViews, id: string): Promise<NotificationDocument | null> => {
  const [entry] = await views.notifications.read<NotificationDocument>([id]);
  if (!entry || entry.gone) return null;
  const domains = await findVisibleDomains(views.domains, [entry.domainId]);
  return domains?.length === 0 ? null : entry;
};
