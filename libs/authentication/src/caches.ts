import { hash, randomBytes } from 'node:crypto';

/**
 * Bounded cache of recently used entries: keeps at least the last `max / 2` used and at most `max`. A hit among the
 * younger half writes nothing; `quick-lru` does the same, but a `get` took 1.5 times as long (Node 20, 10,000 keys).
 */
export class RecentCache<V extends string | boolean | object> {
  private young = new Map<string, V>();
  private old = new Map<string, V>();
  private readonly half: number;

  constructor(max: number) {
    this.half = Math.ceil(max / 2);
  }

  get(key: string): V | undefined {
    const value = this.young.get(key);
    if (value !== undefined) return value;
    const older = this.old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: string, value: V): void {
    if (this.young.size >= this.half && !this.young.has(key)) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(key, value);
  }

  /** Number of entries. An entry that is in both halves counts twice. */
  get size(): number {
    return this.young.size + this.old.size;
  }
}

/** RFC 2104 §2 for SHA-256: sizes of block and digest in bytes, and the bytes of `ipad` and `opad`. */
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;

/**
 * Returns HMAC-SHA-256 (RFC 2104) as a function from text to 32 Latin-1 characters. Built from one-shot hashes, which
 * take half the time of `createHmac`: that allocates an object outside the heap for each digest. The key must be 64
 * ASCII bytes, so that its inner block can be prepended to the text as a string. Throws `RangeError` otherwise.
 */
export const hmacOfText = (key: Uint8Array): ((text: string) => string) => {
  if (key.length !== BLOCK_BYTES || key.some((byte) => byte > 0x7f))
    throw new RangeError(`The key must have ${BLOCK_BYTES} bytes, all ASCII.`);
  const inner = Buffer.from(key.map((byte) => byte ^ INNER_PAD)).toString('latin1');
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES);
  outer.set(key.map((byte) => byte ^ OUTER_PAD));
  return (text) => {
    outer.write(hash('sha256', inner + text, 'binary'), BLOCK_BYTES, 'latin1');
    return hash('sha256', outer, 'binary');
  };
};

/** Returns a random key of 448 bits. */
const asciiKey = (): Uint8Array => randomBytes(BLOCK_BYTES).map((byte) => byte & 0x7f);

/**
 * Cache of pairs of value and verifier that match, so that Argon2id runs once per value and process. Stores neither
 * values nor verifiers, only HMAC-SHA-256 of a pair under a random key of this process. A renewed verifier is another
 * entry. Status and time are not cached.
 *
 * The look-up does not need constant time: it compares keyed digests that an attacker cannot choose or predict.
 */
export class MatchCache {
  private readonly hmac = hmacOfText(asciiKey());
  private readonly matches: RecentCache<true>;
  private readonly computing = new Map<string, Promise<boolean>>();

  constructor(matchesMax: number) {
    this.matches = new RecentCache(matchesMax);
  }

  /**
   * Returns whether a value matches a verifier (a PHC string). A cached match is returned without a promise. Otherwise
   * calls `compute`, once for all concurrent calls with the same pair. Only matches are cached: a mismatch, or an error
   * that `compute` throws, is not.
   */
  matchesVerifier(verifier: string, value: string, compute: () => Promise<boolean>): true | Promise<boolean> {
    const digest = this.digest(verifier, value);
    return this.matches.get(digest) ?? this.computing.get(digest) ?? this.compute(digest, compute);
  }

  private compute(digest: string, compute: () => Promise<boolean>): Promise<boolean> {
    const computation = compute()
      .then((isMatch) => {
        if (isMatch) this.matches.set(digest, true);
        return isMatch;
      })
      .finally(() => this.computing.delete(digest));
    this.computing.set(digest, computation);
    return computation;
  }

  /** Number of cached matches. */
  get size(): number {
    return this.matches.size;
  }

  /** A PHC string contains no NUL, so different pairs have different texts. */
  private digest(verifier: string, value: string): string {
    return this.hmac(`${verifier}\0${value}`);
  }
}
