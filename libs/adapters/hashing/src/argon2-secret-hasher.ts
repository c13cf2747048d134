import { createHmac, randomBytes } from 'node:crypto';
import { invalid, LOOKUP_BYTES, lookupIdFrom } from '@rekey/domain';
import { SecretHasher, type ValueOrigin } from '@rekey/ports';
import { argon2id, hash, verify } from 'argon2';

/** Cost parameters of Argon2id (RFC 9106 §3.1). */
export interface Argon2Parameters {
  readonly memoryKiB: number;
  readonly iterations: number;
  readonly parallelism: number;
}

export interface HashingOptions {
  readonly generated: Argon2Parameters;
  readonly imported: Argon2Parameters;
  /** Argon2's secret input K (RFC 9106 §3.1). A verifier can only be checked with the pepper that it was made with. */
  readonly pepper?: Buffer;
  /** HMAC key of the lookup ids of imported values, at least 32 bytes. With another key, no imported value is found. */
  readonly indexKey: Buffer;
}

/**
 * For generated values: 256 random bits gain nothing from key stretching. One pass over 1 MiB takes 0.2 to 0.5 ms on one
 * core; the check allows 1 ms.
 */
export const GENERATED_PARAMETERS: Argon2Parameters = { memoryKiB: 1024, iterations: 1, parallelism: 1 };

/** For imported values: OWASP's minimum for Argon2id (Password Storage Cheat Sheet), which is also the least allowed. */
export const IMPORTED_PARAMETERS: Argon2Parameters = { memoryKiB: 19 * 1024, iterations: 2, parallelism: 1 };

const INDEX_KEY_BYTES_MIN = 32;
const PEPPER_BYTES_MIN = 16;
const MEMORY_KIB_MAX = 4 * 1024 * 1024;
const ITERATIONS_MAX = 1_000;
const PARALLELISM_MAX = 255;
/** RFC 9106 §3.1: at least eight blocks of 1 KiB per lane. */
const memoryKiBMin = (parallelism: number): number => 8 * parallelism;

/** The PHC string of an Argon2id v1.3 verifier: salt of at least 8 bytes, output of at least 12. */
const PHC = /^\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,4}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}$/;

/** Hashes with Argon2id from the `argon2` package; random bytes and HMAC are Node's. */
export class Argon2SecretHasher extends SecretHasher {
  /** Throws `invalid_request` with the field if an option is out of bounds. */
  constructor(private readonly options: HashingOptions) {
    super();
    throwIfOutOfBounds('generated', options.generated);
    throwIfOutOfBounds('imported', options.imported);
    for (const name of ['memoryKiB', 'iterations'] as const)
      if (options.imported[name] < IMPORTED_PARAMETERS[name])
        throw invalid(`hashing.imported.${name}`, `Must be at least ${IMPORTED_PARAMETERS[name]}.`);
    if (options.indexKey.length < INDEX_KEY_BYTES_MIN)
      throw invalid('indexKey', `Must have at least ${INDEX_KEY_BYTES_MIN} bytes.`);
    if (options.pepper && options.pepper.length < PEPPER_BYTES_MIN)
      throw invalid('hashing.pepper', `Must have at least ${PEPPER_BYTES_MIN} bytes.`);
  }

  random(bytes: number): Uint8Array {
    return randomBytes(bytes);
  }

  hash(value: string, origin: ValueOrigin): Promise<string> {
    const { memoryKiB, iterations, parallelism } = this.options[origin];
    return hash(value, {
      type: argon2id,
      memoryCost: memoryKiB,
      timeCost: iterations,
      parallelism,
      ...this.secret(),
    });
  }

  async verify(verifier: string, value: string): Promise<boolean> {
    // Malformed verifiers are refused here, so that an error of the package is a real failure and not a wrong value.
    return isVerifier(verifier) && (await verify(verifier, value, this.secret()));
  }

  importedLookupId(domainId: string, clientId: string, value: string): string {
    const mac = createHmac('sha256', this.options.indexKey);
    for (const part of [domainId, clientId, value]) {
      const bytes = Buffer.from(part, 'utf8');
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      mac.update(length).update(bytes);
    }
    return lookupIdFrom(mac.digest().subarray(0, LOOKUP_BYTES));
  }

  private secret(): { secret?: Buffer } {
    return this.options.pepper ? { secret: this.options.pepper } : {};
  }
}

const isVerifier = (text: string): boolean => {
  const match = PHC.exec(text);
  if (!match) return false;
  const [memoryKiB, iterations, parallelism] = match.slice(1).map(Number) as [number, number, number];
  return outOfBounds({ memoryKiB, iterations, parallelism }) === undefined;
};

const throwIfOutOfBounds = (origin: ValueOrigin, parameters: Argon2Parameters): void => {
  const wrong = outOfBounds(parameters);
  if (wrong) throw invalid(`hashing.${origin}.${wrong.name}`, `Must be an integer from ${wrong.min} to ${wrong.max}.`);
};

const outOfBounds = (
  parameters: Argon2Parameters,
): { name: keyof Argon2Parameters; min: number; max: number } | undefined =>
  (
    [
      { name: 'parallelism', min: 1, max: PARALLELISM_MAX },
      { name: 'iterations', min: 1, max: ITERATIONS_MAX },
      { name: 'memoryKiB', min: memoryKiBMin(parameters.parallelism), max: MEMORY_KIB_MAX },
    ] as const
  ).find(
    ({ name, min, max }) => !Number.isInteger(parameters[name]) || parameters[name] < min || parameters[name] > max,
  );
