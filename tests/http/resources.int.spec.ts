import { applicationIdOf } from '@rekey/domain';
import { temporaryFolder, until } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { v5 as uuidV5 } from 'uuid';
import { TestSystem } from '../support/http.testing';
import type { Answer } from '../support/request.testing';

const DOMAIN = 'acme';
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const days = (amount: number) => ({ amount, unit: 'days' });
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();

describe('the resources of the API', () => {
  let system: TestSystem;
  const ask: TestSystem['ask'] = (...request) => system.ask(...request);
  const done: TestSystem['done'] = (...request) => system.done(...request);

  const domain = async (body: object = {}): Promise<string> => {
    const id = `d-${randomUUID()}`;
    await done('POST', '/domains', { id, name: 'A domain', ...body });
    return id;
  };
  const application = async (domainId: string, body: object = {}) => {
    const { id, clientId } = await done('POST', `/domains/${domainId}/applications`, {
      name: 'An application',
      ...body,
    });
    return { id, clientId, path: `/domains/${domainId}/applications/${id}` };
  };
  const secret = async (path: string, body: object = {}) => {
    const made = await done('POST', `${path}/secrets`, { description: randomUUID(), ...body });
    return { ...made, path: `${path}/secrets/${made.id}` } as {
      id: string;
      secret: string;
      path: string;
      description: string;
    };
  };
  const etag = async (path: string): Promise<string> => (await ask('GET', path)).headers.get('etag') ?? 'none';
  /** Returns all items of a list, read page by page. */
  const all = async (target: string, options: Parameters<TestSystem['ask']>[3] = {}): Promise<Answer['body'][]> => {
    const items = [];
    for (let after = ''; ;) {
      const page = await done('GET', `${target}${after}`, undefined, options);
      items.push(...page.items);
      if (page.next === undefined) return items;
      after = `&after=${encodeURIComponent(page.next)}`;
    }
  };

  beforeAll(async () => {
    system = await TestSystem.start({
      env: {
        REKEY_APPLICATIONS_SECRETSMAX: '1000',
        REKEY_NOTIFICATIONS_EXPIRYTHRESHOLDS: '20,1',
        REKEY_NOTIFICATIONS_CRONEXPRESSION: '* * * * * *',
      },
      callers: { limited: { roles: ['manager', 'auditor'], domains: [DOMAIN] } },
    });
    await done('POST', '/domains', { id: DOMAIN, name: 'Acme' });
  });
  afterAll(() => system.stop());
  afterEach(() => jest.restoreAllMocks());

  describe('ETag and If-Match', () => {
    it('a domain has the revision of its last change', async () => {
      const id = await domain();
      const path = `/domains/${id}`;
      const seen = [await etag(path)];
      const change = async (method: string, target: string, body: unknown) => {
        const answer = await ask(method, target, body, { headers: { 'if-match': seen.at(-1) ?? '' } });
        expect(answer.status).toBe(200);
        seen.push(answer.headers.get('etag') ?? 'none');
        expect(await etag(path)).toBe(seen.at(-1));
      };
      await change('PATCH', path, { name: 'Renamed' });
      await change('PUT', `${path}/policy`, { expiry: { mode: 'after', after: days(30) } });
      await change('PATCH', path, { enabled: false });
      expect(new Set(seen).size).toBe(4);
      await change('PATCH', path, { enabled: false });
      expect(seen.at(-1)).toBe(seen.at(-2));
      await done('PATCH', path, { enabled: true });
      await application(id);
      const before = await etag(path);
      await application(id);
      expect(await etag(path)).toBe(before);
    });

    it('the ETag of an application or secret changes only with that resource', async () => {
      const { path } = await application(DOMAIN);
      const ofApplication = await etag(path);
      const one = await secret(path);
      const ofOne = await etag(one.path);
      const two = await secret(path);
      await done('POST', `${two.path}/renew`);
      await done('PATCH', two.path, { allowedCidrs: ['10.0.0.0/8'] });
      await done('POST', `${two.path}/suspend`);
      await done('PATCH', path, { name: 'Renamed' });
      expect(await etag(one.path)).toBe(ofOne);
      expect(await etag(path)).not.toBe(ofApplication);
      const present = await etag(path);
      await done('POST', `${two.path}/resume`);
      expect(await etag(path)).toBe(present);
      await done('POST', `${one.path}/renew`, {}, { headers: { 'if-match': ofOne } });
      expect((await ask('POST', `${one.path}/revoke`, {}, { headers: { 'if-match': ofOne } })).status).toBe(412);
    });

    it('notices and recorded expiries do not change the ETag', async () => {
      const { path } = await application(DOMAIN);
      const short = await secret(path, { expiresAt: inMs(3_000) });
      const made = await etag(short.path);
      await until('the notices and the expiry to be recorded', async () => {
        const { lastNotice, expiredAt } = await done('GET', short.path);
        return expiredAt !== undefined && lastNotice?.threshold === 0;
      });
      const [notice] = (await all(`/notifications?domain=${DOMAIN}&limit=200`)).filter(
        ({ secretId }) => secretId === short.id,
      );
      await done('POST', `/notifications/${notice.id}/acknowledge`);
      expect(await etag(short.path)).toBe(made);
      const renewed = await ask('POST', `${short.path}/renew`, { expiresAt: null }, { headers: { 'if-match': made } });
      expect(renewed.body).toMatchObject({ status: 'active', version: 2 });
      expect(renewed.body).not.toHaveProperty('expiredAt');
    });

    it('If-Match can make adding a secret depend on the revision of the application', async () => {
      const { path } = await application(DOMAIN);
      const seen = await etag(path);
      await done('POST', `${path}/secrets`, { description: 'one' }, { headers: { 'if-match': seen } });
      await done('PUT', `${path}/policy`, { expiry: { mode: 'never' } }, { headers: { 'if-match': seen } });
      const late = await ask('POST', `${path}/secrets`, { description: 'two' }, { headers: { 'if-match': seen } });
      expect([late.status, late.body.code]).toEqual([412, 'revision_conflict']);
    });
  });

  describe('Idempotency-Key', () => {
    it('repeats the same answer, including the secret value, for 15 minutes', async () => {
      const { path, clientId } = await application(DOMAIN);
      const headers = { 'idempotency-key': randomUUID() };
      const send = () => ask('POST', `${path}/secrets`, { description: 'CI' }, { headers });
      const [first, second] = [await send(), await send()];
      expect([first.status, second.status]).toEqual([201, 201]);
      expect(second.body).toEqual({ ...first.body, replayed: true });
      for (const name of ['rekey-position', 'rekey-command-id', 'etag', 'location'])
        expect([name, second.headers.get(name)]).toEqual([name, first.headers.get(name)]);
      expect(first.headers.get('rekey-replayed')).toBeNull();
      expect(second.headers.get('rekey-replayed')).toBe('true');
      expect((await done('GET', `${path}/secrets`)).items).toHaveLength(1);

      const realNow = Date.now.bind(Date);
      const later = (ms: number) => jest.spyOn(Date, 'now').mockImplementation(() => realNow() + ms);
      later(14 * MINUTE_MS);
      expect((await send()).body.secret).toBe(first.body.secret);
      later(16 * MINUTE_MS);
      expect((await send()).body).toEqual({ ...first.body, secret: null, replayed: true });
      expect(await system.check(DOMAIN, clientId, first.body.secret)).toBe(200);
    });

    it('repeats the first rejection even if the command would be accepted now', async () => {
      const { path } = await application(DOMAIN);
      const taken = await secret(path, { description: 'CI' });
      const headers = { 'idempotency-key': randomUUID() };
      const send = () => ask('POST', `${path}/secrets`, { description: 'CI' }, { headers });
      expect((await send()).body.code).toBe('description_taken');
      await done('PATCH', taken.path, { description: 'Not CI' });
      expect((await send()).body.code).toBe('description_taken');
      expect((await ask('POST', `${path}/secrets`, { description: 'CI' })).status).toBe(201);
    });

    it('applies a no-op or a change once, regardless of changes in between', async () => {
      const { path } = await application(DOMAIN);
      const headers = { 'idempotency-key': randomUUID() };
      const rename = () => ask('PATCH', path, { name: 'Mine' }, { headers });
      const first = await rename();
      await done('PATCH', path, { name: 'Yours' });
      const second = await rename();
      expect(second.headers.get('rekey-position')).toBe(first.headers.get('rekey-position'));
      expect(await done('GET', path)).toMatchObject({ name: 'Yours' });
    });

    it('is bound to one caller and one request body', async () => {
      const key = randomUUID();
      const headers = { 'idempotency-key': key };
      const { path } = await application(DOMAIN);
      await done('POST', `${path}/secrets`, { description: 'admin' }, { headers });
      await done('POST', `${path}/secrets`, { description: 'manager' }, { headers, as: 'manager' });
      for (const [method, target, body] of [
        ['POST', `${path}/secrets`, { description: 'other' }],
        ['POST', `${path}/secrets`, { description: 'admin', notBefore: inMs(DAY_MS) }],
        ['PATCH', path, { name: 'other' }],
        ['POST', '/domains', { id: `d-${key}`, name: 'other' }],
      ] as const) {
        const answer = await ask(method, target, body, { headers });
        expect([target, answer.status, answer.body.code]).toEqual([target, 422, 'idempotency_key_reused']);
      }
    });

    it('does not repeat a secret value that the caller supplied', async () => {
      const clientId = randomUUID();
      const headers = { 'idempotency-key': randomUUID() };
      const send = (value: string) =>
        ask('POST', `/domains/${DOMAIN}/applications`, { clientId, name: 'x', firstSecret: { value } }, { headers });
      expect((await send('correct horse battery staple')).status).toBe(201);
      const again = await send('correct horse battery staple');
      expect([again.status, again.text.includes('horse')]).toEqual([201, false]);
      expect((await send('another value')).body.code).toBe('idempotency_key_reused');
      expect(await system.check(DOMAIN, clientId, 'correct horse battery staple')).toBe(200);
    });

    it('holds for many concurrent requests', async () => {
      const { path } = await application(DOMAIN);
      const headers = { 'idempotency-key': randomUUID() };
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => ask('POST', `${path}/secrets`, { description: 'CI' }, { headers })),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
      expect(new Set(answers.map(({ body }) => body.secret)).size).toBe(1);
      expect((await done('GET', `${path}/secrets`)).items).toHaveLength(1);
    });
  });

  describe('Rekey-Position and Rekey-At-Least', () => {
    it('a read with the position of a write shows that write', async () => {
      const { path } = await application(DOMAIN);
      for (let count = 0; count < 20; count++) {
        const { headers } = await ask('PATCH', path, { name: `Name ${count}` });
        const atLeast = { 'rekey-at-least': headers.get('rekey-position') ?? '' };
        expect(await done('GET', path, undefined, { headers: atLeast })).toMatchObject({ name: `Name ${count}` });
      }
    });

    it('a check accepts a position too', async () => {
      const { path, clientId } = await application(DOMAIN);
      const { headers, body } = await ask('POST', `${path}/secrets`, { description: 'CI' });
      const atLeast = { 'rekey-at-least': headers.get('rekey-position') ?? '' };
      const credentials = { clientId, clientSecret: body.secret };
      const target = `/domains/${DOMAIN}/authenticate`;
      const answer = await ask('POST', target, credentials, { as: 'proxy', headers: atLeast });
      expect(answer.body).toEqual({
        valid: true,
        domainId: DOMAIN,
        clientId,
        applicationId: applicationIdOf(DOMAIN, clientId),
        secretId: body.id,
        version: 1,
      });
    });
  });

  describe('domain ids', () => {
    it('are derived from the name, get a number if taken, and stay the same on a repeated request', async () => {
      const create = async (key?: string) => {
        const headers = key === undefined ? {} : { 'idempotency-key': key };
        const { id } = await done('POST', '/domains', { name: 'Größe & Co. KG' }, { headers });
        return id as string;
      };
      const [first, second, third] = [await create('one'), await create('two'), await create()];
      expect(first).toMatch(/^[a-z0-9-]+$/);
      expect([second, third]).toEqual([`${first}-2`, `${first}-3`]);
      expect([await create('two'), await create('one')]).toEqual([second, first]);
      expect(await create()).toBe(`${first}-4`);
    });

    it('cannot be path segments of the API', async () => {
      const { id } = await done('POST', '/domains', { name: 'Health' });
      expect(id).not.toBe('health');
    });
  });

  describe('policies', () => {
    it('preview the effects of a new policy without applying it', async () => {
      const id = await domain();
      const { path } = await application(id);
      const never = await secret(path, { description: 'never' });
      const own = await secret(path, { description: 'own', expiresIn: days(400) });
      const revoked = await secret(path, { description: 'revoked' });
      await done('POST', `${revoked.path}/revoke`);
      const policy = { expiry: { mode: 'after', after: days(90) }, maxLifetime: days(365) };
      const before = await etag(`/domains/${id}`);
      const preview = await done('PUT', `/domains/${id}/policy?preview=true`, policy);
      expect(preview).toMatchObject({ policy, affected: { count: 2 } });
      const judged = new Map(preview.affected.items.map((item: { secretId: string }) => [item.secretId, item]));
      const { createdAt } = await done('GET', never.path);
      expect(judged.get(never.id)).toMatchObject({
        expiresAt: null,
        wouldExpireAt: new Date(Date.parse(createdAt) + 90 * DAY_MS).toISOString(),
        wouldSource: 'domain',
      });
      expect(judged.get(own.id)).toMatchObject({ description: 'own', wouldSource: 'command' });
      expect(await etag(`/domains/${id}`)).toBe(before);
      expect(await done('GET', `/domains/${id}`)).toMatchObject({ policy: {} });

      expect((await done('PUT', `/domains/${id}/policy`, policy)).affected).toEqual(preview.affected);
      expect(await done('GET', never.path)).not.toHaveProperty('expiresAt');
      const { expirySource, expiresAt } = await done('GET', (await secret(path)).path);
      expect([expirySource, typeof expiresAt]).toEqual(['domain', 'string']);
    });

    it('of an application override those of its domain', async () => {
      const id = await domain();
      await done('PUT', `/domains/${id}/policy`, { expiry: { mode: 'after', after: days(90) } });
      const { path } = await application(id);
      const inherited = await secret(path);
      const policy = { expiry: { mode: 'after', after: { amount: 1, unit: 'months' } } };
      const { affected } = await done('PUT', `${path}/policy`, policy, { as: 'manager' });
      expect(affected).toMatchObject({ count: 1, items: [{ secretId: inherited.id, wouldSource: 'application' }] });
      expect(await done('GET', path)).toMatchObject({ policy });
      expect(await done('GET', (await secret(path)).path)).toMatchObject({ expirySource: 'application' });
      const back = await done('PUT', `${path}/policy?preview=true`, { expiry: { mode: 'inherit' } });
      expect(back.affected.count).toBe(1);
    });

    it('that contradict themselves are rejected, in a preview too', async () => {
      const id = await domain();
      const crossed = { minLifetime: days(10), maxLifetime: days(5) };
      for (const target of [`/domains/${id}/policy`, `/domains/${id}/policy?preview=true`])
        expect(await ask('PUT', target, crossed)).toMatchObject({ status: 400, body: { field: 'minLifetime' } });
    });

    it('may have only bounds, or be empty', async () => {
      const id = await domain();
      for (const policy of [{ maxLifetime: days(30) }, {}]) {
        await done('PUT', `/domains/${id}/policy`, policy);
        expect(await done('GET', `/domains/${id}`)).toMatchObject({ policy });
      }
    });

    it('list affected secrets in pages of 200', async () => {
      const id = await domain();
      const { path } = await application(id);
      const made: string[] = [];
      for (let batch = 0; batch < 5; batch++) {
        const batched = await Promise.all(Array.from({ length: 50 }, () => secret(path)));
        made.push(...batched.map((each) => each.id));
      }
      const policy = { expiry: { mode: 'after', after: days(1) } };
      const found: string[] = [];
      const sizes: number[] = [];
      for (let after = ''; ;) {
        const { affected } = await done('PUT', `/domains/${id}/policy?preview=true${after}`, policy);
        expect(affected.count).toBe(250);
        sizes.push(affected.items.length);
        found.push(...affected.items.map(({ secretId }: { secretId: string }) => secretId));
        if (affected.next === undefined) break;
        after = `&after=${encodeURIComponent(affected.next)}`;
      }
      expect(sizes).toEqual([200, 50]);
      expect(found.sort()).toEqual(made.sort());
    });
  });

  describe('the inventory', () => {
    const INVENTORY = 'inventory';
    let applicationId: string;
    const names = async (query: string, options = {}) =>
      (await all(`/secrets?domain=${INVENTORY}&${query}`, options)).map(({ description }) => description);

    beforeAll(async () => {
      await done('POST', '/domains', { id: INVENTORY, name: 'Inventory' });
      const { path, id, clientId } = await application(INVENTORY, { clientId: 'shop', name: 'The Shop' });
      applicationId = id;
      const make = (description: string, body: object = {}) => secret(path, { description, ...body });
      const used = await make('used', { expiresIn: days(300) });
      await make('soon', { expiresIn: days(3) });
      await make('short', { expiresAt: inMs(2_000) });
      await make('endless');
      await make('to come', { notBefore: inMs(DAY_MS), expiresIn: days(100) });
      await done('POST', `${(await make('revoked')).path}/revoke`, { reason: 'keyCompromise' });
      await done('POST', `${(await make('suspended', { expiresIn: days(200) })).path}/suspend`, { reason: 'Looking.' });
      await until('the secret to expire', async () => (await names('status=expired')).length === 1);
      expect(await system.check(INVENTORY, clientId, used.secret)).toBe(200);
    });

    it.each([
      ['active', ['used', 'endless']],
      ['expiring', ['soon']],
      ['expired', ['short']],
      ['pending', ['to come']],
      ['suspended', ['suspended']],
      ['revoked', ['revoked']],
      ['suspended,revoked', ['suspended', 'revoked']],
    ])('filters by status %s', async (status, expected) => {
      expect(await names(`status=${status}`)).toEqual(expected);
      expect((await names(`status=${status}&limit=1`)).sort()).toEqual([...expected].sort());
    });

    it.each([
      ['', ['short', 'soon', 'to come', 'suspended', 'used', 'endless', 'revoked']],
      ['-expiresAt', ['revoked', 'endless', 'used', 'suspended', 'to come', 'soon', 'short']],
      ['description', ['endless', 'revoked', 'short', 'soon', 'suspended', 'to come', 'used']],
      ['-description', ['used', 'to come', 'suspended', 'soon', 'short', 'revoked', 'endless']],
      ['createdAt', ['used', 'soon', 'short', 'endless', 'to come', 'revoked', 'suspended']],
      ['-createdAt', ['suspended', 'revoked', 'to come', 'endless', 'short', 'soon', 'used']],
    ])('sorts by %p, with pages of any size', async (sort, expected) => {
      const sorting = sort === '' ? '' : `sort=${sort}`;
      for (const limit of [1, 2, 5, 200]) {
        const listed = await names(`${sorting}&limit=${limit}`);
        // Two secrets never expire; their ids decide which comes first.
        if (sort === '' || sort === '-expiresAt') expect([...listed].sort()).toEqual([...expected].sort());
        else expect(listed).toEqual(expected);
        if (sort === '') expect(listed.slice(0, 5)).toEqual(expected.slice(0, 5));
        if (sort === '-expiresAt') expect(listed.slice(2)).toEqual(expected.slice(2));
      }
    });

    it('filters by text, by expiry and by use', async () => {
      expect(await names('q=SHOP')).toHaveLength(7);
      expect(await names('q=OON')).toEqual(['soon']);
      expect(await names('q=%25')).toEqual([]);
      expect(await names(`expiresBefore=${inMs(10 * DAY_MS)}`)).toEqual(['short', 'soon']);
      await until('the use to be recorded', async () => {
        const unused = await names(`unusedSince=${inMs(-MINUTE_MS * 10)}`);
        return unused.length === 0;
      });
      const since = inMs(1);
      await until('the next moment', async () => Date.now() > Date.parse(since));
      expect((await names(`unusedSince=${since}&limit=2`)).sort()).toContain('endless');
    });

    it('is available as CSV, with a link to the next page', async () => {
      const rows: string[] = [];
      for (let target: string | undefined = `//api/v1/secrets?domain=${INVENTORY}&limit=3&sort=description`; target;) {
        const answer: Answer = await ask('GET', target, undefined, { headers: { accept: 'text/csv' } });
        expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
        expect(answer.headers.get('vary')).toBe('Accept');
        const [names = '', ...lines] = answer.text.trimEnd().split('\r\n');
        expect(names).toMatch(/^domainId,applicationId,/);
        rows.push(...lines.map((line) => line.split(',')[6] ?? ''));
        const next: string | undefined = /^<(\/.*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
        target = next && `/${next}`;
      }
      expect(rows).toEqual(['endless', 'revoked', 'short', 'soon', 'suspended', 'to come', 'used']);
      const json = await ask('GET', '/secrets', undefined, { headers: { accept: 'text/csv;q=0.1, application/json' } });
      expect(json.headers.get('content-type')).toMatch(/^application\/json/);
    });

    it("shows only secrets in the caller's domains, with who created and changed them", async () => {
      expect(await all('/secrets?limit=200', { as: 'limited' })).toEqual(
        (await all(`/secrets?limit=200&domain=${DOMAIN}`)).map((each) => expect.objectContaining({ id: each.id })),
      );
      expect(await names('', { as: 'limited' })).toEqual([]);
      const [revoked] = await all(`/secrets?domain=${INVENTORY}&status=revoked`);
      expect(revoked).toMatchObject({
        applicationId,
        applicationName: 'The Shop',
        clientId: 'shop',
        domainId: INVENTORY,
        revocationReason: 'keyCompromise',
        createdBy: { type: 'token', id: 'admin' },
        revokedBy: { type: 'token', id: 'admin' },
        revokedAt: expect.any(String),
      });
    });

    it('rejects a cursor from a different sort order', async () => {
      const { next } = await done('GET', `/secrets?domain=${INVENTORY}&limit=1&sort=description`);
      const answer = await ask(
        'GET',
        `/secrets?domain=${INVENTORY}&limit=1&sort=createdAt&after=${encodeURIComponent(next)}`,
      );
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request', field: 'after' } });
    });
  });

  describe('the history', () => {
    let id: string;
    let path: string;
    let applicationId: string;
    let value: string;
    const between: string[] = [];

    beforeAll(async () => {
      id = await domain();
      ({ path, id: applicationId } = await application(id, { clientId: 'past' }));
      const made = await secret(path, { description: 'CI' });
      value = made.secret;
      const pause = async () => {
        between.push(new Date().toISOString());
        await until('the next moment', async () => new Date().toISOString() > (between.at(-1) ?? ''));
      };
      await pause();
      await done('POST', `${made.path}/renew`, { overlap: days(1) }, { as: 'manager' });
      await pause();
      await done('POST', `${made.path}/revoke`, { force: true, reason: 'superseded' });
    });
    const types = (events: Answer['body'][]) => events.map(({ type }) => type);
    const LIFE = ['ApplicationRegistered', 'SecretAdded', 'SecretRenewed', 'SecretRevoked'];

    it('lists the events of an application in pages, with the actor and without verifiers', async () => {
      for (const limit of [1, 3, 200]) expect(types(await all(`${path}/history?limit=${limit}`))).toEqual(LIFE);
      const { text, body } = await ask('GET', `${path}/history`, undefined, { as: 'auditor' });
      expect(text).not.toMatch(/\$argon2/);
      expect(text).not.toContain(value);
      expect(body.items[1].data).toMatchObject({ verifierDigest: expect.any(String) });
      expect(body.items[2].metadata.actor).toEqual({ type: 'token', id: 'manager' });
    });

    it('filters all events by stream, type, actor and time', async () => {
      const stream = `application-${applicationId}`;
      expect(types(await all(`/history?stream=domain-${id}`))).toEqual(['DomainCreated']);
      expect(types(await all(`/history?stream=${stream}&type=SecretRenewed`))).toEqual(['SecretRenewed']);
      expect(types(await all(`/history?stream=${stream}&actor=manager&limit=1`))).toEqual(['SecretRenewed']);
      const [first = '', second = ''] = between;
      expect(types(await all(`/history?stream=${stream}&from=${first}&until=${second}`))).toEqual(['SecretRenewed']);
      const positions = (await all('/history?limit=100')).map(({ position }) => position);
      expect(positions).toEqual([...positions].sort());
      const seen = await all('/history?limit=200', { as: 'limited' });
      expect(new Set(seen.map(({ data }) => data.domainId))).toEqual(new Set([DOMAIN]));
    });

    it('is available as JSON lines', async () => {
      const headers = { accept: 'application/x-ndjson' };
      const { text, headers: answered } = await ask('GET', `${path}/history`, undefined, { headers });
      expect(answered.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
      expect(
        types(
          text
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line)),
        ),
      ).toEqual(LIFE);
      const everything = (await ask('GET', '/history', undefined, { headers })).text.trimEnd().split('\n');
      expect(everything.length).toBe((await all('/history?limit=200')).length);
      const cut = await ask('GET', '/history?after=1', undefined, { headers });
      expect(cut).toMatchObject({ status: 400, body: { field: 'after' } });
    });

    it('shows an application as of any instant', async () => {
      const at = async (asOf: string) => done('GET', `${path}?asOf=${asOf}`, undefined, { as: 'auditor' });
      const [first = '', second = ''] = between;
      expect((await at(first)).secrets).toMatchObject([{ version: 1, status: 'active', authenticates: [1] }]);
      expect((await at(second)).secrets).toMatchObject([{ version: 2, status: 'active', authenticates: [2, 1] }]);
      expect((await at(new Date().toISOString())).secrets).toMatchObject([{ status: 'revoked', authenticates: [] }]);
      expect(await ask('GET', `${path}?asOf=2020-01-01T00:00:00Z`)).toMatchObject({ status: 404 });
    });

    it('verifies as complete and unchanged', async () => {
      const streams = await done('POST', '/history/verify');
      expect(streams).toMatchObject({ broken: [] });
      expect(streams.events).toBe((await all('/history?limit=200')).length);
      const one = await done('POST', '/history/verify', { stream: `application-${applicationId}` }, { as: 'auditor' });
      expect(one).toEqual({ streams: 1, events: 4, broken: [] });
    });
  });

  describe('notifications', () => {
    it('report expiries, are acknowledged once, and are visible only in their domain', async () => {
      const { path } = await application(DOMAIN, { name: 'Noticed' });
      const expiring = await secret(path, { description: 'expiring', expiresIn: days(15) });
      const found = await until('a notice', async () => {
        const notices = await all(`/notifications?domain=${DOMAIN}`);
        return notices.find(({ secretId, channel }) => secretId === expiring.id && channel === 'ui');
      });
      expect(found).toMatchObject({
        threshold: 20,
        version: 1,
        state: 'sent',
        description: 'expiring',
        applicationName: 'Noticed',
      });
      const target = `/notifications/${found.id}`;
      expect((await ask('POST', `${target}/acknowledge`, undefined, { as: 'viewer' })).status).toBe(403);
      const acknowledged = await done('POST', `${target}/acknowledge`, undefined, { as: 'limited' });
      expect(acknowledged).toMatchObject({ state: 'acknowledged', acknowledgedBy: { type: 'token', id: 'limited' } });
      expect(await done('POST', `${target}/acknowledge`)).toEqual(acknowledged);
      expect(await done('POST', `${target}/retry`)).toMatchObject({ state: 'acknowledged' });
      const listed = async (query: string) => (await all(`/notifications?${query}`)).map(({ id }) => id);
      expect(await listed('acknowledged=true&limit=1')).toContain(found.id);
      expect(await listed('acknowledged=false&limit=200')).not.toContain(found.id);
      expect(await done('GET', expiring.path)).toMatchObject({
        lastNotice: { outcome: 'acknowledged', threshold: 20 },
      });
      await ask('DELETE', path);
      expect(await listed('limit=200')).not.toContain(found.id);
      expect((await ask('POST', `${target}/acknowledge`)).body.code).toBe('not_found');
    });

    it('can be sent again after a failure', async () => {
      let broken = true;
      const hook = createServer((request, response) => {
        request.resume();
        response.writeHead(broken ? 400 : 204).end();
      }).listen(0, '127.0.0.1');
      await once(hook, 'listening');
      const folder = temporaryFolder();
      const secretFile = join(folder.path, 'webhook-secret');
      writeFileSync(secretFile, randomUUID(), { mode: 0o600 });
      const hooked = await TestSystem.start({
        env: {
          REKEY_NOTIFICATIONS_CRONEXPRESSION: '* * * * * *',
          REKEY_NOTIFIERS_WEBHOOK_ENABLED: 'true',
          REKEY_NOTIFIERS_WEBHOOK_URL: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/hook`,
          REKEY_NOTIFIERS_WEBHOOK_SECRETFILE: secretFile,
        },
      });
      try {
        await hooked.done('POST', '/domains', { id: DOMAIN, name: 'Acme' });
        const { id } = await hooked.done('POST', `/domains/${DOMAIN}/applications`, { name: 'A' });
        const add = (body: object) =>
          hooked.done('POST', `/domains/${DOMAIN}/applications/${id}/secrets`, { description: randomUUID(), ...body });
        const { id: secretId } = await add({ expiresIn: days(3) });
        const realNow = Date.now.bind(Date);
        let aheadMs = 0;
        jest.spyOn(Date, 'now').mockImplementation(() => realNow() + aheadMs);
        /** Moves time past the minutes between two attempts. The notice of another secret wakes the watcher. */
        const noticed = async (state: string) => {
          const { items } = await hooked.done('GET', '/notifications?limit=200');
          const found = items.find(
            (notice: Answer['body']) =>
              notice.secretId === secretId && notice.channel === 'webhook' && notice.state === state,
          );
          if (found) return found;
          aheadMs += 6 * MINUTE_MS;
          const other = await add({ expiresIn: days(2) });
          await hooked.done('POST', `/domains/${DOMAIN}/applications/${id}/secrets/${other.id}/revoke`, {
            force: true,
          });
        };
        const failed = await until('a failed notice', () => noticed('failed'));
        expect(failed).toMatchObject({ cause: expect.any(String), failedAt: expect.any(String) });
        broken = false;
        await hooked.done('POST', `/notifications/${failed.id}/retry`);
        expect(await until('the notice to be sent', () => noticed('sent'))).toMatchObject({
          id: failed.id,
          recipients: 1,
        });
      } finally {
        await hooked.stop();
        hook.close();
        folder.remove();
      }
    });
  });

  describe('commands', () => {
    it('show their outcome only to their sender, without the secret value', async () => {
      const { path } = await application(DOMAIN);
      const made = await ask('POST', `${path}/secrets`, { description: 'CI' }, { as: 'manager' });
      const target = `/commands/${made.headers.get('rekey-command-id')}`;
      const { text, body } = await ask('GET', target, undefined, { as: 'manager' });
      expect(body).toMatchObject({ status: 'accepted', result: { secretId: made.body.id, version: 1 } });
      expect(body.position).toBe(made.headers.get('rekey-position'));
      expect(text).not.toContain(made.body.secret);
      expect(text).not.toMatch(/sealed|eyJ/);
      for (const as of ['admin', 'limited']) expect((await ask('GET', target, undefined, { as })).status).toBe(404);
    });

    it('show the reason for a rejection', async () => {
      const { path } = await application(DOMAIN);
      await secret(path, { description: 'CI' });
      const key = randomUUID();
      await ask('POST', `${path}/secrets`, { description: 'CI' }, { headers: { 'idempotency-key': key } });
      const id = uuidV5(JSON.stringify(['token', 'admin', key]), 'b1b0c6f2-6d5f-4c55-8a3e-0d5a7e0f4c11');
      expect(await done('GET', `/commands/${id}`)).toMatchObject({
        status: 'rejected',
        error: { code: 'description_taken' },
      });
    });
  });
});
