import { VIEW_VERSIONS } from '@rekey/contracts';
import type { ApplicationPolicy, Instant } from '@rekey/domain';
import type { Filter, ViewDocument } from '@rekey/ports';
import { findPage, type Page } from './paging';
import type { Body, View, ViewReader } from './view';

/** An application, by application id. A deleted one is kept until its client id is registered again. */
export interface ApplicationDocument extends ViewDocument {
  readonly broken?: true;
  readonly domainId: string;
  readonly clientId: string;
  readonly name: string;
  readonly contacts: readonly string[];
  readonly policy: ApplicationPolicy;
  readonly state: 'active' | 'disabled' | 'deleted';
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  /** Revision of the last event that changed the application itself, not its secrets. Its ETag. */
  readonly resourceRevision: number;
}

const noApplication = (stream: string): Body<ApplicationDocument> => ({
  _id: stream.slice('application-'.length),
  domainId: '',
  clientId: '',
  name: '',
  contacts: [],
  policy: { mode: 'inherit' },
  state: 'deleted',
  createdAt: '',
  updatedAt: '',
  resourceRevision: -1,
});

export const applicationsView: View<ApplicationDocument> = {
  name: 'applications',
  version: VIEW_VERSIONS.applications,
  indexes: [
    { name: 'domain', fields: ['domainId', 'state', 'name'] },
    { name: 'clientId', fields: ['clientId'] },
  ],
  streams: 'application-',
  concerns: (event) => (event.aggregate === 'application' ? event.data.applicationId : undefined),
  ofStream: noApplication,
  evolve: (document, event) => {
    if (event.aggregate !== 'application') return document;
    const { occurredAt } = event.metadata;
    if (event.type === 'ApplicationRegistered') {
      const { applicationId, domainId, clientId, name, contacts } = event.data;
      return {
        _id: applicationId,
        domainId,
        clientId,
        name,
        contacts,
        policy: { mode: 'inherit' },
        state: 'active',
        createdAt: occurredAt,
        updatedAt: occurredAt,
        resourceRevision: event.revision,
      };
    }
    const before = document ?? noApplication(event.stream);
    if (before.state === 'deleted') return before;
    const changed = { ...before, updatedAt: occurredAt, resourceRevision: event.revision };
    switch (event.type) {
      case 'PolicyChanged':
        return { ...changed, policy: event.data.policy };
      case 'ContactsChanged':
        return { ...changed, contacts: event.data.contacts };
      case 'ApplicationRenamed':
        return { ...changed, name: event.data.name };
      case 'ApplicationDisabled':
        return { ...changed, state: 'disabled' };
      case 'ApplicationEnabled':
        return { ...changed, state: 'active' };
      case 'ApplicationDeleted':
        return { ...changed, state: 'deleted' };
      case 'SecretAdded':
      case 'SecretRenewed':
      case 'OverlapEnded':
      case 'SecretRevoked':
      case 'SecretSuspended':
      case 'SecretResumed':
      case 'SecretDescribed':
      case 'SecretRestricted':
      case 'SecretExpired':
      case 'ExpiryNoticeSent':
      case 'ExpiryNoticeFailed':
      case 'ExpiryNoticeRetried':
      case 'ExpiryNoticeAcknowledged':
        return before;
    }
  },
};

/** Returns an application of a domain, or null if it does not exist or was deleted. Does not check the domain. */
export const getApplication = async (
  applications: ViewReader,
  domainId: string,
  applicationId: string,
): Promise<ApplicationDocument | null> => {
  const [application] = await applications.read<ApplicationDocument>([applicationId]);
  return application && application.domainId === domainId && application.state !== 'deleted' ? application : null;
};

export interface ApplicationsQuery {
  readonly domainId: string;
  /** Part of a name or client id, ignoring case. */
  readonly q?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Returns a page of a domain's applications by name. Throws `invalid_request` for an invalid cursor. */
export const listApplications = (
  applications: ViewReader,
  query: ApplicationsQuery,
): Promise<Page<ApplicationDocument>> => {
  const filters: Filter[] = [existingIn(query.domainId)];
  if (query.q) filters.push(namedLike(query.q));
  return findPage(applications, { and: filters }, { field: 'name' }, query);
};

/** Returns the number of applications of a domain. */
export const countApplications = (applications: ViewReader, domainId: string): Promise<number> =>
  applications.count(existingIn(domainId));

const existingIn = (domainId: string): Filter => ({
  and: [
    { field: 'domainId', op: 'eq', value: domainId },
    { field: 'state', op: 'in', value: ['active', 'disabled'] },
  ],
});

/** Returns a filter for applications whose name or client id contains a text, ignoring case. */
export const namedLike = (text: string): Filter => ({
  or: [
    { field: 'name', op: 'contains', value: text },
    { field: 'clientId', op: 'contains', value: text },
  ],
});
