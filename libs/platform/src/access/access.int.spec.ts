import { RekeyError, type Caller } from '@rekey/contracts';
import { ManualClock } from '@rekey/ports';
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK, type JWTPayload } from 'jose';
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Access, type StaticToken } from './access';
import type { OidcOptions } from './oidc';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const NOW_MS = Date.parse('2027-01-01T00:00:00.000Z');
const NOW_SECONDS = NOW_MS / 1_000;
const HOUR_SECONDS = 3_600;

const token = (name: string, text: string, more: Partial<StaticToken> = {}): StaticToken => ({
  name,
  sha256: sha256(text),
  roles: ['viewer'],
  domains: [],
  ...more,
});

const refused = (code: string) => expect.objectContaining({ code });
const who = async (access: Access, header: string | undefined): Promise<Caller> => access.authenticate(header);

describe('static tokens', () => {
  const clock = new ManualClock(NOW_MS);
  const access = new Access({
    tokens: [
      token('reader', 'token-of-reader'),
      token('proxy', 'a.b.c', { roles: ['authenticator'], domains: ['shop'] }),
    ],
    clock,
  });

  it('authenticate their caller synchronously', () => {
    expect(access.authenticate('Bearer token-of-reader')).toEqual({
      type: 'token',
      name: 'reader',
      roles: ['viewer'],
      domains: [],
    });
    expect(access.authenticate('bearer  a.b.c ')).toMatchObject({ name: 'proxy', domains: ['shop'] });
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'token-of-reader',
    'Basic token-of-reader',
    'Bearer token-of-reade',
    'Bearer token-of-reader2',
    'Bearer token of reader',
    'Bearer token-of-reader, Bearer x',
    'Bearer TOKEN-OF-READER',
    `Bearer ${sha256('token-of-reader')}`,
    'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.',
    `Bearer ${'x'.repeat(100_000)}`,
  ])('are refused as %j', async (header) => {
    await expect(async () => who(access, header)).rejects.toEqual(refused('unauthenticated'));
  });

  it('are not quoted in the error', () => {
    expect(() => access.authenticate('Bearer hunter2-marker')).toThrow(RekeyError);
    expect(() => access.authenticate('Bearer hunter2-marker')).not.toThrow(/hunter2/);
  });

  it('must have different names and digests', () => {
    const make = (...tokens: StaticToken[]) => new Access({ tokens, clock });
    expect(() => make(token('a', 'x'), token('a', 'y'))).toThrow('The access token a is a duplicate');
    expect(() => make(token('a', 'x'), token('b', 'x'))).toThrow('The access token b is a duplicate');
  });
});

/** A small OpenID Connect issuer. */
class Issuer {
  readonly server: Server;
  fetches: string[] = [];
  keys: JWK[] = [];
  status = 200;
  metadata: (issuer: string) => unknown = (issuer) => ({ issuer, jwks_uri: `${issuer}/keys` });
  url = '';

  constructor() {
    this.server = createServer((request, response) => {
      this.fetches.push(request.url ?? '');
      const body = request.url === '/keys' ? { keys: this.keys } : this.metadata(this.url);
      response.writeHead(this.status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  }

  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async key(kid: string, alg = 'ES256'): Promise<CryptoKey> {
    const pair = await generateKeyPair(alg, { extractable: true });
    this.keys = [...this.keys, { ...(await exportJWK(pair.publicKey)), kid, alg, use: 'sig' }];
    return pair.privateKey;
  }
}

describe('JWTs of an OIDC issuer', () => {
  let issuer: Issuer;
  let clock: ManualClock;
  let key: CryptoKey;

  beforeEach(async () => {
    issuer = new Issuer();
    await issuer.listen();
    clock = new ManualClock(NOW_MS);
    key = await issuer.key('k1');
  });
  afterEach(() => issuer.close());

  const access = (more: Partial<OidcOptions> = {}): Access =>
    new Access({
      tokens: [],
      clock,
      oidc: { issuer: issuer.url, audience: 'rekey', rolesClaim: 'roles', roleMap: {}, ...more },
    });

  const claims = (more: JWTPayload = {}): JWTPayload => ({
    iss: issuer.url,
    aud: 'rekey',
    sub: 'alice',
    exp: NOW_SECONDS + HOUR_SECONDS,
    roles: ['viewer'],
    ...more,
  });

  const signed = async (payload: JWTPayload, by = key, header: Record<string, string> = {}): Promise<string> =>
    `Bearer ${await new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: 'k1', ...header }).sign(by)}`;

  it('authenticate their caller with the roles of the claim', async () => {
    const header = await signed(claims({ roles: ['viewer', 'auditor', 'viewer', 'something else', 7] }));
    expect(await who(access(), header)).toEqual({
      type: 'user',
      name: 'alice',
      roles: ['viewer', 'auditor'],
      domains: [],
    });
  });

  it.each(['RS256', 'PS256', 'ES384', 'EdDSA'])('may be signed with %s', async (alg) => {
    const other = await issuer.key('k2', alg);
    expect(await who(access(), await signed(claims(), other, { alg, kid: 'k2' }))).toMatchObject({ name: 'alice' });
  });

  it.each([
    ['of a nested claim', { realm: { roles: ['manager'] } }, { rolesClaim: 'realm.roles' }, ['manager']],
    [
      'of a claim with dots in its name',
      { 'https://a.b/roles': ['manager'] },
      { rolesClaim: 'https://a.b/roles' },
      ['manager'],
    ],
    ['of a text with spaces', { scope: 'openid viewer' }, { rolesClaim: 'scope' }, ['viewer']],
    [
      'that a map gives',
      { groups: ['staff', 'admin'] },
      { rolesClaim: 'groups', roleMap: { staff: 'auditor' } },
      ['auditor'],
    ],
    ['none where the claim is missing', {}, { rolesClaim: 'nothing.there' }, []],
    ['none where the claim is no list', { roles: { admin: true } }, {}, []],
    ['none by names of objects', { roles: ['constructor', '__proto__'] }, { roleMap: { staff: 'admin' } }, []],
  ] as const)('have roles %s', async (_name, more, options, roles) => {
    const payload = claims({ roles: undefined, ...(more as JWTPayload) });
    expect((await who(access(options as Partial<OidcOptions>), await signed(payload))).roles).toEqual(roles);
  });

  it('limit their caller to the domains of the claim', async () => {
    const limited = access({ domainsClaim: 'domains' });
    expect((await who(limited, await signed(claims({ domains: ['shop', 'bank'] })))).domains).toEqual(['shop', 'bank']);
    expect((await who(limited, await signed(claims({ domains: 'shop' })))).domains).toEqual(['shop']);
    expect((await who(limited, await signed(claims({ domains: ['*'] })))).domains).toEqual([]);
  });

  it.each([undefined, [], '', {}, [7]])(
    'open no domain at all where the domains must be named and are %j',
    async (domains) => {
      const header = await signed(claims({ domains }));
      await expect(who(access({ domainsClaim: 'domains' }), header)).rejects.toEqual(refused('forbidden'));
    },
  );

  it.each([
    ['another issuer', { iss: 'https://other.example' }],
    ['another audience', { aud: 'other' }],
    ['no audience', { aud: undefined }],
    ['no expiry', { exp: undefined }],
    ['an expiry in the past', { exp: NOW_SECONDS - 31 }],
    ['a begin in the future', { nbf: NOW_SECONDS + 60 }],
    ['no subject', { sub: undefined }],
    ['an endless subject', { sub: 'x'.repeat(256) }],
    ['an empty subject', { sub: '' }],
  ])('are refused with %s', async (_name, more) => {
    await expect(who(access(), await signed(claims(more as JWTPayload)))).rejects.toEqual(refused('unauthenticated'));
  });

  it('may have several audiences', async () => {
    expect(await who(access(), await signed(claims({ aud: ['other', 'rekey'] })))).toMatchObject({ name: 'alice' });
  });

  it('are refused when they were signed with another key, altered, not signed, or signed with a shared secret', async () => {
    const stranger = (await generateKeyPair('ES256')).privateKey;
    const good = await signed(claims());
    const [head, body, signature] = good.slice('Bearer '.length).split('.');
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const shared = new TextEncoder().encode(JSON.stringify(issuer.keys[0]));
    const forged = await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: 'k1' }).sign(shared);
    const bad = [
      await signed(claims(), stranger),
      await signed(claims(), stranger, { kid: 'unknown' }),
      `Bearer ${head}.${encoded(claims({ roles: ['admin'] }))}.${signature}`,
      `Bearer ${head}.${body}.`,
      `Bearer ${encoded({ alg: 'none' })}.${body}.`,
      `Bearer ${encoded({ alg: 'none', kid: 'k1' })}.${body}.${signature}`,
      `Bearer ${forged}`,
    ];
    const checked = access();
    for (const header of bad) await expect(who(checked, header)).rejects.toEqual(refused('unauthenticated'));
    expect(await who(checked, good)).toMatchObject({ name: 'alice' });
  });

  it('do not cause fetches if they are invalid whatever the keys', async () => {
    const checked = access();
    const headers = [
      'Bearer a.b.c',
      'Bearer opaque',
      await signed(claims({ iss: 'https://other.example' })),
      await signed(claims({ exp: NOW_SECONDS - 60 })),
    ];
    for (const header of headers) await expect(who(checked, header)).rejects.toEqual(refused('unauthenticated'));
    expect(issuer.fetches).toEqual([]);
  });

  it('fetch the keys once for concurrent callers, and again for a new key', async () => {
    const checked = access();
    const headers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => signed(claims({ sub: `user-${index}` }))),
    );
    await Promise.all(headers.map((header) => who(checked, header)));
    expect(issuer.fetches).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  it('are cached for a minute, but expire on time', async () => {
    const checked = access();
    const long = await signed(claims());
    const short = await signed(claims({ sub: 'bob', exp: NOW_SECONDS + 10 }));
    await who(checked, long);
    await who(checked, short);
    expect(checked.authenticate(long)).not.toBeInstanceOf(Promise);
    clock.advance(10_000 + 30_000);
    expect(checked.authenticate(long)).not.toBeInstanceOf(Promise);
    await expect(who(checked, short)).rejects.toEqual(refused('unauthenticated'));
    clock.advance(20_000);
    expect(checked.authenticate(long)).toBeInstanceOf(Promise);
    expect(await who(checked, long)).toMatchObject({ name: 'alice' });
  });

  it.each([
    ['answers with an error', () => (issuer.status = 500)],
    ['redirects', () => (issuer.status = 302)],
    [
      'calls itself something else',
      () => (issuer.metadata = () => ({ issuer: 'https://other.example', jwks_uri: `${issuer.url}/keys` })),
    ],
    ['does not name its keys', () => (issuer.metadata = () => ({ issuer: issuer.url }))],
    [
      'names a file as its keys',
      () => (issuer.metadata = () => ({ issuer: issuer.url, jwks_uri: 'file:///etc/passwd' })),
    ],
    ['has no key set there', () => (issuer.keys = 'none' as unknown as JWK[])],
  ])('throw unavailable while the issuer %s', async (_name, spoil) => {
    const checked = access();
    const header = await signed(claims());
    const { status, metadata, keys } = issuer;
    spoil();
    await expect(who(checked, header)).rejects.toEqual(refused('unavailable'));
    Object.assign(issuer, { status, metadata, keys });
    expect(await who(checked, header)).toMatchObject({ name: 'alice' });
  });

  it('throw unavailable while the issuer is down, and authenticate once it is back', async () => {
    const checked = access();
    const header = await signed(claims());
    const port = Number(new URL(issuer.url).port);
    await issuer.close();
    await expect(who(checked, header)).rejects.toEqual(refused('unavailable'));
    const back = new Issuer();
    back.keys = issuer.keys;
    await back.listen(port);
    issuer = back;
    expect(await who(checked, header)).toMatchObject({ name: 'alice' });
  });

  it('are verified with known keys while the issuer is down', async () => {
    const checked = access();
    await who(checked, await signed(claims()));
    await issuer.close();
    expect(await who(checked, await signed(claims({ sub: 'bob' })))).toMatchObject({ name: 'bob' });
    await issuer.listen();
  });

  it('may have an issuer with a path', async () => {
    issuer.metadata = () => ({ issuer: `${issuer.url}/realms/staff`, jwks_uri: `${issuer.url}/keys` });
    const header = await signed(claims({ iss: `${issuer.url}/realms/staff` }));
    expect(await who(access({ issuer: `${issuer.url}/realms/staff` }), header)).toMatchObject({ name: 'alice' });
    expect(issuer.fetches[0]).toBe('/realms/staff/.well-known/openid-configuration');
  });
});
