import fc from 'fast-check';
import {
  LOOKUP_BYTES,
  RANDOM_BYTES,
  SECRET_PATTERN,
  base62,
  composeSecret,
  crc32,
  hintOf,
  lookupIdFrom,
  parseSecret,
} from './secret-format';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const secrets = fc
  .tuple(bytes(LOOKUP_BYTES), bytes(RANDOM_BYTES))
  .map(([lookup, random]) => composeSecret(lookupIdFrom(lookup), random));

const ZEROS = composeSecret(lookupIdFrom(new Uint8Array(LOOKUP_BYTES)), new Uint8Array(RANDOM_BYTES));
const ONES = composeSecret(
  lookupIdFrom(new Uint8Array(LOOKUP_BYTES).fill(255)),
  new Uint8Array(RANDOM_BYTES).fill(255),
);

describe('crc32', () => {
  it.each([
    // The check value of CRC-32/ISO-HDLC, and values computed by zlib.
    ['123456789', 0xcbf43926],
    ['', 0],
    ['a', 0xe8b7be43],
    ['The quick brown fox jumps over the lazy dog', 0x414fa339],
  ])('returns the same value as zlib for %j', (text, expected) => expect(crc32(text)).toBe(expected));
});

describe('base62', () => {
  it.each([
    [0n, 3, '000'],
    [9n, 1, '9'],
    [10n, 1, 'A'],
    [35n, 1, 'Z'],
    [36n, 1, 'a'],
    [61n, 1, 'z'],
    [62n, 3, '010'],
    [2n ** 32n - 1n, 6, '4gfFC3'],
  ])('encodes %d with the most significant digit first', (value, length, text) =>
    expect(base62(value, length)).toBe(text),
  );

  it('can encode the largest value of each part', () => {
    expect(base62(2n ** 256n - 1n, 43)).toHaveLength(43);
    expect(base62(62n ** 10n - 1n, 10)).toBe('z'.repeat(10));
  });
});

describe('composeSecret', () => {
  // Computed independently, with zlib and the big integers of another language.
  it('returns a fixed value for fixed bytes', () => {
    expect(ZEROS).toBe(`rky_${'0'.repeat(10)}_${'0'.repeat(43)}18wAxV`);
    expect([ONES.slice(0, 15), ONES.slice(-6), ONES.length]).toEqual(['rky_9n8mt7Fhc7_', '3sl6bQ', 64]);
  });

  it('returns a value that parses to its lookup id and hint', () =>
    fc.assert(
      fc.property(bytes(LOOKUP_BYTES), bytes(RANDOM_BYTES), (lookup, random) => {
        const lookupId = lookupIdFrom(lookup);
        const secret = composeSecret(lookupId, random);
        expect(parseSecret(secret)).toEqual({ kind: 'generated', lookupId, hint: secret.slice(-4) });
        expect(hintOf(secret)).toBe(secret.slice(-4));
      }),
    ));

  it('returns a URL-safe value that needs no escaping and can be found in text', () =>
    fc.assert(
      fc.property(secrets, (secret) => {
        expect(encodeURIComponent(secret)).toBe(secret);
        expect(SECRET_PATTERN.exec(`key="${secret}", next`)?.[0]).toBe(secret);
      }),
    ));

  it('returns different values for different bytes', () =>
    fc.assert(
      fc.property(bytes(RANDOM_BYTES), fc.nat(255), (random, bit) => {
        const other = Uint8Array.from(random);
        other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(composeSecret('0123456789', other)).not.toBe(composeSecret('0123456789', random));
      }),
    ));
});

describe('parseSecret', () => {
  it('accepts values issued by earlier releases', () => {
    expect(parseSecret(ZEROS)).toMatchObject({ kind: 'generated', lookupId: '0000000000' });
    expect(parseSecret(ONES)).toMatchObject({ kind: 'generated' });
  });

  it('returns foreign for a value without the prefix', () => {
    for (const value of ['', 'x', 'rky', 'RKY_0', `x${ONES}`, ` ${ONES}`, 'p4ssw0rd'])
      expect(parseSecret(value)).toEqual({ kind: 'foreign' });
  });

  it.each([
    ['the prefix alone', 'rky_'],
    ['too short', ONES.slice(0, -1)],
    ['too long', `${ONES}0`],
    ['a trailing line break', `${ONES}\n`],
    ['a character outside the alphabet', ONES.replace(/.$/, '-')],
    ['no separator', ONES.replace(/^(rky_.{10})_/, '$10')],
    ['a checksum that only fits modulo 2^32', ONES.slice(0, -6) + overflowing(ONES)],
    ['very long', `rky_${'0'.repeat(100_000)}`],
  ])('returns malformed for: %s', (_, value) => expect(parseSecret(value)).toEqual({ kind: 'malformed' }));

  it('detects any single changed character after the prefix', () =>
    fc.assert(
      fc.property(secrets, fc.integer({ min: 4, max: 63 }), fc.constantFrom(...'09AZaz_-.'), (secret, at, sign) => {
        fc.pre(secret[at] !== sign);
        expect(parseSecret(secret.slice(0, at) + sign + secret.slice(at + 1))).toEqual({ kind: 'malformed' });
      }),
    ));

  it('detects two swapped characters', () =>
    fc.assert(
      fc.property(secrets, fc.integer({ min: 4, max: 62 }), (secret, at) => {
        const [left = '', right = ''] = [secret[at], secret[at + 1]];
        fc.pre(left !== right);
        const swapped = secret.slice(0, at) + right + left + secret.slice(at + 2);
        expect(parseSecret(swapped)).toEqual({ kind: 'malformed' });
      }),
    ));

  it('never throws', () =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map((text) => `rky_${text}`),
        ),
        (value) => {
          expect(parseSecret(value).kind).not.toBe('generated');
        },
      ),
    ));
});

/** Returns the checksum plus 2^32, which also fits into six base62 digits. */
function overflowing(secret: string): string {
  return base62(BigInt(crc32(secret.slice(0, -6))) + 2n ** 32n, 6);
}
