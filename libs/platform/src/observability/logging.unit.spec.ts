import { composeSecret } from '@rekey/domain';
import fc from 'fast-check';
import type { Logger } from 'pino';
import { inspect } from 'node:util';
import { createLogger } from './logging';

let lines: string[];
let log: Logger;
beforeEach(() => {
  lines = [];
  log = createLogger({ level: 'trace', to: { write: (line) => void lines.push(line) } });
});

const last = (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;
const everything = (): string => lines.join('');

const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => composeSecret('Lookup0001', bytes));
const base64 = (length: number) => fc.stringMatching(new RegExp(`^[A-Za-z0-9+/]{${length}}$`));
const verifiers = fc
  .tuple(base64(22), base64(43))
  .map(([salt, digest]) => `$argon2id$v=19$m=1024,t=1,p=1$${salt}$${digest}`);
const adminTokens = fc.stringMatching(/^[0-9A-Za-z]{43}$/).map((digits) => `rka_${digits}`);
/** Opens a door, and is known by its own shape. */
const telling = fc.oneof(secrets, verifiers, adminTokens);
/** The part of it that nobody can guess. */
const core = (value: string): string => value.slice(-20);

/** What has no text of its own cannot be put into one: pino throws what JavaScript does, and writes nothing. */
const keys = fc.string().filter((key) => key !== 'toString');

class Thing {
  constructor(readonly inner: unknown) {}
}

/** Some value with a text in it, in any place and at any depth. */
const holding = (text: string): fc.Arbitrary<unknown> =>
  fc.letrec<{ any: unknown }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      fc.constant(text),
      fc.tuple(fc.string(), fc.string()).map(([before, after]) => before + text + after),
      fc.constant(Buffer.from(text)),
      fc.constant(new TextEncoder().encode(text)),
      fc.constant([...Buffer.from(text)]),
      fc.constant(new URL(`https://a.example/?q=${text}`)),
      fc.tuple(keys, tie('any')).map(([key, value]) => ({ [key]: value, other: 1 })),
      tie('any').map((value) => ({ [`x ${text} y`]: value })),
      tie('any').map((value) => [1, value, null]),
      tie('any').map((value) => new Thing(value)),
      tie('any').map((value) => ({ toJSON: () => value })),
      tie('any').map((value) => new Map([['key', value]])),
      tie('any').map((value) => Object.assign(new Error(`failed on ${text}`), { input: value })),
      tie('any').map((value) => new Error('outer', { cause: value })),
      tie('any').map((value) => inspect({ value })),
      tie('any').map((value) => {
        const circle: Record<string, unknown> = { value };
        circle['self'] = circle;
        return circle;
      }),
    ),
  })).any;

/** Every way to log a value. */
const ways: readonly ((value: unknown) => void)[] = [
  (value) => log.info({ value }, 'message'),
  (value) => log.info(value as object),
  (value) => log.info({ err: value }),
  (value) => log.error({ err: new Error('x', { cause: value }) }, 'message'),
  (value) => (log as unknown as { warn(...parts: unknown[]): void }).warn('a %s and %j and %o', value, value, value),
  (value) => log.child({ value }).info('message'),
  (value) =>
    log
      .child({ a: 1 })
      .child({ deep: { value } }, { msgPrefix: `${inspect(value)} ` })
      .info('message'),
  (value) => log.child({ value }, { serializers: { value: (each: unknown) => each }, redact: [] }).info({ value }, 'x'),
  (value) => {
    const child = log.child({});
    child.setBindings({ value });
    child.info('message');
  },
];

describe('a secret', () => {
  it('is not logged, wherever it is in the arguments', () => {
    fc.assert(
      fc.property(
        telling.chain((text) => fc.tuple(fc.constant(text), holding(text))),
        fc.constantFrom(...ways),
        ([text, value], way) => {
          way(value);
          expect(everything()).not.toContain(core(text));
          expect(lines.every((line) => JSON.parse(line) && line.endsWith('}\n'))).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is not logged from a field with a sensitive name, at any depth and in any form', () => {
    const names = [
      'authorization',
      'Authorization',
      'rekey-authorization',
      'proxy-authorization',
      'cookie',
      'Set-Cookie',
      'secret',
      'clientSecret',
      'client_secret',
      'CLIENT_SECRET',
      'verifier',
      'password',
      'passwordHash'.slice(0, 8),
      'token',
      'accessToken',
      'refresh_token',
      'sealedSecret',
      'sealedValue',
      'pepper',
      'apiKey',
      'x-api-key',
      'privateKey',
      'indexKey',
      'credentials',
      'secrets',
      'tokens',
    ];
    const value = fc.stringMatching(/^[a-z ]{24}$/).filter((text) => text.trim().length > 20);
    const wrapped = (inner: unknown, depth: number): unknown =>
      depth === 0 ? inner : { level: 1, list: [wrapped(inner, depth - 1)] };
    fc.assert(
      fc.property(fc.constantFrom(...names), value, fc.nat(6), fc.nat(2), (name, text, depth, shape) => {
        const held = [text, [text], { inner: text }][shape];
        log.info(wrapped({ [name]: held }, depth) as object, 'message');
        log.child(wrapped({ [name]: held }, depth) as object).info('message');
        expect(everything()).not.toContain(text);
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    ['a body of JSON', 'body {"clientId":"a","clientSecret":"foreign value"} refused', /foreign|value"/],
    ['JSON inside of JSON', JSON.stringify({ body: JSON.stringify({ password: 'foreign value' }) }), /foreign/],
    ['a form', 'grant_type=client_credentials&client_secret=foreign%20value&x=1', /foreign/],
    ['a header', 'GET / Authorization: Basic Zm9yZWlnbjp2YWx1ZQ==', /Zm9y/],
    ['a bearer token', 'sent Bearer abcdefghijklmnop', /abcdefgh/],
    ['a JWT', 'got eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl', /eyJ|c2ln/],
    ['a user name and password in a URL', 'GET https://user:foreign@host/path', /foreign/],
    ['the first half of a secret', 'rky_Lookup0001_abcdefghij', /abcdefghij/],
    ['a verifier without its head', 'v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2g', /c2Fs|aGFz/],
  ])('is not logged from a text with %s', (_name, text, part) => {
    log.info(text);
    log.info({ err: new Error(text) }, 'x %s', text);
    expect(everything()).not.toMatch(part);
  });

  it('is not logged from a field called __proto__', () => {
    log.info(JSON.parse('{"a":{"__proto__":{"password":"foreign value"}}}') as object);
    expect(everything()).toContain('"__proto__":{"password":"[redacted]"}');
  });

  it('is not logged from a private JWK', () => {
    log.info({ jwk: { kty: 'EC', crv: 'P-256', x: 'public', d: 'privatepart' } });
    expect(last()['jwk']).toEqual({ kty: 'EC', crv: 'P-256', x: 'public', d: '[redacted]' });
  });
});

describe('what is not secret', () => {
  it('is logged unchanged', () => {
    const fields = {
      correlationId: '4a1c',
      secretId: 'b7',
      lookupId: 'Lookup0001',
      hint: 'aB3x',
      secrets: 3,
      clientId: 'shop',
      type: 'token',
      thresholds: [20, 15, 10],
      nested: [{ token: null, secret: true }],
      expiresAt: '2027-01-31T00:00:00.000Z',
    };
    log.info(fields, 'A secret cannot begin with rky_.');
    expect(last()).toMatchObject({ ...fields, level: 'info', msg: 'A secret cannot begin with rky_.' });
  });

  it('includes errors with their causes', () => {
    log.error({ err: new Error('outer', { cause: new Error('the disk is full') }) }, 'failed');
    expect(last()).toMatchObject({ msg: 'failed', err: { type: 'Error', message: 'outer: the disk is full' } });
  });

  it('is logged with level and time, one JSON object per line', () => {
    log.warn('careful\nnow');
    expect(lines).toHaveLength(1);
    expect(last()).toEqual({ level: 'warn', time: expect.stringMatching(/^\d{4}-.*Z$/), msg: 'careful\nnow' });
  });
});

it('does not log below its level', () => {
  const quiet = createLogger({ level: 'warn', to: { write: (line) => void lines.push(line) } });
  quiet.info('nothing');
  quiet.warn('something');
  expect(lines).toHaveLength(1);
});
