import { randomBytes } from 'node:crypto';
import { secretHasherConformance } from '@rekey/ports/conformance';
import {
  Argon2SecretHasher,
  GENERATED_PARAMETERS,
  IMPORTED_PARAMETERS,
  type HashingOptions,
} from './argon2-secret-hasher';

const indexKey = randomBytes(32);
const options: HashingOptions = { generated: GENERATED_PARAMETERS, imported: IMPORTED_PARAMETERS, indexKey };
const pepper = randomBytes(32);

secretHasherConformance('Argon2SecretHasher', () => new Argon2SecretHasher(options));
secretHasherConformance('Argon2SecretHasher with a pepper', () => new Argon2SecretHasher({ ...options, pepper }));

describe('Argon2SecretHasher', () => {
  const hasher = new Argon2SecretHasher(options);

  it('writes the parameters of the origin into the verifier', async () => {
    expect(await hasher.hash('value', 'generated')).toContain('$m=1024,t=1,p=1$');
    expect(await hasher.hash('value', 'imported')).toContain('$m=19456,t=2,p=1$');
  });

  it('verifies verifiers made with other parameters, so the parameters can be changed', async () => {
    const stronger = new Argon2SecretHasher({
      ...options,
      generated: { memoryKiB: 2048, iterations: 2, parallelism: 2 },
    });
    expect(await hasher.verify(await stronger.hash('value', 'generated'), 'value')).toBe(true);
  });

  it('verifies a generated value within a millisecond', async () => {
    const verifier = await hasher.hash('value', 'generated');
    const timesMs: number[] = [];
    for (let round = 0; round < 60; round++) {
      const startMs = performance.now();
      await hasher.verify(verifier, 'value');
      timesMs.push(performance.now() - startMs);
    }
    // The fastest of many rounds, because the machine may be busy.
    expect(Math.min(...timesMs)).toBeLessThan(1);
  });

  it('rejects every value without the pepper, or with another', async () => {
    const peppered = new Argon2SecretHasher({ ...options, pepper });
    const other = new Argon2SecretHasher({ ...options, pepper: randomBytes(32) });
    const verifier = await peppered.hash('value', 'generated');
    expect(await peppered.verify(verifier, 'value')).toBe(true);
    expect(await hasher.verify(verifier, 'value')).toBe(false);
    expect(await other.verify(verifier, 'value')).toBe(false);
  });

  it('returns other lookup ids with another index key', () => {
    const other = new Argon2SecretHasher({ ...options, indexKey: randomBytes(32) });
    expect(other.importedLookupId('shop', 'app', 'value')).not.toBe(hasher.importedLookupId('shop', 'app', 'value'));
  });

  it('computes the documented lookup id', () => {
    // HMAC-SHA-256 under 32 zero bytes over 00000004 'shop' 00000003 'app' 00000005 'value', computed with openssl.
    const known = new Argon2SecretHasher({ ...options, indexKey: Buffer.alloc(32) });
    expect(known.importedLookupId('shop', 'app', 'value')).toBe('L1JOQVfNm1');
  });

  it.each<[string, Partial<HashingOptions>]>([
    ['hashing.imported.memoryKiB', { imported: { memoryKiB: 19455, iterations: 2, parallelism: 1 } }],
    ['hashing.imported.iterations', { imported: { memoryKiB: 19456, iterations: 1, parallelism: 1 } }],
    ['hashing.imported.parallelism', { imported: { memoryKiB: 19456, iterations: 2, parallelism: 0 } }],
    ['hashing.generated.memoryKiB', { generated: { memoryKiB: 31, iterations: 1, parallelism: 4 } }],
    ['hashing.generated.memoryKiB', { generated: { memoryKiB: 1024.5, iterations: 1, parallelism: 1 } }],
    ['hashing.generated.iterations', { generated: { memoryKiB: 1024, iterations: 0, parallelism: 1 } }],
    ['hashing.pepper', { pepper: Buffer.alloc(15) }],
    ['indexKey', { indexKey: Buffer.alloc(31) }],
  ])('refuses options that are out of bounds, naming %s', (field, wrong) => {
    expect(() => new Argon2SecretHasher({ ...options, ...wrong })).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { field } }),
    );
  });
});
