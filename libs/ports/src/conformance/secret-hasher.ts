import { LOOKUP_BYTES, lookupIdFrom } from '@rekey/domain';
import fc from 'fast-check';
import type { SecretHasher, ValueOrigin } from '../secret-hasher';

const ORIGINS: readonly ValueOrigin[] = ['generated', 'imported'];

/** Conformance suite of `SecretHasher`. `make` returns one with the same keys for each call. */
export const secretHasherConformance = (name: string, make: () => SecretHasher): void => {
  describe(`${name} as a SecretHasher`, () => {
    const hasher = make();

    it('returns as many random bytes as requested, never the same', () => {
      expect(hasher.random(0)).toHaveLength(0);
      const seen = new Set(Array.from({ length: 200 }, () => Buffer.from(hasher.random(32)).toString('hex')));
      expect(seen.size).toBe(200);
      expect([...seen][0]).toHaveLength(64);
    });

    describe.each(ORIGINS)('for %s values', (origin) => {
      it('verifies the value and no other', async () => {
        const verifier = await hasher.hash('a value', origin);
        expect(await hasher.verify(verifier, 'a value')).toBe(true);
        for (const other of ['', 'a valu', 'a value ', 'A value', 'a value\0', 'b value'])
          expect(await hasher.verify(verifier, other)).toBe(false);
      });

      it('verifies hashes of another process with the same keys', async () => {
        expect(await make().verify(await hasher.hash('a value', origin), 'a value')).toBe(true);
      });

      it('returns a new verifier for the same value each time', async () => {
        const [first, second] = await Promise.all([hasher.hash('a value', origin), hasher.hash('a value', origin)]);
        expect(first).not.toBe(second);
      });

      it('returns an Argon2id PHC string that does not contain the value', async () => {
        const verifier = await hasher.hash('recognisable', origin);
        expect(verifier).toMatch(/^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{22,}\$[A-Za-z0-9+/]{43,}$/);
        expect(verifier).not.toContain('recognisable');
      });

      it('hashes any text, also empty and long ones', async () => {
        for (const value of ['', 'ä', '\u{1f511}', 'x'.repeat(10_000)])
          expect(await hasher.verify(await hasher.hash(value, origin), value)).toBe(true);
      });

      it('handles many concurrent calls', async () => {
        const values = Array.from({ length: 16 }, (_, index) => `value ${index}`);
        const verifiers = await Promise.all(values.map((value) => hasher.hash(value, origin)));
        const answers = await Promise.all(
          verifiers.map((verifier, index) => hasher.verify(verifier, values[(index + (index % 2)) % 16] ?? '')),
        );
        expect(answers).toEqual(values.map((_, index) => index % 2 === 0));
      });
    });

    it('returns false for text that is not a verifier, and does not throw', async () => {
      const verifier = await hasher.hash('a value', 'generated');
      const [, , , parameters = '', salt = '', output = ''] = verifier.split('$');
      const wrong = [
        '',
        '$',
        'a value',
        '$2b$10$abcdefghijklmnopqrstuuXUmhJW0ZPDQKT3zDnmxJ8W4QBpJ1JyK',
        `$argon2i$v=19$${parameters}$${salt}$${output}`,
        `$argon2id$v=16$${parameters}$${salt}$${output}`,
        `$argon2id$${parameters}$${salt}$${output}`,
        `$argon2id$v=19$m=1,t=1,p=1$${salt}$${output}`,
        `$argon2id$v=19$m=1024,t=0,p=1$${salt}$${output}`,
        `$argon2id$v=19$m=1024,t=1,p=0$${salt}$${output}`,
        `$argon2id$v=19$m=99999999999,t=1,p=1$${salt}$${output}`,
        `$argon2id$v=19$m=-1,t=1,p=1$${salt}$${output}`,
        `$argon2id$v=19$${parameters}$${salt}$`,
        `$argon2id$v=19$${parameters}$$${output}`,
        `$argon2id$v=19$${parameters}$${salt}$****`,
        ` ${verifier}`,
        `${verifier}\n`,
        verifier.slice(0, -1),
      ];
      for (const text of wrong) expect(await hasher.verify(text, 'a value')).toBe(false);
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => !(await hasher.verify(text, 'a value'))),
      );
    });

    it('returns false for an altered verifier', async () => {
      const verifier = await hasher.hash('a value', 'generated');
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
      const start = verifier.indexOf('$', verifier.indexOf('p=')) + 1;
      for (let at = start; at < verifier.length; at++) {
        if (verifier[at] === '$') continue;
        // The last digit of unpadded base64 has unused bits. A flipped high bit always counts.
        const other = alphabet[alphabet.indexOf(verifier[at] ?? '') ^ 32];
        const altered = verifier.slice(0, at) + other + verifier.slice(at + 1);
        expect(await hasher.verify(altered, 'a value')).toBe(false);
      }
    });

    it('derives the same lookup id each time, in the form of generated ones', () => {
      const form = new RegExp(`^[0-9A-Za-z]{${lookupIdFrom(new Uint8Array(LOOKUP_BYTES)).length}}$`);
      expect(hasher.importedLookupId('shop', 'app', 'value')).toMatch(form);
      expect(make().importedLookupId('shop', 'app', 'value')).toBe(hasher.importedLookupId('shop', 'app', 'value'));
    });

    it('derives another lookup id if any part differs, or the parts are split elsewhere', () => {
      const part = fc.string({ maxLength: 6 });
      fc.assert(
        fc.property(part, part, part, part, part, part, (a, b, c, d, e, f) => {
          const same = a === d && b === e && c === f;
          return (hasher.importedLookupId(a, b, c) === hasher.importedLookupId(d, e, f)) === same;
        }),
      );
      expect(hasher.importedLookupId('ab', 'c', 'd')).not.toBe(hasher.importedLookupId('a', 'bc', 'd'));
      expect(hasher.importedLookupId('a', 'bc', 'd')).not.toBe(hasher.importedLookupId('a', 'b', 'cd'));
    });
  });
};
