import { hash, randomBytes } from 'node:crypto';
import { Recent } from './recent';

/** RFC 2104 §2 for SHA-256: block and digest in bytes, and what the key is mixed with. */
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;

/**
 * HMAC-SHA-256 (RFC 2104) as a function from text to 32 Latin-1 characters, made of one-shot hashes: half the time of
 * `createHmac`, which makes an object outside the heap for every digest, and collects it. The key has ASCII bytes only,
 * so that its inner block can stand before the text as text.
 */
export const hmacOfText = (key: Uint8Array): ((text: string) => string) => {
  if (key.length !== BLOCK_BYTES || key.some((byte) => byte > 0x7f))
    throw new RangeError('The key must be one block of ASCII.');
  const inner = Buffer.from(key.map((byte) => byte ^ INNER_PAD)).toString('latin1');
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES);
  outer.set(key.map((byte) => byte ^ OUTER_PAD));
  return (text) => {
    outer.write(hash('sha256', inner + text, 'binary'), BLOCK_BYTES, 'latin1');
    return hash('sha256', outer, 'binary');
  };
};

/** A key of 448 random bits. */
const asciiKey = (): Uint8Array => randomBytes(BLOCK_BYTES).map((byte) => byte & 0x7f);

/**
 * Remembers which values fitted which verifiers, so that a slow hash is computed once per value and process. Holds
 * neither values nor verifiers: only HMAC-SHA-256 of the two under a key that this process made and tells nobody. A
 * renewed verifier is another entry, so it misses. Nothing of a status or a time is in here.
 *
 * The look-up need not take constant time: what it compares are keyed digests that nobody outside can choose or foresee.
 */
export class RememberedMatches {
  private readonly hmac = hmacOfText(asciiKey());
  private readonly matches: Recent<true>;
  private readonly computing = new Map<string, Promise<boolean>>();

  constructor(matchesMax: number) {
    this.matches = new Recent(matchesMax);
  }

  /**
   * Whether a value fits a verifier (a PHC string): remembered, or as `compute` says. Callers that ask for the same at
   * the same time share one computation; no promise is made for what is known. A mismatch is not remembered, nor is a failure to compute, which is thrown.
   */
  fits(verifier: string, value: string, compute: () => Promise<boolean>): true | Promise<boolean> {
    const digest = this.digest(verifier, value);
    return this.matches.get(digest) ?? this.computing.get(digest) ?? this.compute(digest, compute);
  }

  private compute(digest: string, compute: () => Promise<boolean>): Promise<boolean> {
    const computation = compute()
      .then((fits) => {
        if (fits) this.matches.set(digest, true);
        return fits;
      })
      .finally(() => this.computing.delete(digest));
    this.computing.set(digest, computation);
    return computation;
  }

  /** How many matches are remembered. */
  get size(): number {
    return this.matches.size;
  }

  /** A PHC string has no NUL, so no two pairs give the same text. */
  private digest(verifier: string, value: string): string {
    return this.hmac(`${verifier}\0${value}`);
  }
}
