import { UnreadableEvent, decodeEvent, secretDocumentId, type FeedEvent } from '@rekey/contracts';
import type { Instant, NoticeKey } from '@rekey/domain';
import type { StoredEvent } from '@rekey/ports';

/** A notice that an operator retries. */
export type RetriedNotice = NoticeKey & { readonly domainId: string; readonly applicationId: string };

/** Whose jobs some events may change. Secrets are named by the ids of their schedule documents. */
export interface Affected {
  /** New secrets that expire soon. They have no jobs yet. */
  readonly added: ReadonlySet<string>;
  /** Secrets that may have jobs already. */
  readonly changed: ReadonlySet<string>;
  readonly applications: ReadonlySet<string>;
  readonly domains: ReadonlySet<string>;
  readonly retriedNotices: readonly RetriedNotice[];
}

/** Returns whose jobs the events may change. Leaves new secrets that expire after `latestExpiry` to a later sweep. */
export const affectedBy = (events: readonly StoredEvent[], latestExpiry: Instant): Affected => {
  const added = new Set<string>();
  const changed = new Set<string>();
  const applications = new Set<string>();
  const domains = new Set<string>();
  const retriedNotices: RetriedNotice[] = [];
  for (const event of events.flatMap(decodeReadable))
    switch (event.type) {
      case 'SecretAdded':
        if (event.data.expiresAt === undefined || event.data.expiresAt > latestExpiry) break;
        added.add(secretDocumentId(event.data.applicationId, event.data.secretId));
        break;
      case 'SecretRenewed':
      case 'SecretRevoked':
      case 'SecretSuspended':
      case 'SecretResumed':
      case 'SecretExpired':
        changed.add(secretDocumentId(event.data.applicationId, event.data.secretId));
        break;
      case 'ExpiryNoticeRetried':
        retriedNotices.push(event.data);
        break;
      case 'ApplicationDisabled':
      case 'ApplicationEnabled':
      case 'ApplicationDeleted':
        applications.add(event.data.applicationId);
        break;
      case 'DomainDisabled':
      case 'DomainEnabled':
      case 'DomainDeleted':
        domains.add(event.data.domainId);
        break;
      // No job depends on these.
      case 'ApplicationRegistered':
      case 'ApplicationRenamed':
      case 'ContactsChanged':
      case 'DomainCreated':
      case 'DomainRenamed':
      case 'ExpiryNoticeAcknowledged':
      case 'ExpiryNoticeFailed':
      case 'ExpiryNoticeSent':
      case 'OverlapEnded':
      case 'PolicyChanged':
      case 'SecretDescribed':
      case 'SecretRestricted':
        break;
      default:
        // A new event does not compile until it is listed above.
        event satisfies never;
    }
  for (const id of changed) added.delete(id);
  return { added, changed, applications, domains, retriedNotices };
};

/** Skips an event that this version cannot read: the view marks its secret as broken, so it has no jobs. */
const decodeReadable = (event: StoredEvent): FeedEvent[] => {
  try {
    return [decodeEvent(event)];
  } catch (error) {
    if (error instanceof UnreadableEvent) return [];
    throw error;
  }
};
