import { SECRET_STATUSES, type ViewName } from '@rekey/contracts';
import { ActiveView } from '@rekey/platform';
import { SystemClock, type ViewDocument } from '@rekey/ports';
import {
  countApplications,
  countSecrets,
  getApplication,
  getDomain,
  getNotification,
  getSecret,
  listApplications,
  listDomains,
  listInventory,
  listNotifications,
  listSecrets,
  listSecretsForPolicy,
  readUsage,
  recordUsage,
  secretStatus,
  type ApplicationDocument,
  type DomainDocument,
  type InventoryQuery,
  type NotificationDocument,
  type Page,
  type Projector,
  type SecretDocument,
} from '../index';
import { RandomHistory, TestStores, VIEW_NAMES, randomOf } from '../read-models.testing';

const NOW = '2026-12-01T00:00:00.000Z';
const EXPIRING_WITHIN_DAYS = 20;

describe('queries of the views', () => {
  let stores: TestStores;
  let projector: Projector;
  let views: Record<ViewName, ActiveView>;
  let secrets: SecretDocument[];
  let applications: Map<string, ApplicationDocument>;
  let domains: Map<string, DomainDocument>;
  let notifications: NotificationDocument[];

  const all = async <D extends ViewDocument>(view: ViewName): Promise<D[]> =>
    [...(await stores.active(view)).values()] as D[];

  beforeAll(async () => {
    stores = await TestStores.open();
    projector = stores.projector();
    await projector.start();
    const history = new RandomHistory(stores.store, 4, { domains: 5, applications: 8 });
    await history.more(1_500);
    await history.commandDomain('domain-3', { type: 'DeleteDomain', data: { domainId: 'domain-3' } });
    await stores.allReached(history.position);
    const { store, readModels } = stores;
    const opened = VIEW_NAMES.map((view) => new ActiveView({ store, readModels, clock: new SystemClock(), view }));
    await Promise.all(opened.map((view) => view.start()));
    views = Object.fromEntries(VIEW_NAMES.map((name, index) => [name, opened[index]])) as typeof views;
    secrets = await all('secrets');
    applications = new Map((await all<ApplicationDocument>('applications')).map((one) => [one._id, one]));
    domains = new Map((await all<DomainDocument>('domains')).map((one) => [one._id, one]));
    notifications = await all('notifications');
    const random = randomOf(9);
    await recordUsage(
      readModels,
      secrets
        .filter(() => random() < 0.5)
        .map(({ _id: id }) => ({ id, count: 2, lastUsedAt: `2026-${random() < 0.5 ? '04' : '09'}-01T00:00:00.000Z` })),
    );
  });
  afterAll(async () => {
    Object.values(views).forEach((view) => view.stop());
    await projector.stop();
    await stores.remove();
  });

  const paged = async <T>(page: (after: string | undefined) => Promise<Page<T>>, limit: number): Promise<T[]> => {
    const items: T[] = [];
    for (let after: string | undefined; ;) {
      const { items: some, next } = await page(after);
      expect(some.length).toBeLessThanOrEqual(limit);
      items.push(...some);
      if (next === undefined) return items;
      after = next;
    }
  };

  const usage = (ids: readonly string[]) => readUsage(stores.readModels, ids);
  const isThere = (domainId: string): boolean => domains.get(domainId)?.state !== 'deleted';
  const holds = (text: string, part: string): boolean => text.toLowerCase().includes(part.toLowerCase());
  const order = <T extends ViewDocument>(items: T[], key: (item: T) => string, descending = false): string[] => {
    const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
    const sorted = items.sort((a, b) => compare(key(a), key(b)) || compare(a._id, b._id));
    return (descending ? sorted.reverse() : sorted).map(({ _id }) => _id);
  };

  it('list existing and visible domains by name', async () => {
    for (const [visible, q] of [
      [[], undefined],
      [['domain-0', 'domain-3'], undefined],
      [[], 'DOMAIN-1'],
      [[], 'domain 4'],
    ] as const) {
      const expected = [...domains.values()].filter(
        ({ _id, name, state }) =>
          state !== 'deleted' &&
          (visible.length === 0 || (visible as readonly string[]).includes(_id)) &&
          (!q || holds(name, q) || holds(_id, q)),
      );
      const items = await paged((after) => listDomains(views.domains, { visible, q, after, limit: 2 }), 2);
      expect(items.map(({ _id }) => _id)).toEqual(order(expected, ({ name }) => name));
    }
    expect(domains.get('domain-3')?.state).toBe('deleted');
    expect(await getDomain(views.domains, 'domain-3')).toBeNull();
    expect(await getDomain(views.domains, 'domain-9')).toBeNull();
    expect(await getDomain(views.domains, 'domain-0')).toMatchObject({ _id: 'domain-0' });
  });

  it("list a domain's applications, without deleted ones", async () => {
    const mine = [...applications.values()].filter(({ domainId }) => domainId === 'domain-0');
    expect(mine.length).toBeGreaterThan(3);
    for (const q of [undefined, 'CLIENT-1', 'app 1', 'nothing']) {
      const expected = mine.filter(
        ({ state, name, clientId }) => state !== 'deleted' && (!q || holds(name, q) || holds(clientId, q)),
      );
      const items = await paged(
        (after) => listApplications(views.applications, { domainId: 'domain-0', q, after, limit: 2 }),
        2,
      );
      expect(items.map(({ _id }) => _id)).toEqual(order(expected, ({ name }) => name));
    }
    const there = mine.filter(({ state }) => state !== 'deleted');
    expect(await countApplications(views.applications, 'domain-0')).toBe(there.length);
    for (const application of mine) {
      const found = await getApplication(views.applications, 'domain-0', application._id);
      expect(found).toEqual(application.state === 'deleted' ? null : application);
      expect(await getApplication(views.applications, 'domain-1', application._id)).toBeNull();
    }
  });

  it("list an application's secrets, oldest first", async () => {
    for (const { _id: applicationId } of applications.values()) {
      const expected = secrets.filter(
        (secret) => secret.applicationId === applicationId && secret.applicationState !== 'deleted',
      );
      const items = await paged((after) => listSecrets(views.secrets, { applicationId, after, limit: 3 }), 3);
      expect(items.map(({ _id }) => _id)).toEqual(order(expected, ({ createdAt }) => createdAt));
      for (const secret of items)
        expect(await getSecret(views.secrets, applicationId, secret.secretId)).toEqual(secret);
      const unrevoked = expected.filter(({ state }) => state !== 'revoked');
      expect(await countSecrets(views.secrets, applicationId)).toBe(unrevoked.length);
    }
    const gone = secrets.find(({ applicationState }) => applicationState === 'deleted');
    expect(await getSecret(views.secrets, gone?.applicationId ?? '', gone?.secretId ?? '')).toBeNull();
  });

  describe('the inventory', () => {
    const expectedOf = async (query: Partial<InventoryQuery>): Promise<SecretDocument[]> => {
      const used = await usage(secrets.map(({ _id }) => _id));
      return secrets.filter((secret) => {
        const { domainId, applicationState, expiresAt, createdAt, description, applicationId, _id } = secret;
        const { visible = [], domain, status, expiresBefore, unusedSince, q } = query;
        const application = applications.get(applicationId);
        const lastUsedAt = used.get(_id)?.lastUsedAt;
        return (
          applicationState !== 'deleted' &&
          isThere(domainId) &&
          (visible.length === 0 || visible.includes(domainId)) &&
          (domain === undefined || domain === domainId) &&
          (!status || status.includes(secretStatus(secret, NOW, EXPIRING_WITHIN_DAYS))) &&
          (expiresBefore === undefined || (expiresAt !== undefined && expiresAt < expiresBefore)) &&
          (unusedSince === undefined ||
            (createdAt < unusedSince && (lastUsedAt === undefined || lastUsedAt < unusedSince))) &&
          (!q || holds(description, q) || holds(application?.name ?? '', q) || holds(application?.clientId ?? '', q))
        );
      });
    };

    const queries: Partial<InventoryQuery>[] = [
      {},
      { visible: ['domain-1', 'domain-3'] },
      { visible: ['domain-1'], domain: 'domain-0' },
      { domain: 'domain-0' },
      { domain: 'domain-3' },
      ...SECRET_STATUSES.map((status) => ({ status: [status] })),
      { status: ['active', 'expiring'], sort: '-expiresAt' },
      { expiresBefore: '2026-08-01T00:00:00.000Z', sort: 'createdAt' },
      { q: 'SECRET 1', sort: 'description' },
      { q: 'client-2', sort: '-description' },
      { q: 'app 5' },
      { unusedSince: '2026-07-01T00:00:00.000Z' },
      { unusedSince: '2026-07-01T00:00:00.000Z', status: ['revoked'], sort: '-createdAt', domain: 'domain-0' },
    ];

    it.each(queries)('returns the matching secrets for %j, page by page', async (query) => {
      const { sort = 'expiresAt' } = query;
      const full = { visible: [], now: NOW, expiringWithinDays: EXPIRING_WITHIN_DAYS, usage, ...query };
      const items = await paged((after) => listInventory(views, { ...full, after, limit: 7 }), 7);
      const field = sort.replace('-', '') as 'expiresAt' | 'createdAt' | 'description';
      const expected = order(await expectedOf(query), (secret) => secret[field] ?? '~', sort.startsWith('-'));
      expect(items.map(({ _id }) => _id)).toEqual(expected);
    });

    it('has secrets of every status in the test data', () => {
      const statuses = new Set(secrets.map((secret) => secretStatus(secret, NOW, EXPIRING_WITHIN_DAYS)));
      for (const status of ['active', 'expired', 'suspended', 'revoked'] as const) expect(statuses).toContain(status);
    });

    it('refuses a cursor for another order', async () => {
      const full = { visible: [], now: NOW, expiringWithinDays: EXPIRING_WITHIN_DAYS, usage, limit: 1 };
      const { next } = await listInventory(views, full);
      for (const sort of ['createdAt', '-expiresAt'] as const)
        await expect(listInventory(views, { ...full, sort, after: next })).rejects.toMatchObject({
          code: 'invalid_request',
          details: { field: 'after' },
        });
    });
  });

  it('list the secrets that a policy can apply to', async () => {
    const expected = secrets.filter(
      ({ domainId, applicationState, state }) =>
        domainId === 'domain-0' && applicationState !== 'deleted' && state !== 'revoked',
    );
    const found: SecretDocument[] = [];
    for (let after: string | undefined; ; after = found.at(-1)?._id) {
      const page = await listSecretsForPolicy(views.secrets, { domainId: 'domain-0', after, limit: 5 });
      found.push(...page);
      if (page.length < 5) break;
    }
    expect(found.map(({ _id }) => _id)).toEqual(order(expected, ({ _id }) => _id));
    const applicationId = expected[0]?.applicationId;
    const ofOne = await listSecretsForPolicy(views.secrets, { domainId: 'domain-0', applicationId, limit: 100 });
    expect(ofOne).toEqual(found.filter((secret) => secret.applicationId === applicationId));
  });

  it('list notices, newest first, without those of deleted applications', async () => {
    expect(notifications.length).toBeGreaterThan(10);
    for (const [visible, acknowledged] of [
      [[], undefined],
      [[], true],
      [[], false],
      [['domain-0'], undefined],
    ] as const) {
      const expected = notifications.filter(
        (entry) =>
          !entry.gone &&
          isThere(entry.domainId) &&
          (acknowledged === undefined || entry.acknowledged === acknowledged) &&
          (visible.length === 0 || (visible as readonly string[]).includes(entry.domainId)),
      );
      const items = await paged((after) => listNotifications(views, { visible, acknowledged, after, limit: 4 }), 4);
      expect(items.map(({ _id }) => _id)).toEqual(order(expected, ({ createdAt }) => createdAt, true));
    }
    for (const entry of notifications)
      expect(await getNotification(views, entry._id)).toEqual(entry.gone || !isThere(entry.domainId) ? null : entry);
  });

  it('return usage, summed over batches', async () => {
    const { readModels } = stores;
    const id = `${'application'}.secret`;
    expect(await readUsage(readModels, [id])).toEqual(new Map());
    const change = { id, count: 3, lastUsedAt: NOW };
    await recordUsage(readModels, [{ ...change, from: '10.0.0.1' }]);
    await recordUsage(readModels, [change]);
    expect(await readUsage(readModels, ['none.other', id])).toEqual(new Map([[id, { count: 6, lastUsedAt: NOW }]]));
  });
});
