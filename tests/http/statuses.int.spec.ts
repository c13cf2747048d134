import { SqliteReadModels } from '@rekey/adapters/embedded';
import { applicationIdOf } from '@rekey/domain';
import { until } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { TestSystem } from '../support/http.testing';

const DOMAIN = 'acme';
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

describe('the API, by status', () => {
  let system: TestSystem;
  const at = `/domains/${DOMAIN}`;
  const ask: TestSystem['ask'] = (...request) => system.ask(...request);
  const done: TestSystem['done'] = (...request) => system.done(...request);

  /** Registers an application. Returns its path, client id and id. */
  const registered = async (body: object = {}) => {
    const clientId = `app-${randomUUID()}`;
    const application = await done('POST', `${at}/applications`, { clientId, name: 'An application', ...body });
    return { ...application, path: `${at}/applications/${application.id}` } as {
      id: string;
      clientId: string;
      path: string;
      firstSecret: { id: string; secret: string };
    };
  };
  const added = async (path: string, body: object = {}) => {
    const secret = await done('POST', `${path}/secrets`, { description: randomUUID(), ...body });
    return { ...secret, path: `${path}/secrets/${secret.id}` } as {
      id: string;
      secret: string;
      path: string;
      expiresAt: string;
    };
  };
  /** Sends a request that must be rejected with a status. Returns the problem document. */
  const refused = async (status: number, code: string, ...request: Parameters<TestSystem['ask']>) => {
    const answer = await ask(...request);
    expect({ status: answer.status, code: answer.body?.code }).toEqual({ status, code });
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    return answer;
  };

  beforeAll(async () => {
    system = await TestSystem.start({
      env: {
        REKEY_APPLICATIONS_SECRETSMAX: '3',
        REKEY_HTTP_BODYLIMITBYTES: '4096',
        REKEY_COMMANDS_WAITTIMEOUTMS: '1000',
        REKEY_AUTHENTICATION_FAILURESPERMINUTEMAX: '3',
      },
      callers: {
        limited: { roles: ['manager'], domains: [DOMAIN] },
        elsewhere: { roles: ['admin'], domains: ['globex'] },
      },
    });
    await done('POST', '/domains', { id: DOMAIN, name: 'Acme', contacts: ['security@acme.example'] });
  });
  afterAll(() => system.stop());

  describe('200', () => {
    it('returns the changed resource with its revision and position', async () => {
      const { path } = await registered();
      const answer = await ask('PATCH', path, { name: 'Another name' });
      expect(answer).toMatchObject({ status: 200, body: { name: 'Another name', enabled: true } });
      expect(answer.headers.get('rekey-position')).toMatch(/^\d{20}$/);
      expect(answer.headers.get('rekey-command-id')).toMatch(/^[0-9a-f-]{36}$/);
      expect((await ask('GET', path)).body).toEqual(answer.body);
    });

    it('lists in pages, each item once and in order', async () => {
      const names = Array.from({ length: 7 }, (_, index) => `Paged ${index}`);
      for (const name of names) await done('POST', `${at}/applications`, { name });
      const seen: string[] = [];
      let pages = 0;
      for (let after = ''; ; pages++) {
        const { items, next } = await done('GET', `${at}/applications?q=paged&limit=3${after}`);
        seen.push(...items.map(({ name }: { name: string }) => name));
        if (next === undefined) break;
        after = `&after=${encodeURIComponent(next)}`;
      }
      expect([seen, pages]).toEqual([names, 2]);
    });

    it('renews a secret; both values authenticate during the overlap', async () => {
      const { path, clientId } = await registered();
      const secret = await added(path);
      const renewed = await done('POST', `${secret.path}/renew`, { overlap: { amount: 1, unit: 'hours' }, version: 1 });
      expect(renewed).toMatchObject({ id: secret.id, version: 2, previousValidUntil: expect.any(String) });
      for (const value of [secret.secret, renewed.secret])
        expect(await system.check(DOMAIN, clientId, value)).toBe(200);
      const receipt = await done('POST', `${secret.path}/end-overlap`);
      expect(receipt).toEqual({ position: expect.any(String), effectiveAt: expect.any(String) });
      expect(await system.check(DOMAIN, clientId, secret.secret)).toBe(401);
      expect(await system.check(DOMAIN, clientId, renewed.secret)).toBe(200);
    });

    it('repeats a no-op with the same answer', async () => {
      const { path } = await registered();
      await added(path);
      const { path: secret } = await added(path);
      const [first, second] = [await done('POST', `${secret}/suspend`), await done('POST', `${secret}/suspend`)];
      expect(second.position).toBe(first.position);
      await done('POST', `${secret}/resume`, { reason: 'Found nothing.' });
      expect(await done('GET', secret)).toMatchObject({ status: 'active' });
    });

    it('serves health, metrics and the API description', async () => {
      expect(await done('GET', '//health/live', undefined, { as: null })).toEqual({ status: 'live' });
      const ready = await done('GET', '//health/ready', undefined, { as: null });
      expect(ready).toMatchObject({ status: 'ready', probes: { 'view authentication': { ready: true } } });
      const metrics = await ask('GET', '//metrics', undefined, { as: null });
      expect(metrics.text).toMatch(/^rekey_http_request_duration_seconds_count\{.*status="200"\} \d+$/m);
      expect((await ask('GET', '//docs', undefined, { as: null })).text).toMatch(/^<!doctype html>/);
    });
  });

  describe('201', () => {
    it('returns the location of the new domain', async () => {
      const answer = await ask('POST', '/domains', { name: 'New Ground', contacts: [] });
      expect(answer).toMatchObject({
        status: 201,
        body: { id: 'new-ground', name: 'New Ground', policy: {}, applications: 0 },
      });
      expect(answer.headers.get('location')).toBe('/api/v1/domains/new-ground');
      expect(answer.headers.get('etag')).toBe('"0"');
    });

    it('registers an application, with a first secret if requested', async () => {
      const { firstSecret, clientId, id, path } = await registered({ firstSecret: {} });
      expect(firstSecret).toMatchObject({ description: 'Default', version: 1, secret: expect.stringMatching(/^rky_/) });
      expect(id).toBe(applicationIdOf(DOMAIN, clientId));
      expect(await system.check(DOMAIN, clientId, firstSecret.secret)).toBe(200);
      expect(await done('GET', path)).toMatchObject({ secrets: 1, policy: { expiry: { mode: 'inherit' } } });
    });

    it('generates a client id when the request has none', async () => {
      const { clientId } = await done('POST', `${at}/applications`, { name: 'Nameless' });
      expect(clientId).toMatch(/^[0-9a-f-]{36}$/);
    });

    it('adds a secret and returns its value only in this answer', async () => {
      const { path, clientId } = await registered();
      const body = { description: '  CI  ', expiresIn: { amount: 1, unit: 'days' }, allowedCidrs: ['10.1.2.3/8'] };
      const answer = await ask('POST', `${path}/secrets`, body);
      expect(answer).toMatchObject({
        status: 201,
        body: {
          description: 'CI',
          version: 1,
          status: 'expiring',
          expirySource: 'command',
          allowedCidrs: ['10.0.0.0/8'],
        },
      });
      const { secret, id, hint } = answer.body;
      expect(answer.headers.get('location')).toBe(`/api/v1${path}/secrets/${id}`);
      expect(secret.endsWith(hint)).toBe(true);
      for (const target of [`${path}/secrets`, `${path}/secrets/${id}`, '/secrets?limit=200', '/history?limit=200'])
        expect((await ask('GET', target)).text).not.toContain(secret);
      expect(await system.check(DOMAIN, clientId, secret, '10.9.9.9')).toBe(200);
    });
  });

  describe('204', () => {
    it('deletes an application; its client id can then be registered again as a new application', async () => {
      const { path, clientId } = await registered();
      const { secret } = await added(path);
      const answer = await ask('DELETE', path);
      expect(answer).toMatchObject({ status: 204, text: '' });
      expect(answer.headers.get('rekey-position')).toMatch(/^\d{20}$/);
      expect(await system.check(DOMAIN, clientId, secret)).toBe(401);
      await refused(404, 'application_not_found', 'GET', path);
      await done('POST', `${at}/applications`, { clientId, name: 'Again' });
      expect(await done('GET', `${path}/secrets`)).toEqual({ items: [] });
      expect(await system.check(DOMAIN, clientId, secret)).toBe(401);
    });

    it('deletes a domain with its applications', async () => {
      await done('POST', '/domains', { id: 'short-lived', name: 'Short' });
      const { firstSecret } = await done('POST', '/domains/short-lived/applications', {
        clientId: 'a',
        name: 'A',
        firstSecret: {},
      });
      expect(await system.check('short-lived', 'a', firstSecret.secret)).toBe(200);
      expect((await ask('DELETE', '/domains/short-lived')).status).toBe(204);
      expect(await system.check('short-lived', 'a', firstSecret.secret)).toBe(401);
      await refused(404, 'domain_not_found', 'GET', '/domains/short-lived');
      await refused(409, 'domain_taken', 'POST', '/domains', { id: 'short-lived', name: 'Again' });
      expect((await done('GET', '/secrets?domain=short-lived')).items).toEqual([]);
    });
  });

  describe('400', () => {
    const field = async (expected: string, ...request: Parameters<TestSystem['ask']>) =>
      expect((await refused(400, 'invalid_request', ...request)).body.field).toBe(expected);

    it('names the invalid field, at any depth', async () => {
      const { path } = await registered();
      await field('name', 'POST', '/domains', {});
      await field('name', 'POST', '/domains', { name: 7 });
      await field('id', 'POST', '/domains', { id: 'No Such Id', name: 'x' });
      await field('id', 'POST', '/domains', { id: 'api', name: 'x' });
      await field('contacts.1', 'POST', '/domains', { name: 'x', contacts: ['a@example.org', 'nobody'] });
      await field('expiresIn.unit', 'POST', `${path}/secrets`, {
        description: 'x',
        expiresIn: { amount: 1, unit: 'moons' },
      });
      await field('expiresAt', 'POST', `${path}/secrets`, { description: 'x', expiresAt: '2020-01-01T00:00:00Z' });
      await field('expiresAt', 'POST', `${path}/secrets`, {
        description: 'x',
        expiresAt: '2099-01-01T00:00:00Z',
        expiresIn: { amount: 1, unit: 'days' },
      });
      await field('allowedCidrs.0', 'POST', `${path}/secrets`, { description: 'x', allowedCidrs: ['10.0.0.0/33'] });
      await field('firstSecret.value', 'POST', `${at}/applications`, { name: 'x', firstSecret: { value: 'rky_mine' } });
      await field('reason', 'POST', `${path}/secrets/${UNKNOWN}/suspend`, { reason: 'two\nlines' });
      await field('limit', 'GET', '/domains?limit=201');
      await field('status.0', 'GET', '/secrets?status=lost');
      await field('after', 'GET', '/secrets?after=bm90LWEtY3Vyc29y');
      await field('after', 'GET', '/history?after=x');
      await field('asOf', 'GET', `${path}?asOf=2999-01-01T00:00:00Z`);
      await field('applicationId', 'GET', `${at}/applications/none`);
    });

    it('rejects unknown fields and parameters', async () => {
      const { path } = await registered();
      await field('colour', 'POST', '/domains', { name: 'x', colour: 'red' });
      await field('firstSecret.colour', 'POST', `${at}/applications`, { name: 'x', firstSecret: { colour: 'red' } });
      await field('colour', 'GET', '/domains?colour=red');
      await field('force', 'POST', `${path}/secrets/${UNKNOWN}/end-overlap`, { force: true });
      await field('body', 'DELETE', path, ['x']);
      await field('body', 'POST', '/domains', '"text"');
      await field('body', 'POST', '/domains', 'null');
    });

    it('rejects malformed headers', async () => {
      const { path } = await registered();
      const body = { name: 'x' };
      await field('If-Match', 'PATCH', path, body, { headers: { 'if-match': 'W/"1"' } });
      await field('If-Match', 'PATCH', path, body, { headers: { 'if-match': '"1", "2"' } });
      await field('If-Match', 'POST', '/domains', body, { headers: { 'if-match': '"1"' } });
      await field('Idempotency-Key', 'PATCH', path, body, { headers: { 'idempotency-key': 'x'.repeat(256) } });
      await field('Rekey-At-Least', 'GET', path, undefined, { headers: { 'rekey-at-least': 'a position!' } });
      await field('Rekey-At-Least', 'GET', path, undefined, { headers: { 'rekey-at-least': '42' } });
      await field('Last-Event-ID', 'GET', '/events', undefined, { headers: { 'last-event-id': 'x' } });
    });

    it('rejects bodies that are not JSON', async () => {
      for (const text of ['{', '{"name": "x",}', '{"name": "x"} more', '\u0000', "{'name': 'x'}"])
        await refused(400, 'invalid_request', 'POST', '/domains', text);
    });

    it('requires an expiry when the previous one was a fixed instant', async () => {
      const { path } = await registered();
      const secret = await added(path, { expiresAt: '2099-01-01T00:00:00Z' });
      const { body } = await refused(400, 'expiry_required', 'POST', `${secret.path}/renew`);
      expect(body.field).toBe('expiresAt');
    });
  });

  describe('401', () => {
    it.each([
      ['a missing token', undefined],
      ['a scheme alone', 'Bearer'],
      ['an unknown token', 'Bearer made-up'],
      ['another scheme', 'Basic YTpi'],
      ['a long text', `Bearer ${'x'.repeat(12_000)}`],
    ])('rejects %s', async (_what, authorization) => {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await refused(401, 'unauthenticated', 'GET', '/domains', undefined, { as: null, headers });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    });

    it('tells a client only that its credentials are invalid', async () => {
      const { path, clientId } = await registered();
      const good = await added(path);
      const suspended = await added(path);
      await done('POST', `${suspended.path}/suspend`);
      const later = await added(path, { notBefore: '2099-01-01T00:00:00Z' });
      const texts = new Set<string>();
      const tries: [string, string][] = [
        [clientId, 'wrong'],
        [clientId, suspended.secret],
        [clientId, later.secret],
        [clientId, `${good.secret.slice(0, -1)}!`],
        ['nobody', good.secret],
        [clientId.toUpperCase(), good.secret],
      ];
      for (const [id, clientSecret] of tries) {
        // Each from its own address, because only the first few failures of an address are answered 401.
        const remoteAddress = `192.0.2.${texts.size + tries.findIndex((each) => each[0] === id && each[1] === clientSecret)}`;
        const body = { clientId: id, clientSecret, remoteAddress };
        const answer = await refused(401, 'invalid_client_credentials', 'POST', `${at}/authenticate`, body);
        expect(answer.headers.get('www-authenticate')).toBeNull();
        texts.add(JSON.stringify({ ...answer.body, correlationId: '' }));
      }
      const elsewhere = { clientId, clientSecret: good.secret, remoteAddress: '192.0.2.99' };
      texts.add(
        JSON.stringify({
          ...(await refused(401, 'invalid_client_credentials', 'POST', '/domains/nowhere/authenticate', elsewhere))
            .body,
          correlationId: '',
        }),
      );
      expect(texts.size).toBe(1);
      expect(await system.check(DOMAIN, clientId, good.secret)).toBe(200);
    });
  });

  describe('403', () => {
    it('rejects what the role does not permit', async () => {
      await refused(403, 'forbidden', 'POST', '/domains', { name: 'x' }, { as: 'manager' });
      await refused(403, 'forbidden', 'GET', '/domains', undefined, { as: 'proxy' });
      await refused(
        403,
        'forbidden',
        'POST',
        `${at}/authenticate`,
        { clientId: 'a', clientSecret: 'b' },
        { as: 'viewer' },
      );
      await refused(403, 'forbidden', 'POST', '/domains', { name: 'x' }, { as: 'elsewhere' });
    });

    it('shows the history only to auditors', async () => {
      const { path } = await registered();
      const past = `${path}?asOf=${new Date().toISOString()}`;
      await refused(403, 'forbidden', 'GET', past, undefined, { as: 'viewer' });
      expect(await done('GET', past, undefined, { as: 'auditor' })).toMatchObject({ status: 'active', secrets: [] });
    });
  });

  describe('404', () => {
    it('names the missing resource', async () => {
      const { path } = await registered();
      await refused(404, 'domain_not_found', 'GET', '/domains/none');
      await refused(404, 'domain_not_found', 'POST', '/domains/none/applications', { name: 'x' });
      await refused(404, 'application_not_found', 'GET', `${at}/applications/${UNKNOWN}`);
      await refused(404, 'application_not_found', 'GET', `${at}/applications/${UNKNOWN}/history`);
      await refused(404, 'application_not_found', 'PUT', `${at}/applications/${UNKNOWN}/policy?preview=true`, {
        expiry: { mode: 'inherit' },
      });
      await refused(404, 'secret_not_found', 'GET', `${path}/secrets/${UNKNOWN}`);
      await refused(404, 'secret_not_found', 'POST', `${path}/secrets/${UNKNOWN}/revoke`);
      await refused(404, 'not_found', 'POST', '/notifications/none/acknowledge');
      await refused(404, 'not_found', 'GET', `/commands/${UNKNOWN}`);
      await refused(404, 'not_found', 'GET', '/nothing');
      await refused(404, 'not_found', 'GET', '//');
    });

    it('hides resources of other domains', async () => {
      const { path } = await registered();
      const secret = await added(path);
      const as = 'elsewhere';
      await refused(404, 'domain_not_found', 'GET', at, undefined, { as });
      await refused(404, 'domain_not_found', 'GET', secret.path, undefined, { as });
      await refused(404, 'domain_not_found', 'POST', `${secret.path}/revoke`, {}, { as });
      await refused(404, 'domain_not_found', 'GET', `${path}/history`, undefined, { as });
      expect((await done('GET', '/secrets', undefined, { as })).items).toEqual([]);
      expect((await done('GET', `/history?stream=domain-${DOMAIN}`, undefined, { as })).items).toEqual([]);
    });

    it('does not find an application under the path of another domain', async () => {
      const { id } = await registered();
      await done('POST', '/domains', { id: 'beside', name: 'Beside' });
      await refused(404, 'application_not_found', 'GET', `/domains/beside/applications/${id}`);
      await refused(404, 'application_not_found', 'PATCH', `/domains/beside/applications/${id}`, { name: 'x' });
      await refused(404, 'application_not_found', 'GET', `/domains/beside/applications/${id}/history`);
    });
  });

  describe('405', () => {
    it.each([
      ['PUT', '/domains', 'POST, GET, HEAD'],
      ['OPTIONS', '/domains', 'POST, GET, HEAD'],
      ['POST', `${at}`, 'GET, PATCH, DELETE, HEAD'],
      ['GET', `${at}/policy`, 'PUT'],
      ['HEAD', `${at}/authenticate`, 'POST'],
      ['DELETE', '//health/live', 'GET, HEAD'],
    ])('lists the allowed methods for %s %s', async (method, target, allowed) => {
      const answer = await ask(method, target);
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, allowed]);
      if (method !== 'HEAD') expect(answer.body.code).toBe('method_not_allowed');
    });
  });

  describe('409', () => {
    it('client_id_taken', async () => {
      const { clientId } = await registered();
      await refused(409, 'client_id_taken', 'POST', `${at}/applications`, { clientId, name: 'Another' });
    });

    it('domain_taken', async () => {
      await refused(409, 'domain_taken', 'POST', '/domains', { id: DOMAIN, name: 'Another' });
    });

    it('description_taken', async () => {
      const { path } = await registered();
      await added(path, { description: 'CI' });
      const other = await added(path, { description: 'ci' });
      await refused(409, 'description_taken', 'POST', `${path}/secrets`, { description: 'CI' });
      await refused(409, 'description_taken', 'PATCH', other.path, { description: 'CI' });
    });

    it('domain_disabled', async () => {
      await done('POST', '/domains', { id: 'asleep', name: 'Asleep' });
      const { id } = await done('POST', '/domains/asleep/applications', { clientId: 'a', name: 'A' });
      const { secret } = await done('POST', `/domains/asleep/applications/${id}/secrets`, { description: 'CI' });
      await done('PATCH', '/domains/asleep', { enabled: false });
      expect(await system.check('asleep', 'a', secret)).toBe(401);
      await refused(409, 'domain_disabled', 'POST', '/domains/asleep/applications', { name: 'B' });
      await done('PATCH', '/domains/asleep', { enabled: true });
      expect(await system.check('asleep', 'a', secret)).toBe(200);
    });

    it('application_disabled', async () => {
      const { path, clientId } = await registered();
      const secret = await added(path);
      await done('PATCH', path, { enabled: false });
      expect(await system.check(DOMAIN, clientId, secret.secret)).toBe(401);
      await refused(409, 'application_disabled', 'POST', `${path}/secrets`, { description: 'x' });
      await refused(409, 'application_disabled', 'POST', `${secret.path}/renew`);
    });

    it('too_many_secrets, with the limit', async () => {
      const { path } = await registered();
      for (let count = 0; count < 3; count++) await added(path);
      const { body } = await refused(409, 'too_many_secrets', 'POST', `${path}/secrets`, { description: 'x' });
      expect(body.limit).toBe(3);
    });

    it('last_live_secret, unless it is forced', async () => {
      const { path, clientId } = await registered();
      const secret = await added(path);
      await refused(409, 'last_live_secret', 'POST', `${secret.path}/suspend`);
      await refused(409, 'last_live_secret', 'POST', `${secret.path}/revoke`, { reason: 'superseded' });
      expect(await system.check(DOMAIN, clientId, secret.secret)).toBe(200);
      await done('POST', `${secret.path}/revoke`, { reason: 'superseded', force: true });
      expect(await system.check(DOMAIN, clientId, secret.secret)).toBe(401);
      expect(await done('GET', secret.path)).toMatchObject({ status: 'revoked', revocationReason: 'superseded' });
    });

    it('revision_conflict, for a version that is not the current one', async () => {
      const { path } = await registered();
      const secret = await added(path);
      const { body } = await refused(409, 'revision_conflict', 'POST', `${secret.path}/renew`, { version: 2 });
      expect(body.version).toBe(1);
    });

    it('not_renewable, and secret_revoked', async () => {
      const { path } = await registered();
      const secret = await added(path);
      await done('POST', `${secret.path}/revoke`, { force: true });
      await refused(409, 'not_renewable', 'POST', `${secret.path}/renew`);
      await refused(409, 'secret_revoked', 'POST', `${secret.path}/suspend`);
      await refused(409, 'secret_revoked', 'PATCH', secret.path, { description: 'x' });
    });
  });

  describe('412', () => {
    it('changes nothing if the resource has changed since', async () => {
      const { path } = await registered();
      const first = (await ask('GET', path)).headers.get('etag') ?? '';
      await done('PATCH', path, { name: 'Changed' }, { headers: { 'if-match': first } });
      for (const [method, body] of [
        ['PATCH', { name: 'Again' }],
        ['DELETE', undefined],
      ] as const) {
        const { body: problem } = await refused(412, 'revision_conflict', method, path, body, {
          headers: { 'if-match': first },
        });
        expect(`"${problem.revision}"`).toBe((await ask('GET', path)).headers.get('etag'));
      }
      expect(await done('GET', path)).toMatchObject({ name: 'Changed' });
      await done('PATCH', path, { name: 'Whatever' }, { headers: { 'if-match': '*' } });
    });
  });

  describe('413', () => {
    it('rejects a body above the size limit', async () => {
      await refused(413, 'payload_too_large', 'POST', '/domains', { name: 'x'.repeat(5_000) });
    });
  });

  describe('415', () => {
    it.each([
      'text/plain',
      'text/xml',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'nonsense',
    ])('rejects %s', async (type) => {
      await refused(415, 'unsupported_media_type', 'POST', '/domains', '{"name":"x"}', {
        headers: { 'content-type': type },
      });
    });

    it('rejects a compressed body', async () => {
      await refused(
        415,
        'unsupported_media_type',
        'POST',
        '/domains',
        { name: 'x' },
        { headers: { 'content-encoding': 'gzip' } },
      );
    });
  });

  describe('422', () => {
    it('lifetime_out_of_bounds, with the bound', async () => {
      await done('POST', '/domains', { id: 'bounded', name: 'Bounded' });
      const bounds = { minLifetime: { amount: 1, unit: 'hours' }, maxLifetime: { amount: 30, unit: 'days' } };
      await done('PUT', '/domains/bounded/policy', bounds);
      const { id } = await done('POST', '/domains/bounded/applications', { name: 'A' });
      const path = `/domains/bounded/applications/${id}`;
      const beyond = async (bound: string, field: string, ...request: Parameters<TestSystem['ask']>) => {
        const { body } = await refused(422, 'lifetime_out_of_bounds', ...request);
        expect(body).toMatchObject({ bound, field, ...bounds[bound as keyof typeof bounds] });
      };
      await beyond('maxLifetime', 'expiresIn', 'POST', `${path}/secrets`, {
        description: 'x',
        expiresIn: { amount: 2, unit: 'months' },
      });
      await beyond('maxLifetime', 'expiresAt', 'POST', `${path}/secrets`, { description: 'x', expiresAt: null });
      await beyond('minLifetime', 'expiresIn', 'POST', `${path}/secrets`, {
        description: 'x',
        expiresIn: { amount: 1, unit: 'minutes' },
      });
      const forever = { expiry: { mode: 'never' } };
      await beyond('maxLifetime', 'expiry.mode', 'PUT', `${path}/policy`, forever);
      await beyond('maxLifetime', 'expiry.mode', 'PUT', `${path}/policy?preview=true`, forever);
      await beyond('maxLifetime', 'expiry.mode', 'PUT', '/domains/bounded/policy?preview=true', {
        ...bounds,
        ...forever,
      });
      const inherited = await done('POST', `${path}/secrets`, { description: 'x' });
      expect(inherited.expirySource).toBe('domain-bound');
    });

    it('idempotency_key_reused', async () => {
      const headers = { 'idempotency-key': randomUUID() };
      await done('POST', `${at}/applications`, { clientId: randomUUID(), name: 'x' }, { headers });
      await refused(
        422,
        'idempotency_key_reused',
        'POST',
        `${at}/applications`,
        { clientId: randomUUID(), name: 'x' },
        { headers },
      );
    });
  });

  describe('429', () => {
    it('returns Retry-After, and never delays a valid secret', async () => {
      const { path, clientId } = await registered();
      const { secret } = await added(path);
      const remoteAddress = '198.51.100.7';
      const wrong = () => ask('POST', `${at}/authenticate`, { clientId, clientSecret: 'wrong', remoteAddress });
      const statuses = [];
      for (let count = 0; count < 5; count++) statuses.push((await wrong()).status);
      expect(statuses).toEqual([401, 401, 401, 429, 429]);
      const { headers, body } = await wrong();
      expect(body.code).toBe('rate_limited');
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60);
      expect(await system.check(DOMAIN, clientId, secret, remoteAddress)).toBe(200);
    });
  });

  describe('503', () => {
    it('waits for a position that never arrives for the configured time', async () => {
      const startedMs = performance.now();
      const headers = { 'rekey-at-least': '99999999999999999999' };
      const answer = await refused(503, 'unavailable', 'GET', at, undefined, { headers });
      expect(answer.headers.get('retry-after')).toBe('1');
      const elapsedMs = performance.now() - startedMs;
      expect(elapsedMs).toBeGreaterThan(950);
      expect(elapsedMs).toBeLessThan(10_000);
    });
  });
});

describe('504', () => {
  let system: TestSystem;
  beforeAll(async () => {
    // Hashing a value supplied by the caller takes longer than the command timeout.
    const slow = { REKEY_HASHING_IMPORTED_MEMORYKIB: '131072', REKEY_HASHING_IMPORTED_ITERATIONS: '6' };
    system = await TestSystem.start({ env: { ...slow, REKEY_COMMANDS_TIMEOUTMS: '100' } });
  });
  afterAll(() => system.stop());

  it('returns the command id, and a retry with the same key returns the outcome', async () => {
    await until('the domain', async () => {
      const headers = { 'idempotency-key': 'domain' };
      return (await system.ask('POST', '/domains', { id: DOMAIN, name: 'Acme' }, { headers })).status === 201;
    });
    const headers = { 'idempotency-key': randomUUID() };
    const value = 'a value of the own making of its caller';
    const body = { clientId: 'slow', name: 'Slow', firstSecret: { value } };
    const late = await system.ask('POST', `/domains/${DOMAIN}/applications`, body, { headers });
    expect(late).toMatchObject({ status: 504, body: { code: 'timeout', detail: expect.stringContaining('again') } });
    const outcome = await until('the outcome', async () => {
      const answer = await system.ask('GET', `/commands/${late.body.commandId}`);
      return answer.status === 200 && answer;
    });
    expect(outcome.body).toMatchObject({ id: late.body.commandId, status: 'accepted' });
    expect(outcome.text).not.toContain(value);
    const again = await system.ask('POST', `/domains/${DOMAIN}/applications`, body, { headers });
    expect([again.status, again.headers.get('rekey-replayed'), again.body.clientId]).toEqual([201, 'true', 'slow']);
    expect(again.body.firstSecret).not.toHaveProperty('secret');
    expect(await system.check(DOMAIN, 'slow', value)).toBe(200);
  });
});

describe('202', () => {
  let system: TestSystem;
  /** Runs an action while no view is updated. */
  const whileViewsWait = async <T>(work: () => Promise<T>): Promise<T> => {
    const advance = Reflect.get(SqliteReadModels.prototype, 'advance');
    let go = (): void => undefined;
    const over = new Promise<void>((resolve) => (go = resolve));
    const held = jest.spyOn(SqliteReadModels.prototype, 'advance').mockImplementation(async function (
      this: SqliteReadModels,
      ...given
    ) {
      await over;
      return advance.apply(this, given);
    });
    try {
      return await work();
    } finally {
      held.mockRestore();
      go();
    }
  };
  beforeAll(async () => {
    system = await TestSystem.start({ env: { REKEY_COMMANDS_WAITTIMEOUTMS: '0' } });
  });
  afterAll(() => system.stop());

  it('returns the result, including the secret value, when the views are late', async () => {
    const ask: TestSystem['ask'] = (...request) => system.ask(...request);
    await until('the domain', async () => {
      const { status } = await ask(
        'POST',
        '/domains',
        { id: DOMAIN, name: 'Acme' },
        { headers: { 'idempotency-key': 'd' } },
      );
      return status === 201;
    });
    const application = { clientId: 'late', name: 'An application', firstSecret: {} };
    const late = await whileViewsWait(() => ask('POST', `/domains/${DOMAIN}/applications`, application));
    expect(late.status).toBe(202);
    const { headers, body } = late;
    expect(body).toMatchObject({
      domainId: DOMAIN,
      position: headers.get('rekey-position'),
      commandId: headers.get('rekey-command-id'),
    });
    const { firstSecret, clientId, position } = body;
    expect(headers.get('location')).toBe(`/api/v1/commands/${body.commandId}`);
    const outcome = await ask('GET', `/commands/${body.commandId}`);
    expect(outcome.body).toMatchObject({ status: 'accepted', position, result: { secretId: firstSecret.id } });
    expect(outcome.text).not.toContain(firstSecret.secret);
    await until('the application', async () => {
      const { status } = await ask('GET', `/domains/${DOMAIN}/applications/${body.id}`, undefined, {
        headers: { 'rekey-at-least': position },
      });
      return status === 200;
    });
    await until('the check', async () => (await system.check(DOMAIN, clientId, firstSecret.secret)) === 200);
  });

  it('reports that a revocation may not be in effect yet', async () => {
    const { firstSecret, id } = await until('an application', async () => {
      const { status, body } = await system.ask(
        'POST',
        `/domains/${DOMAIN}/applications`,
        { clientId: 'revoked', name: 'x', firstSecret: {} },
        { headers: { 'idempotency-key': 'r' } },
      );
      return (status === 201 || status === 202) && body;
    });
    const path = `/domains/${DOMAIN}/applications/${id}/secrets/${firstSecret.id}/revoke`;
    const headers = { 'idempotency-key': 'revoke' };
    const first = await whileViewsWait(() => system.ask('POST', path, { force: true }, { headers }));
    expect(first.status).toBe(202);
    expect(first.body).toMatchObject({ effective: false, position: expect.any(String) });
    const settled = await until('the revocation to take effect', async () => {
      const answer = await system.ask('POST', path, { force: true }, { headers });
      return answer.status === 200 && answer.body;
    });
    expect(settled).toEqual({ position: first.body.position, effectiveAt: expect.any(String), replayed: true });
    expect(await system.check(DOMAIN, 'revoked', firstSecret.secret)).toBe(401);
  });
});
