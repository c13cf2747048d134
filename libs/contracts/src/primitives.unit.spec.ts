import { DURATION_UNITS } from '@rekey/domain';
import fc from 'fast-check';
import type { z } from 'zod';
import {
  allowedCidrsSchema,
  applicationIdSchema,
  applicationPolicySchema,
  cidrSchema,
  clientIdSchema,
  commandIdSchema,
  contactsSchema,
  descriptionSchema,
  domainIdSchema,
  domainPolicySchema,
  durationSchema,
  instantSchema,
  nameSchema,
  recipientKeySchema,
  secretIdSchema,
} from './primitives';

/** What a schema makes of input, or `refused`. */
const read = (schema: z.ZodType, input: unknown): unknown => {
  const result = schema.safeParse(input);
  return result.success ? result.data : 'refused';
};

describe('an instant', () => {
  it.each([
    ['2027-01-31T00:00:00Z', '2027-01-31T00:00:00.000Z'],
    ['2027-01-31T00:00:00.5Z', '2027-01-31T00:00:00.500Z'],
    ['2027-01-31T00:00:00.1239999Z', '2027-01-31T00:00:00.123Z'],
    [`2027-01-31T00:00:00.${'9'.repeat(10_000)}Z`, '2027-01-31T00:00:00.999Z'],
    ['2028-02-29T23:59:59Z', '2028-02-29T23:59:59.000Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
  ])('%.40s becomes %s', (text, instant) => expect(read(instantSchema, text)).toBe(instant));

  it.each([
    ['no time', '2027-01-31'],
    ['no zone', '2027-01-31T00:00:00'],
    ['another zone', '2027-01-31T00:00:00+01:00'],
    ['a day that there is not', '2027-02-29T00:00:00Z'],
    ['a month that there is not', '2027-13-01T00:00:00Z'],
    ['an hour that there is not', '2027-01-31T24:00:00Z'],
    ['a leap second', '2016-12-31T23:59:60Z'],
    ['a year of five digits', '10000-01-01T00:00:00Z'],
    ['a signed year', '+012027-01-31T00:00:00Z'],
    ['a space', ' 2027-01-31T00:00:00Z'],
    ['milliseconds since 1970', 1_800_000_000_000],
    ['null', null],
    ['a Date', new Date(0)],
  ])('is not: %s', (_, input) => expect(read(instantSchema, input)).toBe('refused'));

  it('never throws, and accepted instants sort by time', () =>
    fc.assert(
      fc.property(
        fc.stringMatching(/^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]+)?Z$/),
        (text) => {
          const instant = read(instantSchema, text);
          if (instant === 'refused') return;
          expect(instant).toHaveLength(24);
          expect(new Date(String(instant)).toISOString()).toBe(instant);
        },
      ),
    ));
});

describe('a duration', () => {
  it('is kept as it was written', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), fc.constantFrom(...DURATION_UNITS), (amount, unit) => {
        expect(read(durationSchema, { amount, unit })).toEqual({ amount, unit });
      }),
    ));

  it.each([
    { amount: 0, unit: 'days' },
    { amount: -1, unit: 'days' },
    { amount: 1.5, unit: 'days' },
    { amount: 1_000_000_001, unit: 'days' },
    { amount: '1', unit: 'days' },
    { amount: NaN, unit: 'days' },
    { amount: 1, unit: 'day' },
    { amount: 1, unit: 'milliseconds' },
    { amount: 1, unit: 'days', more: 1 },
    { amount: 1 },
    { unit: 'days' },
    'P3M',
    90,
    null,
  ])('is not: %j', (input) => expect(read(durationSchema, input)).toBe('refused'));
});

describe('ids', () => {
  const schemas = [applicationIdSchema, secretIdSchema, commandIdSchema];

  it.each([
    '5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21',
    '5acde966-650c-5ff2-8657-03ac4959c380',
    '01890a5d-ac96-774b-bcce-b302099a8057',
  ])('are UUIDs: %s', (id) => schemas.forEach((schema) => expect(read(schema, id)).toBe(id)));

  it.each([
    ['upper case', '5A6F0F0E-3C57-4C1F-9A53-7F1F6F0C8D21'],
    ['braces', '{5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21}'],
    ['an URN', 'urn:uuid:5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21'],
    ['no hyphens', '5a6f0f0e3c574c1f9a537f1f6f0c8d21'],
    ['another variant', '5a6f0f0e-3c57-4c1f-1a53-7f1f6f0c8d21'],
    ['a line end', '5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21\n'],
    ['nothing', ''],
    ['a path', '../5a6f0f0e-3c57-4c1f-9a53-7f1f6f0c8d21'],
    ['a key of every object', '__proto__'],
    ['a number', 5],
  ])('are not: %s', (_, id) => schemas.forEach((schema) => expect(read(schema, id)).toBe('refused')));

  it.each(['a', '0', 'payments', 'a-', 'constructor', 'a'.repeat(63)])('a domain may be %j', (id) =>
    expect(read(domainIdSchema, id)).toBe(id),
  );

  it.each(['', '-a', 'A', 'a_b', 'a.b', 'a/b', '..', 'é', 'a b', 'a\n', 'a'.repeat(64), '__proto__', 1])(
    'a domain may not be %j',
    (id) => expect(read(domainIdSchema, id)).toBe('refused'),
  );
});

describe('a client id', () => {
  it('is every text of RFC 6749 VSCHAR, spaces and ~ included, kept as it is', () => {
    for (const id of ['~', ' ', ' a b ', 'a:b', '%20', '__proto__', 'x'.repeat(255)])
      expect(read(clientIdSchema, id)).toBe(id);
    for (let code = 0x20; code <= 0x7e; code++) {
      const id = String.fromCharCode(code);
      expect(read(clientIdSchema, id)).toBe(id);
    }
  });

  it.each(['', 'x'.repeat(256), 'é', '\t', '\n', 'a\n', '\u0000', '\u007f', '\u0080', '\ud800', 7])('is not %j', (id) =>
    expect(read(clientIdSchema, id)).toBe('refused'),
  );
});

describe('names and descriptions', () => {
  const schemas = [nameSchema, descriptionSchema];

  it.each([
    [' Shop \n', 'Shop'],
    ['Zürich 日本 👩‍💻', 'Zürich 日本 👩‍💻'],
    ['x'.repeat(128), 'x'.repeat(128)],
    [` ${'x'.repeat(128)} `, 'x'.repeat(128)],
    ['<b>&"\'', '<b>&"\''],
  ])('%j becomes %j', (text, line) => schemas.forEach((schema) => expect(read(schema, text)).toBe(line)));

  it.each([
    ['nothing', ''],
    ['blanks', ' \t\n\u00a0'],
    ['too long', 'x'.repeat(129)],
    ['two lines', 'a\nb'],
    ['a NUL', 'a\u0000b'],
    ['an escape', '\u001b[31m'],
    ['C1 controls', 'a\u0085b'],
    ['half a surrogate pair', 'a\ud83d'],
    ['the other half', '\ude00b'],
    ['a number', 5],
  ])('are not: %s', (_, text) => schemas.forEach((schema) => expect(read(schema, text)).toBe('refused')));

  it('are encoded as UTF-8 without loss', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }), (text) => {
        const line = read(nameSchema, text);
        if (line !== 'refused') expect(Buffer.from(String(line), 'utf8').toString('utf8')).toBe(line);
      }),
    ));
});

describe('contacts', () => {
  it('are e-mail addresses, at most 20', () => {
    for (const contacts of [[], ['a@example.com', 'A.b+c@sub.example.org']])
      expect(read(contactsSchema, contacts)).toEqual(contacts);
    for (const contacts of ['a@example.com', ['a'], ['a@b'], [''], ['a@example.com\nBcc: x@example.com'], [null]])
      expect(read(contactsSchema, contacts)).toBe('refused');
    expect(read(contactsSchema, Array(21).fill('a@example.com'))).toBe('refused');
    expect(read(contactsSchema, [`${'a'.repeat(250)}@example.com`])).toBe('refused');
  });
});

describe('a network', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['192.168.1.130/25', '192.168.1.128/25'],
    ['10.1.2.3', '10.1.2.3/32'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['1.2.3.4/0', '0.0.0.0/0'],
    ['2001:DB8:0:0:0::1/32', '2001:db8::/32'],
    ['2001:db8::1', '2001:db8::1/128'],
    ['2001:db8::ffff/121', '2001:db8::ff80/121'],
    ['::/0', '::/0'],
    ['::1', '::1/128'],
    ['::ffff:10.1.2.3', '10.1.2.3/32'],
    ['::ffff:a01:203', '10.1.2.3/32'],
    ['::FFFF:10.1.2.3/104', '10.0.0.0/8'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
  ])('%s becomes %s', (text, network) => expect(read(cidrSchema, text)).toBe(network));

  it.each([
    '',
    '/',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.0/1e1',
    ' 10.0.0.0/8',
    '10.0.0.0 /8',
    '10/8',
    '10.0.0/8',
    '010.0.0.1/8',
    '0x0a.0.0.1/8',
    '167772161/8',
    '256.0.0.1/8',
    '1.2.3.4.5',
    '10.0.0.*',
    '::/129',
    ':::/8',
    '2001:db8::g/32',
    '1::2::3/64',
    'fe80::1%eth0/64',
    'fe80::1%eth0',
    '[::1]',
    '::ffff:1.2.3.4/64',
    '::ffff:0:0/95',
    'localhost',
    `${' '.repeat(70)}`,
    5,
    null,
  ])('is not: %j', (text) => expect(read(cidrSchema, text)).toBe('refused'));

  it('in normal form is unchanged', () =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })),
          fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })),
        ),
        ([address, prefix]) => {
          const network = read(cidrSchema, `${address}/${prefix}`);
          if (network !== 'refused') expect(read(cidrSchema, network)).toBe(network);
        },
      ),
    ));

  it('may be listed at most fifty times', () => {
    expect(read(allowedCidrsSchema, Array(50).fill('10.0.0.1'))).toHaveLength(50);
    expect(read(allowedCidrsSchema, Array(51).fill('10.0.0.1'))).toBe('refused');
  });
});

describe('policies', () => {
  const after = { mode: 'after', after: { amount: 3, unit: 'months' } };
  const day = { amount: 1, unit: 'days' };

  it.each([
    {},
    { expiry: after },
    { expiry: { mode: 'never' } },
    { maxLifetime: day },
    { expiry: after, minLifetime: day, maxLifetime: { amount: 1, unit: 'years' } },
  ])('of a domain: %j', (policy) => expect(read(domainPolicySchema, policy)).toEqual(policy));

  it.each([
    { expiry: { mode: 'inherit' } },
    { expiry: { mode: 'after' } },
    { expiry: { mode: 'never', after: day } },
    { expiry: null },
    { expiry: after, more: 1 },
    { maxLifetime: { amount: 0, unit: 'days' } },
    [],
    null,
  ])('not of a domain: %j', (policy) => expect(read(domainPolicySchema, policy)).toBe('refused'));

  it.each([{ mode: 'inherit' }, { mode: 'never' }, after])('of an application: %j', (policy) =>
    expect(read(applicationPolicySchema, policy)).toEqual(policy),
  );

  it.each([{}, { mode: 'none' }, { mode: 'after' }, { mode: 'inherit', after: day }, { ...after, maxLifetime: day }])(
    'not of an application: %j',
    (policy) => expect(read(applicationPolicySchema, policy)).toBe('refused'),
  );
});

describe('a recipient key', () => {
  const ec = { kty: 'EC', crv: 'P-256', x: 'eA', y: 'eQ' };
  const okp = { kty: 'OKP', crv: 'X25519', x: 'eA' };

  it.each([ec, { ...ec, crv: 'P-521', kid: 'k1', use: 'enc', alg: 'ECDH-ES+A256KW' }, okp])('is: %j', (key) =>
    expect(read(recipientKeySchema, key)).toEqual(key),
  );

  it.each([
    ['a private key', { ...ec, d: 'ZA' }],
    ['a private key of the other kind', { ...okp, d: 'ZA' }],
    ['a key to sign with', { ...ec, use: 'sig' }],
    ['a curve to sign with', { ...okp, crv: 'Ed25519' }],
    ['another way to seal', { ...ec, alg: 'RSA-OAEP' }],
    ['RSA', { kty: 'RSA', n: 'bg', e: 'AQAB' }],
    ['a shared key', { kty: 'oct', k: 'aw' }],
    ['half a point', { kty: 'EC', crv: 'P-256', x: 'eA' }],
    ['no base64url', { ...ec, x: 'e+/=' }],
    ['an empty coordinate', { ...okp, x: '' }],
    ['text', 'key'],
  ])('is not: %s', (_, key) => expect(read(recipientKeySchema, key)).toBe('refused'));
});
