import { RekeyError, type SecretStatus } from '@rekey/contracts';
import { expiryHorizon, statusAt, type Instant } from '@rekey/domain';
import type { Filter } from '@rekey/ports';
import { namedLike } from './applications.view';
import { findVisibleDomains } from './domains.view';
import { cursorAfter, findPage, placeOf, type Page, type Sort } from './paging';
import type { SecretDocument } from './secrets.view';
import type { SecretUsage } from './usage';
import type { ViewReader } from './view';

/** Fields that the status depends on. */
type Dated = Pick<SecretDocument, 'state' | 'expiresAt' | 'notBefore' | 'previousValidUntil'>;

/** Returns the status of a secret at an instant; see `statusAt`. The state of application and domain does not count. */
export const secretStatus = ({ state, ...dates }: Dated, now: Instant, expiringWithinDays: number): SecretStatus =>
  statusAt({ status: state, ...dates }, now, expiringWithinDays);

/** Returns the condition that exactly the secrets with this `secretStatus` meet. */
export const statusFilter = (status: SecretStatus, now: Instant, expiringWithinDays: number): Filter => {
  if (status === 'revoked' || status === 'suspended') return { field: 'state', op: 'eq', value: status };
  const state: Filter = { field: 'state', op: 'eq', value: 'active' };
  const ended: Filter = {
    and: [{ field: 'expiresAt', op: 'lte', value: now }, unlessAfter('previousValidUntil', now)],
  };
  const notEnded: Filter = {
    or: [unlessAtOrBefore('expiresAt', now), { field: 'previousValidUntil', op: 'gt', value: now }],
  };
  const begun = unlessAfter('notBefore', now);
  const within = expiryHorizon(now, expiringWithinDays);
  switch (status) {
    case 'expired':
      return { and: [state, ended] };
    case 'pending':
      return { and: [state, notEnded, { field: 'notBefore', op: 'gt', value: now }] };
    case 'expiring':
      return { and: [state, notEnded, begun, { field: 'expiresAt', op: 'lte', value: within }] };
    case 'active':
      return { and: [state, notEnded, begun, unlessAtOrBefore('expiresAt', within)] };
  }
};

const unlessAfter = (field: string, instant: Instant): Filter => ({
  or: [
    { field, op: 'eq', value: null },
    { field, op: 'lte', value: instant },
  ],
});

const unlessAtOrBefore = (field: string, instant: Instant): Filter => ({
  or: [
    { field, op: 'eq', value: null },
    { field, op: 'gt', value: instant },
  ],
});

/** The views that the inventory is read from. */
export interface InventoryViews {
  readonly secrets: ViewReader;
  readonly applications: ViewReader;
  readonly domains: ViewReader;
}

export interface InventoryQuery {
  /** Ids of the domains that the caller may see; empty for all. */
  readonly visible: readonly string[];
  readonly domain?: string | undefined;
  readonly status?: readonly SecretStatus[] | undefined;
  /** Only secrets that expire before this instant, including revoked ones unless `status` excludes them. */
  readonly expiresBefore?: Instant | undefined;
  /** Only secrets that were created before this instant and not used at or after it. */
  readonly unusedSince?: Instant | undefined;
  /** Part of a description, or of the application's name or client id, ignoring case. */
  readonly q?: string | undefined;
  readonly sort?: 'expiresAt' | '-expiresAt' | 'createdAt' | '-createdAt' | 'description' | '-description' | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
  readonly now: Instant;
  readonly expiringWithinDays: number;
  /** Returns usage by document id. Used for `unusedSince` only. */
  readonly usage: (ids: readonly string[]) => Promise<ReadonlyMap<string, SecretUsage>>;
}

/** Greatest number of applications that `q` may match. */
const NAMED_MAX = 5_000;
const SCAN_PAGE = 500;
/** With `unusedSince`, a page ends after this many secrets were read, even if it is not full. */
const SCANNED_MAX = 10_000;

/**
 * Returns a page of secrets across applications, by default the earliest expiry first and secrets without one last. Omits
 * those of deleted applications and domains. `unusedSince` is not part of the view but joined page by page, so a page may
 * have fewer than `limit` items although there is a next one. Throws `invalid_request`.
 */
export const listInventory = async (views: InventoryViews, query: InventoryQuery): Promise<Page<SecretDocument>> => {
  const domains = await findVisibleDomains(views.domains, query.visible, query.domain);
  if (domains?.length === 0) return { items: [] };
  const filter = await inventoryFilter(views, query, domains);
  const sort = sortOf(query.sort);
  if (query.unusedSince === undefined) return findPage(views.secrets, filter, sort, query);
  return unusedPage(views, filter, sort, query, query.unusedSince);
};

const sortOf = (sort: InventoryQuery['sort'] = 'expiresAt'): Sort => {
  const descending = sort.startsWith('-');
  const field = descending ? sort.slice(1) : sort;
  return { field: field === 'expiresAt' ? 'expiryOrder' : field, descending };
};

const inventoryFilter = async (
  views: InventoryViews,
  query: InventoryQuery,
  domains: readonly string[] | undefined,
): Promise<Filter> => {
  const { status, expiresBefore, unusedSince, q, now, expiringWithinDays } = query;
  const filters: Filter[] = [{ field: 'applicationState', op: 'in', value: ['active', 'disabled'] }];
  if (domains) filters.push({ field: 'domainId', op: 'in', value: domains });
  if (status) filters.push({ or: status.map((one) => statusFilter(one, now, expiringWithinDays)) });
  if (expiresBefore !== undefined) filters.push({ field: 'expiresAt', op: 'lt', value: expiresBefore });
  if (unusedSince !== undefined) filters.push({ field: 'createdAt', op: 'lt', value: unusedSince });
  if (q) {
    const named = await applicationsNamed(views, q, domains);
    filters.push({
      or: [
        { field: 'description', op: 'contains', value: q },
        { field: 'applicationId', op: 'in', value: named },
      ],
    });
  }
  return { and: filters };
};

const applicationsNamed = async (
  { applications }: InventoryViews,
  q: string,
  domains: readonly string[] | undefined,
): Promise<string[]> => {
  const filters = [namedLike(q)];
  if (domains) filters.push({ field: 'domainId', op: 'in', value: domains });
  const found = await applications.find({ filter: { and: filters }, limit: NAMED_MAX + 1 });
  if (found.length > NAMED_MAX)
    throw new RekeyError('invalid_request', 'More than 5,000 applications match this text; use a longer one.', {
      field: 'q',
    });
  return found.map(({ _id }) => _id);
};

const unusedPage = async (
  { secrets }: InventoryViews,
  filter: Filter,
  sort: Sort,
  { after, limit, usage }: InventoryQuery,
  since: Instant,
): Promise<Page<SecretDocument>> => {
  const items: SecretDocument[] = [];
  let place = after === undefined ? undefined : placeOf(after, sort);
  for (let scanned = 0; scanned < SCANNED_MAX;) {
    const found = await secrets.find<SecretDocument>({
      filter,
      sort,
      ...(place && { after: place }),
      limit: SCAN_PAGE,
    });
    const used = await usage(found.map(({ _id }) => _id));
    for (const secret of found) {
      place = placeOf(cursorAfter(secret, sort), sort);
      const lastUsedAt = used.get(secret._id)?.lastUsedAt;
      if (lastUsedAt !== undefined && lastUsedAt >= since) continue;
      items.push(secret);
      if (items.length === limit) return { items, next: cursorAfter(secret, sort) };
    }
    const last = found.at(-1);
    if (!last || found.length < SCAN_PAGE) return { items };
    scanned += found.length;
    if (scanned >= SCANNED_MAX) return { items, next: cursorAfter(last, sort) };
  }
  return { items };
};

/** Returns the unrevoked secrets of a domain, or of one of its applications, by id. A policy can apply to these. */
export const listSecretsForPolicy = (
  secrets: ViewReader,
  query: {
    readonly domainId: string;
    readonly applicationId?: string | undefined;
    /** Id of the last document of the previous page. */
    readonly after?: string | undefined;
    readonly limit: number;
  },
): Promise<readonly SecretDocument[]> => {
  const filters: Filter[] = [
    { field: 'domainId', op: 'eq', value: query.domainId },
    { field: 'applicationState', op: 'in', value: ['active', 'disabled'] },
    { field: 'state', op: 'in', value: ['active', 'suspended'] },
  ];
  if (query.applicationId !== undefined) filters.push({ field: 'applicationId', op: 'eq', value: query.applicationId });
  const place = query.after === undefined ? {} : { after: { value: query.after, id: query.after } };
  return secrets.find<SecretDocument>({ filter: { and: filters }, ...place, limit: query.limit });
};
