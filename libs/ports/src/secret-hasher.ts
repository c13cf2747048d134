/** Whether Rekey generated a value (256 random bits) or a caller imported it (any entropy). */
export type ValueOrigin = 'generated' | 'imported';

/** Hashes values and makes random ones. */
export abstract class SecretHasher {
  /** Returns cryptographically random bytes. */
  abstract random(bytes: number): Uint8Array;

  /** Returns the Argon2id hash of a value as a PHC string. The parameters depend on the origin. */
  abstract hash(value: string, origin: ValueOrigin): Promise<string>;

  /** Whether a value matches a PHC string, compared in constant time. False if the string is not a PHC string. */
  abstract verify(verifier: string, value: string): Promise<boolean>;

  /** Returns the lookup id of an imported value: HMAC of domain, client id and value, cut to 10 characters. */
  abstract importedLookupId(domainId: string, clientId: string, value: string): string;
}
