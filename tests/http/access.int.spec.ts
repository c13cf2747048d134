import { PERMISSIONS, ROLES, type Role } from '@rekey/contracts';
import { applicationIdOf } from '@rekey/domain';
import { loadConfig } from '@rekey/platform';
import { temporaryFolder } from '@rekey/testing';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createStandalone, type Standalone } from '../support/in-process.testing';

type Who = Role | 'nobody';
const WHO: readonly Who[] = [...ROLES, 'nobody'];
const DOMAIN = 'acme';
const OTHER_DOMAIN = 'globex';
const APPLICATION = applicationIdOf(DOMAIN, 'billing');
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

/** Values for the parameters of a path, in a domain. */
const pathIn = (url: string, domainId: string): string =>
  url
    .replace(':domainId', domainId)
    .replace(':applicationId', APPLICATION)
    .replace(':secretId', UNKNOWN)
    .replace(':commandId', UNKNOWN)
    .replace(':notificationId', 'none')
    .replace(':view', 'secrets');

describe('every route with every role', () => {
  const folder = temporaryFolder();
  const tokens = new Map<string, string>();
  let standalone: Standalone;

  const add = (name: string, roles: readonly Role[], domains: readonly string[]) => {
    const token = randomBytes(24).toString('base64url');
    tokens.set(name, token);
    return { name, sha256: createHash('sha256').update(token).digest('hex'), roles, domains };
  };
  /** Sends a request with a role, limited to one domain if `domain` is given. Streams are closed after their head. */
  const ask = async (who: Who, limited: boolean, method: string, url: string): Promise<number> => {
    const token = tokens.get(limited ? `${who}-limited` : who);
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await fetch(`${base}${url}`, { method, headers });
    await response.body?.cancel();
    return response.status;
  };
  let base = '';

  beforeAll(async () => {
    const config = ROLES.flatMap((role) => [add(role, [role], []), add(`${role}-limited`, [role], [DOMAIN])]);
    standalone = await createStandalone(
      loadConfig({
        env: {
          REKEY_STORAGE_PATH: folder.path,
          REKEY_HTTP_PORT: '0',
          REKEY_LOGGING_LEVEL: 'silent',
          REKEY_ACCESS_TOKENS: JSON.stringify(config),
        },
      }),
    );
    base = await standalone.listen();
    await standalone.ready();
    tokens.set('owner', readFileSync(standalone.keys.adminToken.file, 'utf8').trim());
    const create = (id: string) =>
      fetch(`${base}/api/v1/domains`, {
        method: 'POST',
        headers: { authorization: `Bearer ${tokens.get('owner')}`, 'content-type': 'application/json' },
        body: JSON.stringify({ id, name: id }),
      });
    for (const id of [DOMAIN, OTHER_DOMAIN]) expect((await create(id)).status).toBe(201);
  });
  afterAll(async () => {
    await standalone.close();
    folder.remove();
  });

  it('serves all routes of the native API', () => {
    expect(standalone.routes.length).toBeGreaterThan(30);
    expect(new Set(standalone.routes.map(({ method, url }) => `${method} ${url}`)).size).toBe(standalone.routes.length);
  });

  it("lists only the caller's own domains to a limited caller", async () => {
    const list = async (
      who: string,
      url: string,
    ): Promise<{ items: { id?: string; data?: { domainId?: string } }[] }> => {
      const response = await fetch(`${base}${url}`, { headers: { authorization: `Bearer ${tokens.get(who)}` } });
      return (await response.json()) as never;
    };
    expect((await list('viewer', '/api/v1/domains')).items.map(({ id }) => id)).toEqual([DOMAIN, OTHER_DOMAIN]);
    expect((await list('viewer-limited', '/api/v1/domains')).items.map(({ id }) => id)).toEqual([DOMAIN]);
    const seen = (await list('auditor-limited', '/api/v1/history')).items.map(({ data }) => data?.domainId);
    expect(new Set(seen)).toEqual(new Set([DOMAIN]));
  });

  it('requires a token on every route that is not public', async () => {
    for (const { method, url, action } of standalone.routes) {
      const status = await ask('nobody', false, method, pathIn(url, DOMAIN));
      const line = `${method} ${url}: ${status}`;
      if (action === 'public') expect(line).not.toMatch(/: (401|403)$/);
      else expect(line).toMatch(/: 401$/);
    }
  });

  it.each(ROLES.map((role) => [role] as const))('permits %s exactly what the permission table grants', async (role) => {
    for (const { method, url, action } of standalone.routes) {
      if (action === 'public' || action === 'proxy') continue;
      const permitted = (PERMISSIONS[action].roles as readonly Role[]).includes(role);
      const status = await ask(role, false, method, pathIn(url, DOMAIN));
      const line = `${method} ${url}: ${status}`;
      // A permitted request may still be rejected because it has no content.
      if (permitted) expect(line).not.toMatch(/: (401|403|5\d\d)$/);
      else expect(line).toMatch(/: 403$/);
    }
  });

  it.each(ROLES.map((role) => [role] as const))('shows %s of one domain no other domain', async (role) => {
    for (const { method, url, action } of standalone.routes) {
      if (action === 'public' || action === 'proxy') continue;
      const permission: { roles: readonly Role[]; systemWide?: true } = PERMISSIONS[action];
      const inDomain = url.includes(':domainId');
      const status = await ask(role, true, method, pathIn(url, OTHER_DOMAIN));
      const line = `${method} ${url}: ${status}`;
      if (permission.systemWide) expect(line).toMatch(/: 403$/);
      else if (inDomain) expect(line).toMatch(/: 404$/);
      else if (!permission.roles.includes(role)) expect(line).toMatch(/: 403$/);
    }
  });

  it('rejects tokens of unknown callers', async () => {
    expect(WHO).toHaveLength(ROLES.length + 1);
    const response = await fetch(`${base}/api/v1/domains`, { headers: { authorization: 'Bearer made-up' } });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });
});
