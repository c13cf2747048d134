/** Whether Rekey made a value (256 random bits) or a caller brought it (any entropy). */
export type ValueOrigin = 'generated' | 'imported';

/** All that needs a key, a random source or a slow hash. */
export abstract class SecretHasher {
  /** Cryptographically random bytes. */
  abstract random(bytes: number): Uint8Array;

  /** Argon2id PHC string of a value; parameters by origin. */
  abstract hash(value: string, origin: ValueOrigin): Promise<string>;

  /** Whether a value belongs to a PHC string; in constant time. False for a string that is no PHC string. */
  abstract verify(verifier: string, value: string): Promise<boolean>;

  /** Lookup id of an imported value: HMAC of domain, client id and value under the index key, cut to 10 characters. */
  abstract importedLookupId(domainId: string, clientId: string, value: string): string;
}
