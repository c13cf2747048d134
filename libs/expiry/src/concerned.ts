import { UnreadableEvent, decodeEvent, secretDocumentId, type FeedEvent } from '@rekey/contracts';
import type { Instant, NoticeKey } from '@rekey/domain';
import type { StoredEvent } from '@rekey/ports';

/** A notice that somebody asked for again. */
export type AskedAgain = NoticeKey & { readonly domainId: string; readonly applicationId: string };

/** Whose jobs may have to change. */
export interface Concerned {
  /** Ids of documents of secrets that are new, and expire before long. */
  readonly added: ReadonlySet<string>;
  /** Ids of documents of secrets that may have jobs already. */
  readonly changed: ReadonlySet<string>;
  readonly applications: ReadonlySet<string>;
  readonly domains: ReadonlySet<string>;
  readonly askedAgain: readonly AskedAgain[];
}

/** Whose jobs may have to change after these events. New secrets that expire after `reach` are left to a later sweep. */
export const concernedBy = (events: readonly StoredEvent[], reach: Instant): Concerned => {
  const added = new Set<string>();
  const changed = new Set<string>();
  const applications = new Set<string>();
  const domains = new Set<string>();
  const askedAgain: AskedAgain[] = [];
  for (const event of events.flatMap(readable))
    switch (event.type) {
      case 'SecretAdded':
        if (event.data.expiresAt === undefined || event.data.expiresAt > reach) break;
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
        askedAgain.push(event.data);
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
  return { added, changed, applications, domains, askedAgain };
};

/** An event, or nothing where this code cannot read it: the view marks its secret as broken. */
const readable = (event: StoredEvent): FeedEvent[] => {
  try {
    return [decodeEvent(event)];
  } catch (error) {
    if (error instanceof UnreadableEvent) return [];
    throw error;
  }
};
