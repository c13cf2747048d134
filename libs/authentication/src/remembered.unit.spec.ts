import fc from 'fast-check';
import { createHmac, randomBytes } from 'node:crypto';
import { Session } from 'node:inspector/promises';
import { RememberedMatches, hmacOfText } from './remembered';

const VERIFIER = '$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaA';
const yes = async () => true;
const no = async () => false;
const never = async (): Promise<boolean> => {
  throw new Error('Computed what should be remembered.');
};

/** Everything that this process holds in its heap, strings included, in pieces that overlap. */
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

  it('takes no key that it would read otherwise', () => {
    expect(() => hmacOfText(new Uint8Array(32))).toThrow(RangeError);
    expect(() => hmacOfText(new Uint8Array(64).fill(0x80))).toThrow(RangeError);
  });
});

describe('RememberedMatches', () => {
  it('computes once for a match, and again for another value or verifier', async () => {
    const remembered = new RememberedMatches(10);
    expect(await remembered.fits(VERIFIER, 'value', yes)).toBe(true);
    expect(await remembered.fits(VERIFIER, 'value', never)).toBe(true);
    expect(await remembered.fits(VERIFIER, 'other', no)).toBe(false);
    expect(await remembered.fits(`${VERIFIER}x`, 'value', no)).toBe(false);
  });

  it('does not mix up where the verifier ends and the value begins', async () => {
    const remembered = new RememberedMatches(10);
    await remembered.fits('ab', 'c', yes);
    expect(await remembered.fits('a', 'bc', no)).toBe(false);
  });

  it('remembers no mismatch and no failure', async () => {
    const remembered = new RememberedMatches(10);
    expect(await remembered.fits(VERIFIER, 'value', no)).toBe(false);
    await expect(remembered.fits(VERIFIER, 'value', never)).rejects.toThrow();
    expect(remembered.size).toBe(0);
    expect(await remembered.fits(VERIFIER, 'value', yes)).toBe(true);
  });

  it('keeps the matches that were used of late, up to a number', async () => {
    const remembered = new RememberedMatches(10);
    for (let index = 0; index < 100; index++) {
      await remembered.fits(VERIFIER, `value ${index}`, yes);
      await remembered.fits(VERIFIER, 'value 0', never);
    }
    expect(remembered.size).toBeLessThanOrEqual(10);
    expect(await remembered.fits(VERIFIER, 'value 1', no)).toBe(false);
  });

  it('shares one computation, its failure too', async () => {
    const remembered = new RememberedMatches(10);
    let computed = 0;
    const failing = async () => {
      computed += 1;
      throw new Error('No memory for Argon2.');
    };
    const both = await Promise.allSettled([1, 2].map(async () => remembered.fits(VERIFIER, 'value', failing)));
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(computed).toBe(1);
  });

  it('holds neither value nor verifier in memory', async () => {
    // Bytes outside the heap, of which the texts are made only while they are needed.
    const [value, verifier, control] = [randomBytes(24), randomBytes(24), randomBytes(24)];
    const remembered = new RememberedMatches(10);
    await remembered.fits(verifier.toString('hex'), value.toString('hex'), yes);
    const kept = { text: control.toString('hex') };
    const chunks = await heapSnapshot();
    const held = (bytes: Buffer): boolean => chunks.some((chunk) => chunk.includes(bytes.toString('hex')));
    expect(remembered.size).toBe(1);
    expect(kept.text).toHaveLength(48);
    expect({ control: held(control), value: held(value), verifier: held(verifier) }).toEqual({
      control: true,
      value: false,
      verifier: false,
    });
  }, 60_000);
});
