import { LRUCache } from 'lru-cache';
import { createHmac, createSecretKey, randomBytes } from 'node:crypto';

/**
 * Remembers which values fitted which verifiers, so that a slow hash is computed once per value and process. Holds
 * neither values nor verifiers: only HMAC-SHA-256 of the two under a key that this process made and tells nobody. A
 * renewed verifier is another entry, so it misses. Nothing of a status or a time is in here.
 *
 * The look-up need not take constant time: what it compares are keyed digests that nobody outside can choose or foresee.
 */
export class RememberedMatches {
  private readonly key = createSecretKey(randomBytes(32));
  private readonly matches: LRUCache<string, true>;
  private readonly computing = new Map<string, Promise<boolean>>();

  constructor(matchesMax: number) {
    this.matches = new LRUCache({ max: matchesMax });
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

  /** A PHC string has no NUL, so no two pairs give the same text. `binary` (Latin-1) makes keys of 32 bytes. */
  private digest(verifier: string, value: string): string {
    return createHmac('sha256', this.key).update(`${verifier}\0${value}`).digest('binary');
  }
}
