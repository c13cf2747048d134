import { base62 } from '@rekey/domain';
import { recipientKeySchema } from '@rekey/contracts';
import type { JWK } from 'jose';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  randomUUID,
  type JsonWebKey,
} from 'node:crypto';
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readSecretFile } from './secret-file';

/** A key pair for ECDH-ES+A256KW (RFC 7518 §4.6). */
export interface SealingKeys {
  readonly publicKey: JWK;
  readonly privateKey: JWK;
}

/** A key pair for EdDSA or ES256 (RFC 8037, RFC 7518 §3.4); both halves have its `kid`. */
export interface SigningKeys {
  readonly publicKey: JWK;
  readonly privateKey: JWK;
}

/** All keys of a Rekey on one machine. */
export interface Keys {
  /** The token itself is only in its file. */
  readonly adminToken: { readonly file: string; readonly sha256: string; readonly created: boolean };
  /** The gateways': values that the command-service makes are sealed to it. */
  readonly sealing: SealingKeys;
  /** The command-service's: values that callers bring are sealed to it. */
  readonly commandSeal: SealingKeys;
  /** Of this installation as a sender of commands over Kafka; others know it by the public half. */
  readonly signing: SigningKeys;
  /** Key of the lookup ids of imported values, 32 bytes. */
  readonly indexKey: Buffer;
  /** For the log: what works and should be otherwise. */
  readonly warnings: readonly string[];
}

/** Files of keys that are kept elsewhere than in the folder; these must be there. */
export interface KeyFiles {
  readonly sealingKeyFile?: string | undefined;
  readonly commandSealKeyFile?: string | undefined;
  readonly signingKeyFile?: string | undefined;
  readonly indexKeyFile?: string | undefined;
}

/** A key file that cannot be used; the text names the file, never what is in it. */
export class KeyError extends Error {
  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`);
    this.name = 'KeyError';
  }
}

const SIGNING_ALGORITHMS = new Map([
  ['Ed25519', 'EdDSA'],
  ['P-256', 'ES256'],
]);
const INDEX_KEY_BYTES = 32;
const TOKEN_BYTES = 32;
/** 256 bits in base62. */
const TOKEN_DIGITS = 43;
const TOKEN_PATTERN = /^[A-Za-z0-9._~+/-]{16,1024}=*$/;
const OWNER_ONLY_FILE = 0o600;
const OWNER_ONLY_FOLDER = 0o700;

/**
 * The keys in a folder; those that are missing are made, each in a file that only its owner can read. Several processes
 * that start at once end with the same keys. Throws `KeyError` where a file cannot be read, or holds something else.
 */
export const ensureKeys = (folder: string, files: KeyFiles = {}): Keys => {
  mkdirSync(folder, { recursive: true, mode: OWNER_ONLY_FOLDER });
  const warnings: string[] = [];
  const read = (path: string): string => {
    const result = readSecretFile(path);
    if ('problem' in result) throw new KeyError(path, result.problem);
    if (result.warning) warnings.push(`${path}: ${result.warning}`);
    return result.content.toString('utf8');
  };
  const keyOf = <T>(name: string, given: string | undefined, make: () => string, parse: Parse<T>): T => {
    const path = given ?? join(folder, name);
    if (given === undefined && !existsSync(path)) publish(folder, path, make());
    return parse(read(path), path);
  };
  const tokenFile = join(folder, 'admin-token');
  const created = !existsSync(tokenFile);
  return {
    sealing: keyOf('sealing-key.json', files.sealingKeyFile, makeSealingKey, parseSealingKey),
    commandSeal: keyOf('command-seal-key.json', files.commandSealKeyFile, makeSealingKey, parseSealingKey),
    signing: keyOf('signing-key.json', files.signingKeyFile, makeSigningKey, parseSigningKey),
    indexKey: keyOf('index-key', files.indexKeyFile, makeIndexKey, parseIndexKey),
    adminToken: { file: tokenFile, created, sha256: keyOf('admin-token', undefined, makeToken, digestOfToken) },
    warnings,
  };
};

type Parse<T> = (text: string, path: string) => T;

/** `rka_` and 256 random bits in base62: no character that a shell, a header or a URL would escape. */
const makeToken = (): string => `rka_${base62(BigInt(`0x${randomBytes(TOKEN_BYTES).toString('hex')}`), TOKEN_DIGITS)}`;

const digestOfToken: Parse<string> = (text, path) => {
  if (!TOKEN_PATTERN.test(text)) throw new KeyError(path, 'the file does not hold a bearer token');
  return createHash('sha256').update(text).digest('hex');
};

const makeIndexKey = (): string => randomBytes(INDEX_KEY_BYTES).toString('base64url');

const parseIndexKey: Parse<Buffer> = (text, path) => {
  const key = Buffer.from(text, 'base64url');
  if (!/^[\w-]+$/.test(text) || key.length < INDEX_KEY_BYTES)
    throw new KeyError(path, `the file does not hold ${INDEX_KEY_BYTES} bytes in base64url`);
  return key;
};

/** P-256: what every JOSE library can do. */
const makeSealingKey = (): string => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y, d } = privateKey.export({ format: 'jwk' });
  return JSON.stringify({ kty, crv, x, y, d });
};

/** The public half is computed, so that the two always belong together. */
const parseSealingKey: Parse<SealingKeys> = (text, path) => {
  try {
    const key = createPrivateKey({ key: JSON.parse(text) as JsonWebKey, format: 'jwk' });
    const point = createPublicKey(key).export({ format: 'jwk' }) as JWK;
    const { d } = key.export({ format: 'jwk' }) as JWK;
    const marks = { kid: thumbprint(point), use: 'enc', alg: 'ECDH-ES+A256KW' };
    return { publicKey: recipientKeySchema.parse({ ...point, ...marks }) as JWK, privateKey: { ...point, d } as JWK };
  } catch {
    throw new KeyError(path, 'the file does not hold a private JWK on P-256, P-384, P-521 or X25519');
  }
};

/** What a new `signing-key.json` holds: a private JWK on Ed25519 (RFC 8037 §2). */
export const makeSigningKey = (): string => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { kty, crv, x, d } = privateKey.export({ format: 'jwk' });
  return JSON.stringify({ kty, crv, x, d });
};

/** Reads a `signing-key.json`; a `kid` in it is kept, else it is the thumbprint. Throws `KeyError` with the path. */
export const parseSigningKey = (text: string, path: string): SigningKeys => {
  try {
    const jwk = JSON.parse(text) as JsonWebKey & { kid?: unknown };
    const key = createPrivateKey({ key: jwk, format: 'jwk' });
    const point = createPublicKey(key).export({ format: 'jwk' }) as JWK;
    const alg = SIGNING_ALGORITHMS.get(point.crv ?? '');
    if (alg === undefined) throw new Error('Not a curve of ours.');
    const kid = typeof jwk.kid === 'string' && jwk.kid !== '' ? jwk.kid : thumbprint(point);
    const publicKey: JWK = { ...point, kid, use: 'sig', alg };
    return { publicKey, privateKey: { ...publicKey, d: key.export({ format: 'jwk' }).d as string } };
  } catch {
    throw new KeyError(path, 'the file does not hold a private JWK on Ed25519 or P-256');
  }
};

/** RFC 7638. */
const thumbprint = ({ crv, kty, x, y }: JWK): string =>
  createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');

/** Puts a file in place whole, or leaves the one that another process has put there meanwhile. */
const publish = (folder: string, path: string, content: string): void => {
  const draft = join(folder, `.${randomUUID()}.tmp`);
  writeDurably(draft, `${content}\n`);
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
  const directory = openSync(folder, 'r');
  fsyncSync(directory);
  closeSync(directory);
};

const writeDurably = (path: string, content: string): void => {
  const file = openSync(path, 'wx', OWNER_ONLY_FILE);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
};
