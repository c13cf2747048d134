import { RekeyError, type Caller } from '@rekey/contracts';
import { ManualClock, type CommandRecord, type CommandRequest } from '@rekey/ports';
import { signingKeys } from '@rekey/testing';
import { SignJWT, base64url, decodeJwt, decodeProtectedHeader, importJWK, type JWK, type JWTPayload } from 'jose';
import { createHash } from 'node:crypto';
import { CommandTokens, commandSigner, routeHash, valueHash, type ServiceSender } from './command-tokens';
import type { SigningKeys } from '../keys/keys';

const AUDIENCE = 'rekey';
const NOW_MS = Date.parse('2026-12-01T09:00:00.400Z');
const NOW = Math.floor(NOW_MS / 1_000);
const ID = '6f1a9b52-6d0f-4f6e-9a61-0d6c3b9d5a10';
const FOREIGN_ID = '0b8c2a3e-9f62-5a0e-8d8f-4f2f6a1b9c33';

const gateway = signingKeys();
const billing = signingKeys();
const billingNext = signingKeys('ES256');

const senders: ServiceSender[] = [
  {
    name: 'gateway',
    publicJwks: { keys: [gateway.publicKey] },
    roles: ['admin', 'manager'],
    domains: [],
    mayActFor: true,
  },
  {
    name: 'billing',
    publicJwks: { keys: [billing.publicKey, billingNext.publicKey] },
    roles: ['manager'],
    domains: ['shop', 'depot'],
    mayActFor: false,
  },
  {
    name: 'portal',
    publicJwks: { keys: [billing.publicKey] },
    roles: ['viewer', 'manager'],
    domains: ['shop', 'depot'],
    mayActFor: true,
  },
];
const tokens = new CommandTokens(senders, AUDIENCE);
const clock = new ManualClock(NOW_MS);

const bytes = (text: string): Buffer => Buffer.from(text);
const record: CommandRecord = {
  value: bytes('{"id":"…"}'),
  key: bytes('shop'),
  replyTopic: bytes('rekey.commands.reply'),
  replyPartition: Buffer.from([0, 0, 0, 3]),
  correlationId: bytes('c-1'),
};
const user: Caller = { type: 'user', name: 'a:b ü', roles: ['manager'], domains: ['shop'] };
const itself: Caller = { type: 'service', name: 'billing', roles: ['manager'], domains: ['shop', 'depot'] };
const requestOf = (caller: Caller, correlationId = 'trace-1'): CommandRequest => ({
  command: { id: ID, type: 'DeleteDomain', data: { domainId: 'shop' } },
  caller,
  correlationId,
});
const asGateway = commandSigner({ name: 'gateway', privateKey: gateway.privateKey, audience: AUDIENCE, clock });
const asBilling = commandSigner({ name: 'billing', privateKey: billing.privateKey, audience: AUDIENCE, clock });

/** A token with claims and a header of a test's own. */
const signed = async (claims: JWTPayload, { privateKey }: SigningKeys = billing, header = {}): Promise<string> => {
  const { alg = '', kid } = privateKey;
  const own = {
    iss: 'billing',
    aud: AUDIENCE,
    jti: ID,
    iat: NOW,
    exp: NOW + 60,
    bh: valueHash(record),
    rh: routeHash(record),
  };
  const jwt = new SignJWT({ ...own, ...claims }).setProtectedHeader({ alg, kid: String(kid), ...header });
  return `Bearer ${await jwt.sign(await importJWK(privateKey, alg))}`;
};
const verify = (authorization: string | undefined, of = record, id = ID, at = NOW_MS) =>
  tokens.verify(authorization, of, id, at);
const refusalOf = async (work: Promise<unknown>): Promise<unknown> => {
  const outcome: unknown = await work.catch((error: unknown) => error);
  return outcome instanceof RekeyError ? { code: outcome.code, message: outcome.message } : outcome;
};
const UNAUTHENTICATED = { code: 'unauthenticated', message: 'The command has no valid token of a known sender.' };

describe('the token of a command', () => {
  it('names the caller that its sender acts for, and the correlation id', async () => {
    const known = await verify(await asGateway(requestOf(user), record));
    expect(known).toEqual({ caller: user, fresh: true, correlationId: 'trace-1' });
  });

  it('names the sender itself if it has no sub', async () => {
    const authorization = await asBilling(requestOf(itself), record);
    expect(await verify(authorization)).toEqual({ caller: itself, fresh: true, correlationId: 'trace-1' });
    expect(decodeJwt(authorization.slice(7))).toEqual({
      iss: 'billing',
      aud: AUDIENCE,
      jti: ID,
      iat: NOW,
      exp: NOW + 120,
      cid: 'trace-1',
      bh: createHash('sha256').update(record.value).digest('base64url'),
      rh: routeHash(record),
    });
    expect(decodeProtectedHeader(authorization.slice(7))).toEqual({ alg: 'EdDSA', kid: billing.publicKey.kid });
  });

  it('verifies with each key of a sender, EdDSA or ES256', async () => {
    for (const keys of [billing, billingNext])
      expect(await verify(await signed({}, keys))).toMatchObject({ fresh: true });
  });

  it('covers the lengths of the parts, so that bytes cannot move between parts', () => {
    const part = (text: string): string => `${text.length.toString(16).padStart(8, '0')}${bytes(text).toString('hex')}`;
    const absent = 'ffffffff';
    const expected = (...parts: string[]): string =>
      createHash('sha256')
        .update(Buffer.from(parts.join(''), 'hex'))
        .digest('base64url');
    const value = bytes('v');
    expect(routeHash({ value })).toBe(expected(absent, absent, absent, absent));
    expect(routeHash({ value, key: bytes('ab'), replyPartition: bytes('') })).toBe(
      expected(part('ab'), absent, part(''), absent),
    );
    expect(routeHash({ value, key: bytes('a'), replyTopic: bytes('b') })).not.toBe(
      routeHash({ value, key: bytes('ab') }),
    );
  });

  it.each<[string, Partial<CommandRecord>]>([
    ['value', { value: bytes('{"id":"…" }') }],
    ['key', { key: bytes('depot') }],
    ['reply topic', { replyTopic: bytes('rekey.replies.x') }],
    ['reply topic taken away', { replyTopic: undefined }],
    ['reply partition', { replyPartition: bytes('3') }],
    ['correlation id', { correlationId: bytes('c-2') }],
  ])('is not valid for another %s', async (_, other) => {
    const authorization = await signed({});
    expect(await refusalOf(verify(authorization, { ...record, ...other }))).toEqual(UNAUTHENTICATED);
    expect(await verify(authorization)).toMatchObject({ fresh: true });
  });

  it.each<[string, () => Promise<string | undefined>]>([
    ['that is missing', async () => undefined],
    ['without a scheme', async () => (await signed({})).slice(7)],
    ['that is none', async () => 'Bearer a.b.c'],
    ['for another command', () => signed({ jti: FOREIGN_ID })],
    ['for another audience', () => signed({ aud: 'other' })],
    ['without an audience', () => signed({ aud: undefined as never })],
    ['of an unknown sender', () => signed({ iss: 'nobody' })],
    ['of another sender than the key’s', () => signed({ iss: 'gateway' })],
    ['with an unknown kid', () => signed({}, billing, { kid: 'x' })],
    ['with the kid of another key', () => signed({}, billing, { kid: billingNext.publicKey.kid })],
    ['without a kid', () => signed({}, billing, { kid: undefined })],
    [
      'by a key of nobody',
      () =>
        signed(
          {},
          {
            ...billing,
            privateKey: { ...signingKeys().privateKey, kid: String(billing.publicKey.kid) },
          },
        ),
    ],
    ['that lives longer than 5 minutes', () => signed({ exp: NOW + 301 })],
    ['that ends before it begins', () => signed({ iat: NOW, exp: NOW - 1 })],
    ['without an end', () => signed({ exp: undefined as never })],
    ['without hashes', () => signed({ bh: undefined, rh: undefined })],
    ['with a role that is none', () => signed({ sub: 'user:x', roles: ['root'], domains: [] })],
    [
      'of the algorithm none',
      async () => `Bearer ${base64url.encode('{"alg":"none","kid":"x"}')}.${(await signed({})).split('.')[1]}.x`,
    ],
    [
      'with half a surrogate pair in a name',
      () => signed({ iss: 'portal', sub: 'user:\ud800', roles: [], domains: [] }),
    ],
    ['longer than any', async () => `Bearer ${'a'.repeat(70_000)}.b.c`],
  ])('is refused %s, without a reason', async (_, made) => {
    expect(await refusalOf(verify(await made()))).toEqual(UNAUTHENTICATED);
  });

  it('is refused if it is signed with a public key as a shared secret', async () => {
    const secret = new TextEncoder().encode(JSON.stringify(billing.publicKey));
    const claims = decodeJwt((await signed({})).slice(7));
    const kid = String(billing.publicKey.kid);
    const forged = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid }).sign(secret);
    expect(await refusalOf(verify(`Bearer ${forged}`))).toEqual(UNAUTHENTICATED);
  });

  it.each<[string, JWTPayload, number, boolean]>([
    ['at its end and 30 s', {}, 90_000, true],
    ['after that', {}, 91_001, false],
    ['30 s before its beginning', {}, -30_000, true],
    ['before that', {}, -31_001, false],
    ['before it is valid', { nbf: NOW + 50 }, 19_000, false],
    ['from when it is valid', { nbf: NOW + 50 }, 20_000, true],
  ])('of a record %s is verified, and fresh or not', async (_, claims, afterMs, fresh) => {
    expect(await verify(await signed(claims), record, ID, NOW * 1_000 + afterMs)).toMatchObject({ fresh });
  });
});

describe('a sender that acts for others', () => {
  const actor = (claims: JWTPayload) => signed({ iss: 'portal', ...claims }).then((token) => verify(token));

  it('grants only roles of its own', async () => {
    const { caller } = await actor({ sub: 'token:ci', roles: ['admin', 'manager', 'auditor'], domains: ['shop', 'x'] });
    expect(caller).toEqual({ type: 'token', name: 'ci', roles: ['manager'], domains: ['shop'] });
  });

  it('grants its own domains to a caller with all', async () => {
    const { caller } = await actor({ sub: 'system:watcher', roles: ['manager'], domains: [] });
    expect(caller).toEqual({ type: 'system', name: 'watcher', roles: ['manager'], domains: ['shop', 'depot'] });
  });

  it('is refused if it has no domain in common with the caller', async () => {
    expect(await refusalOf(actor({ sub: 'token:ci', roles: ['manager'], domains: ['elsewhere'] }))).toMatchObject({
      code: 'forbidden',
    });
  });

  it.each<[string, JWTPayload]>([
    ['a sub alone', { sub: 'token:ci' }],
    ['no sub', { roles: ['manager'], domains: [] }],
    ['no domains', { sub: 'token:ci', roles: ['manager'] }],
    ['a sub without a type', { sub: 'ci', roles: [], domains: [] }],
    ['a service', { sub: 'service:billing', roles: ['manager'], domains: [] }],
    ['no name', { sub: 'user:', roles: [], domains: [] }],
  ])('is refused with %s', async (_, claims) => {
    expect(await refusalOf(actor(claims))).toEqual(UNAUTHENTICATED);
  });

  it('needs mayActFor', async () => {
    for (const claims of [{ sub: 'token:ci' }, { roles: ['manager'] }, { domains: ['shop'] }])
      expect(await refusalOf(signed(claims).then((token) => verify(token)))).toMatchObject({ code: 'forbidden' });
  });
});

describe('keys', () => {
  const sender = (...keys: JWK[]): ServiceSender => ({ ...(senders[1] as ServiceSender), publicJwks: { keys } });
  const { publicKey, privateKey } = billing;

  it.each<[string, ServiceSender[]]>([
    ['a private key', [sender(privateKey)]],
    ['a key without a kid', [sender({ ...publicKey, kid: undefined } as never)]],
    ['two keys of one kid', [sender(publicKey, publicKey)]],
    ['a key for sealing', [sender({ ...publicKey, use: 'enc' })]],
    ['a key for another algorithm', [sender({ ...publicKey, alg: 'ES256' })]],
    ['a shared secret', [sender({ kty: 'oct', k: 'c2VjcmV0', kid: 'x' })]],
    ['something else', [sender({ kid: 'x' })]],
    ['one name twice', [sender(publicKey), sender(publicKey)]],
  ])('stop the start with the sender’s name where there is %s', (_, wrong) => {
    expect(() => new CommandTokens(wrong, AUDIENCE)).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { field: 'access.services.billing' } }),
    );
  });

  it('to sign with must be private and have a kid', () => {
    const options = { name: 'billing', audience: AUDIENCE, clock };
    for (const key of [publicKey, { ...privateKey, kid: undefined } as never, { kty: 'EC' }])
      expect(() => commandSigner({ ...options, privateKey: key })).toThrow('private JWK with a kid');
  });
});
