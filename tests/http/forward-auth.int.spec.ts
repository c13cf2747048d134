import { TestSystem } from '../support/http.testing';
import type { Answer } from '../support/request.testing';

const DOMAIN = 'acme';
const FORWARD = `/domains/${DOMAIN}/forward-auth`;
const LOOPBACK = '127.0.0.1/32';

const basic = (clientId: string, secret: string): string =>
  `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`;

interface Client {
  readonly clientId: string;
  readonly applicationId: string;
  readonly secretId: string;
  readonly secret: string;
}

const client = async (system: TestSystem, clientId: string, body: object = {}): Promise<Client> => {
  const { id: applicationId } = await system.done('POST', `/domains/${DOMAIN}/applications`, { clientId, name: 'A' });
  const { id: secretId, secret } = await system.done(
    'POST',
    `/domains/${DOMAIN}/applications/${applicationId}/secrets`,
    { description: 'CI', ...body },
  );
  return { clientId, applicationId, secretId, secret };
};

describe('forward-auth', () => {
  let system: TestSystem;
  let billing: Client;
  /** Sends the request of a proxy, with the proxy's token unless `headers` replace it. */
  const forward = (authorization: string | undefined, headers: Record<string, string> = {}): Promise<Answer> =>
    system.ask('GET', FORWARD, undefined, {
      as: null,
      headers: {
        'rekey-authorization': `Bearer ${system.token('proxy')}`,
        ...(authorization !== undefined && { authorization }),
        ...headers,
      },
    });

  beforeAll(async () => {
    system = await TestSystem.start({
      env: { REKEY_AUTHENTICATION_FAILURESPERMINUTEMAX: '20' },
      callers: {
        'proxy-elsewhere': { roles: ['authenticator'], domains: ['globex'] },
        'proxy-here': { roles: ['authenticator'], domains: [DOMAIN] },
      },
    });
    await system.done('POST', '/domains', { id: DOMAIN, name: 'Acme' });
    billing = await client(system, 'billing', { expiresAt: '2099-01-01T00:00:00Z' });
  });
  afterAll(() => system.stop());

  it('returns the admitted client in headers and no body', async () => {
    const { status, headers, text } = await forward(basic('billing', billing.secret));
    expect([status, text]).toEqual([204, '']);
    const told = Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-')));
    expect(told).toEqual({
      'x-rekey-domain-id': DOMAIN,
      'x-rekey-client-id': 'billing',
      'x-rekey-application-id': billing.applicationId,
      'x-rekey-secret-id': billing.secretId,
      'x-rekey-secret-version': '1',
      'x-rekey-expires-at': '2099-01-01T00:00:00.000Z',
    });
    expect(headers.get('cache-control')).toBe('no-store');
    expect(JSON.stringify([...headers])).not.toContain(billing.secret);
  });

  it('omits the expiry header when the secret never expires', async () => {
    const { secret } = await client(system, 'endless');
    expect((await forward(basic('endless', secret))).headers.get('x-rekey-expires-at')).toBeNull();
  });

  it('encodes client ids so that two ids never have the same header value', async () => {
    const ids = [' spaced', 'spaced ', 'two words', '100%', 'a,b', 'x=y;z'];
    const told = [];
    for (const id of ids) {
      const { secret } = await client(system, id);
      told.push((await forward(basic(id, secret))).headers.get('x-rekey-client-id'));
    }
    expect(told).toEqual(['%20spaced', 'spaced%20', 'two%20words', '100%25', 'a,b', 'x=y;z']);
  });

  it.each([
    ['no credentials', () => undefined],
    ['a wrong value', () => basic('billing', 'wrong')],
    ['another client', () => basic('nobody', billing.secret)],
    ['a bearer token', () => 'Bearer abc'],
    ['broken base64', () => 'Basic %%%'],
  ])('answers 401 with a challenge to %s', async (_what, authorization) => {
    const { status, headers, body } = await forward(authorization());
    expect([status, body.code]).toEqual([401, 'invalid_client_credentials']);
    expect(headers.get('www-authenticate')).toBe(`Basic realm="${DOMAIN}", charset="UTF-8"`);
    expect([...headers.keys()].filter((name) => name.startsWith('x-rekey'))).toEqual([]);
  });

  it('admits a valid secret after any number of failures from the same address', async () => {
    for (let count = 0; count < 25; count++) await forward(basic('billing', 'wrong'));
    expect((await forward(basic('billing', 'wrong'))).status).toBe(429);
    expect((await forward(basic('billing', billing.secret))).status).toBe(204);
  });

  it('decodes form-encoded credentials (RFC 6749, section 2.3.1)', async () => {
    const { secret } = await client(system, 'two words+1');
    expect((await forward(basic('two+words%2B1', secret))).status).toBe(204);
    expect((await forward(basic('two%20words%2B1', secret))).status).toBe(204);
    expect((await forward(basic('two words+1', secret))).status).toBe(204);
  });

  it("requires the proxy's own token", async () => {
    const good = basic('billing', billing.secret);
    const as = async (token: string) => (await forward(good, { 'rekey-authorization': token })).status;
    expect(await as(`Bearer ${system.token('proxy-here')}`)).toBe(204);
    expect(await as(`bearer ${system.token('admin')}`)).toBe(204);
    expect(await as(`Bearer ${system.token('proxy-elsewhere')}`)).toBe(404);
    expect(await as(`Bearer ${system.token('viewer')}`)).toBe(403);
    for (const token of ['', 'Bearer made-up', system.token('proxy'), good]) expect(await as(token)).toBe(401);
    const none = await system.ask('GET', FORWARD, undefined, { as: null, headers: { authorization: good } });
    expect([none.status, none.body.code, none.headers.get('www-authenticate')]).toEqual([
      401,
      'unauthenticated',
      'Bearer',
    ]);
    const wrongPlace = await system.ask('GET', FORWARD, undefined, { as: 'proxy' });
    expect(wrongPlace.body.code).toBe('unauthenticated');
  });

  it('answers HEAD as GET', async () => {
    const headers = {
      'rekey-authorization': `Bearer ${system.token('proxy')}`,
      authorization: basic('billing', billing.secret),
    };
    const { status, headers: told } = await system.ask('HEAD', FORWARD, undefined, { as: null, headers });
    expect([status, told.get('x-rekey-client-id')]).toEqual([204, 'billing']);
  });

  it('ignores X-Forwarded-For when no proxy is trusted', async () => {
    const office = await client(system, 'office', { allowedCidrs: ['203.0.113.0/24'] });
    const home = await client(system, 'home', { allowedCidrs: ['127.0.0.0/8'] });
    const claim = { 'x-forwarded-for': '203.0.113.9' };
    expect((await forward(basic('office', office.secret), claim)).status).toBe(401);
    expect((await forward(basic('home', home.secret), claim)).status).toBe(204);
  });
});

describe('forward-auth behind trusted proxies', () => {
  let system: TestSystem;
  beforeAll(async () => {
    system = await TestSystem.start({
      env: { REKEY_HTTP_TRUSTEDPROXIES: `${LOOPBACK},10.0.0.0/8`, REKEY_HTTP_FORWARDAUTHFROM: LOOPBACK },
    });
    await system.done('POST', '/domains', { id: DOMAIN, name: 'Acme' });
  });
  afterAll(() => system.stop());

  const forward = (authorization: string, headers: Record<string, string> = {}) =>
    system.ask('GET', FORWARD, undefined, { as: null, headers: { authorization, ...headers } });

  it('identifies the proxy by its connection address, not by a header', async () => {
    const { secret } = await client(system, 'billing');
    expect((await forward(basic('billing', secret))).status).toBe(204);
    expect((await forward(basic('billing', secret), { 'x-forwarded-for': '192.0.2.1' })).status).toBe(204);
    const made = await forward(basic('billing', secret), { 'rekey-authorization': 'Bearer made-up' });
    expect([made.status, made.body.code]).toEqual([401, 'unauthenticated']);
  });

  it('reads X-Forwarded-For from the right, through trusted proxies only', async () => {
    const { secret } = await client(system, 'office', { allowedCidrs: ['203.0.113.0/24', '2001:db8::/32'] });
    const from = async (chain: string) => (await forward(basic('office', secret), { 'x-forwarded-for': chain })).status;
    for (const chain of [
      '203.0.113.9',
      '198.51.100.1, 203.0.113.9',
      'nonsense, 203.0.113.9, 10.1.1.1',
      '2001:db8::7',
      '::ffff:203.0.113.9',
    ])
      expect([chain, await from(chain)]).toEqual([chain, 204]);
    for (const chain of ['203.0.113.9, 198.51.100.1', '203.0.113.9, nonsense', '10.1.1.1', '', '203.0.113.9:4711'])
      expect([chain, await from(chain)]).toEqual([chain, 401]);
  });

  it("shows the client's address in the usage of a secret", async () => {
    const { secret, secretId, applicationId } = await client(system, 'used');
    expect((await forward(basic('used', secret), { 'x-forwarded-for': '203.0.113.77' })).status).toBe(204);
    const target = `/domains/${DOMAIN}/applications/${applicationId}/secrets/${secretId}`;
    const deadline = performance.now() + 20_000;
    for (let seen: Answer['body'] = {}; seen.lastUsedFrom !== '203.0.113.77';) {
      if (performance.now() > deadline) throw new Error('The usage was not recorded in time.');
      seen = await system.done('GET', target);
    }
  });
});
