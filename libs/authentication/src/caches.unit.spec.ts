import fc from 'fast-check';
import { createHmac, randomBytes } from 'node:crypto';
import { Session } from 'node:inspector/promises';
import { MatchCache, RecentCache, hmacOfText } from './caches';

const VERIFIER = '$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaA';
const yes = async () => true;
const no = async () => false;
const never = async (): Promise<boolean> => {
  throw new Error('Computed a match that should be cached.');
};

/** Returns a snapshot of this process's heap, strings included, in overlapping chunks. */
const heapSnapshot = async (): Promise<string[]> => {
  const session = new Session();
  session.connect();
  const chunks: string[] = [];
  let tail = '';
  session.on('HeapProfiler.addHeapSnapshotChunk', ({ params: { chunk } }) => {
    chunks.push(tail + chunk);
    tail = chunk.slice(-100);
  });
  await session.post('HeapProfiler.takeHeapSnapshot', { reportProgress: false });
  session.disconnect();
  return chunks;
};

describe('RecentCache', () => {
  it('returns the value that was set last', () => {
    const cache = new RecentCache<string>(10);
    cache.set('a', '1');
    cache.set('a', '2');
    expect([cache.get('a'), cache.get('b')]).toEqual(['2', undefined]);
  });

  it('keeps used entries and evicts unused ones', () => {
    const cache = new RecentCache<string>(10);
    cache.set('used', 'x');
    cache.set('unused', 'x');
    for (let index = 0; index < 100; index++) {
      cache.set(`k${index}`, 'x');
      cache.get('used');
    }
    expect([cache.get('used'), cache.get('unused')]).toEqual(['x', undefined]);
  });

  it('keeps at least the most recently used half and at most the maximum, with the latest values', () => {
    const step = fc.record({ key: fc.integer({ min: 0, max: 20 }).map(String), value: fc.option(fc.string()) });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 200 }), (max, steps) => {
        const cache = new RecentCache<string>(max);
        const all = new Map<string, string>();
        let used: string[] = [];
        for (const { key, value } of steps) {
          if (value !== null) {
            cache.set(key, value);
            all.set(key, value);
            used = [key, ...used.filter((other) => other !== key)];
          } else {
            const found = cache.get(key);
            if (found !== undefined) {
              expect(found).toBe(all.get(key));
              used = [key, ...used.filter((other) => other !== key)];
            }
          }
          expect(cache.size).toBeLessThanOrEqual(2 * Math.ceil(max / 2));
        }
        for (const key of used.slice(0, Math.ceil(max / 2)).reverse()) expect(cache.get(key)).toBe(all.get(key));
      }),
    );
  });
});

describe('hmacOfText', () => {
  const key = fc.uint8Array({ minLength: 64, maxLength: 64, max: 0x7f });

  it('is HMAC-SHA-256 of the text in UTF-8', () => {
    fc.assert(
      fc.property(key, fc.array(fc.string({ unit: 'binary' }), { minLength: 1 }), (bytes, texts) => {
        const hmac = hmacOfText(bytes);
        for (const text of texts) expect(hmac(text)).toBe(createHmac('sha256', bytes).update(text).digest('binary'));
      }),
    );
  });

  it('throws on a key that is not 64 ASCII bytes', () => {
    expect(() => hmacOfText(new Uint8Array(32))).toThrow(RangeError);
    expect(() => hmacOfText(new Uint8Array(64).fill(0x80))).toThrow(RangeError);
  });
});

describe('MatchCache', () => {
  it('computes a match once, and computes again for another value or verifier', async () => {
    const cache = new MatchCache(10);
    expect(await cache.matchesVerifier(VERIFIER, 'value', yes)).toBe(true);
    expect(await cache.matchesVerifier(VERIFIER, 'value', never)).toBe(true);
    expect(await cache.matchesVerifier(VERIFIER, 'other', no)).toBe(false);
    expect(await cache.matchesVerifier(`${VERIFIER}x`, 'value', no)).toBe(false);
  });

  it('distinguishes pairs whose concatenation is the same', async () => {
    const cache = new MatchCache(10);
    await cache.matchesVerifier('ab', 'c', yes);
    expect(await cache.matchesVerifier('a', 'bc', no)).toBe(false);
  });

  it('does not cache a mismatch or a failure', async () => {
    const cache = new MatchCache(10);
    expect(await cache.matchesVerifier(VERIFIER, 'value', no)).toBe(false);
    await expect(cache.matchesVerifier(VERIFIER, 'value', never)).rejects.toThrow();
    expect(cache.size).toBe(0);
    expect(await cache.matchesVerifier(VERIFIER, 'value', yes)).toBe(true);
  });

  it('keeps the recently used matches, up to the maximum', async () => {
    const cache = new MatchCache(10);
    for (let index = 0; index < 100; index++) {
      await cache.matchesVerifier(VERIFIER, `value ${index}`, yes);
      await cache.matchesVerifier(VERIFIER, 'value 0', never);
    }
    expect(cache.size).toBeLessThanOrEqual(10);
    expect(await cache.matchesVerifier(VERIFIER, 'value 1', no)).toBe(false);
  });

  it('shares one computation between concurrent calls, also when it fails', async () => {
    const cache = new MatchCache(10);
    let computed = 0;
    const failing = async () => {
      computed += 1;
      throw new Error('No memory for Argon2.');
    };
    const both = await Promise.allSettled([1, 2].map(async () => cache.matchesVerifier(VERIFIER, 'value', failing)));
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(computed).toBe(1);
  });

  it('does not keep values or verifiers in memory', async () => {
    // Buffers are outside the heap. Their hex strings may be in it only while they are in use.
    const [value, verifier, control] = [randomBytes(24), randomBytes(24), randomBytes(24)];
    const cache = new MatchCache(10);
    await cache.matchesVerifier(verifier.toString('hex'), value.toString('hex'), yes);
    const kept = { text: control.toString('hex') };
    const chunks = await heapSnapshot();
    const held = (bytes: Buffer): boolean => chunks.some((chunk) => chunk.includes(bytes.toString('hex')));
    expect(cache.size).toBe(1);
    expect(kept.text).toHaveLength(48);
    expect({ control: held(control), value: held(value), verifier: held(verifier) }).toEqual({
      control: true,
      value: false,
      verifier: false,
    });
  }, 60_000);
});
