import { VIEW_VERSIONS } from '@rekey/contracts';
import type { DomainPolicy, Instant } from '@rekey/domain';
import type { Filter, ViewDocument } from '@rekey/ports';
import { findPage, type Page } from './paging';
import type { Body, View, ViewReader } from './view';

/** A domain, by domain id. Deleted ones are kept, as their ids cannot be used again. */
export interface DomainDocument extends ViewDocument {
  readonly broken?: true;
  readonly name: string;
  readonly contacts: readonly string[];
  readonly policy: DomainPolicy;
  readonly state: 'active' | 'disabled' | 'deleted';
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  /** Revision of the last event that changed the domain. Its ETag. */
  readonly resourceRevision: number;
}

const noDomain = (stream: string): Body<DomainDocument> => ({
  _id: stream.slice('domain-'.length),
  name: '',
  contacts: [],
  policy: {},
  state: 'deleted',
  createdAt: '',
  updatedAt: '',
  resourceRevision: -1,
});

export const domainsView: View<DomainDocument> = {
  name: 'domains',
  version: VIEW_VERSIONS.domains,
  indexes: [
    { name: 'name', fields: ['name'] },
    { name: 'state', fields: ['state'] },
  ],
  streams: 'domain-',
  concerns: (event) => (event.aggregate === 'domain' ? event.data.domainId : undefined),
  ofStream: noDomain,
  evolve: (document, event) => {
    if (event.aggregate !== 'domain') return document;
    const { occurredAt } = event.metadata;
    if (event.type === 'DomainCreated') {
      const { domainId, name, contacts } = event.data;
      return {
        _id: domainId,
        name,
        contacts,
        policy: {},
        state: 'active',
        createdAt: occurredAt,
        updatedAt: occurredAt,
        resourceRevision: event.revision,
      };
    }
    const before = document ?? noDomain(event.stream);
    if (before.state === 'deleted') return before;
    const changed = { ...before, updatedAt: occurredAt, resourceRevision: event.revision };
    switch (event.type) {
      case 'PolicyChanged':
        return { ...changed, policy: event.data.policy };
      case 'ContactsChanged':
        return { ...changed, contacts: event.data.contacts };
      case 'DomainRenamed':
        return { ...changed, name: event.data.name };
      case 'DomainDisabled':
        return { ...changed, state: 'disabled' };
      case 'DomainEnabled':
        return { ...changed, state: 'active' };
      case 'DomainDeleted':
        return { ...changed, state: 'deleted' };
    }
  },
};

/** Returns a domain, or null if it does not exist or was deleted. */
export const getDomain = async (domains: ViewReader, domainId: string): Promise<DomainDocument | null> => {
  const [domain] = await domains.read<DomainDocument>([domainId]);
  return domain && domain.state !== 'deleted' ? domain : null;
};

export interface DomainsQuery {
  /** Ids of the domains that the caller may see; empty for all. */
  readonly visible: readonly string[];
  /** Part of a name or id, ignoring case. */
  readonly q?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Returns a page of domains by name. Throws `invalid_request` for an invalid cursor. */
export const listDomains = (domains: ViewReader, query: DomainsQuery): Promise<Page<DomainDocument>> => {
  const filters: Filter[] = [{ field: 'state', op: 'ne', value: 'deleted' }];
  if (query.visible.length > 0) filters.push({ field: '_id', op: 'in', value: query.visible });
  if (query.q) {
    const { q } = query;
    filters.push({
      or: [
        { field: 'name', op: 'contains', value: q },
        { field: '_id', op: 'contains', value: q },
      ],
    });
  }
  return findPage(domains, { and: filters }, { field: 'name' }, query);
};

/**
 * Returns the ids of the existing domains that a caller may see (`visible`; empty for all), or only `requested` if it is
 * one of them. Returns undefined if no filter is needed: the caller may see all domains, and none was deleted.
 */
export const findVisibleDomains = async (
  domains: ViewReader,
  visible: readonly string[],
  requested?: string,
): Promise<readonly string[] | undefined> => {
  if (visible.length === 0 && requested === undefined) {
    const anyDeleted = await domains.find({ filter: { field: 'state', op: 'eq', value: 'deleted' }, limit: 1 });
    return anyDeleted.length === 0 ? undefined : existingDomainIds(domains);
  }
  if (requested !== undefined && visible.length > 0 && !visible.includes(requested)) return [];
  const wanted = requested === undefined ? visible : [requested];
  const documents = await domains.read<DomainDocument>(wanted);
  return wanted.filter((_, index) => (documents[index]?.state ?? 'deleted') !== 'deleted');
};

const PAGE = 1000;

const existingDomainIds = async (domains: ViewReader): Promise<string[]> => {
  const filter = { field: 'state', op: 'in', value: ['active', 'disabled'] } as const;
  const ids: string[] = [];
  for (;;) {
    const last = ids.at(-1);
    const place = last === undefined ? {} : { after: { value: last, id: last } };
    const found = await domains.find({ filter, ...place, limit: PAGE });
    for (const { _id } of found) ids.push(_id);
    if (found.length < PAGE) return ids;
  }
};
