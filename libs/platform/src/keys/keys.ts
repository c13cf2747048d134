import { base62 } from '@rekey/domain';
import { recipientKeySchema } from '@rekey/contracts';
import { sha256 } from '@rekey/ports';
import { calculateJwkThumbprint, type JWK } from 'jose';
import {
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

/** All keys of an installation. */
export interface Keys {
  /** The token itself is in its file only. */
  readonly adminToken: { readonly file: string; readonly sha256: string; readonly created: boolean };
  /** Key of the gateways: the command service seals the values that it makes to it. */
  readonly sealing: SealingKeys;
  /** Key of the command service: imported values are sealed to it. */
  readonly commandSeal: SealingKeys;
  /** Signs the commands that this installation sends over Kafka. */
  readonly signing: SigningKeys;
  /** Key of the lookup ids of imported values, 32 bytes. */
  readonly indexKey: Buffer;
  /** Warnings for the log: key files that others can read. */
  readonly warnings: readonly string[];
}

/** Key files outside the folder. They must exist. */
export interface KeyFiles {
  readonly sealingKeyFile?: string | undefined;
  readonly commandSealKeyFile?: string | undefined;
  readonly signingKeyFile?: string | undefined;
  readonly indexKeyFile?: string | undefined;
}

/** A key file cannot be used. The message names the file and never its content. */
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
 * Returns the keys in a folder. Creates missing ones, each in a file that only its owner can read. Processes that start
 * at the same time get the same keys. Throws `KeyError` if a file cannot be read or does not hold its key.
 */
export const ensureKeys = async (folder: string, files: KeyFiles = {}): Promise<Keys> => {
  mkdirSync(folder, { recursive: true, mode: OWNER_ONLY_FOLDER });
  const warnings: string[] = [];
  const read = (path: string): string => {
    const result = readSecretFile(path);
    if ('problem' in result) throw new KeyError(path, result.problem);
    if (result.warning) warnings.push(`${path}: ${result.warning}`);
    return result.content.toString('utf8');
  };
  const keyOf = async <T>(name: string, given: string | undefined, make: () => string, parse: Parse<T>): Promise<T> => {
    const path = given ?? join(folder, name);
    if (given === undefined && !existsSync(path)) publish(folder, path, make());
    return parse(read(path), path);
  };
  const tokenFile = join(folder, 'admin-token');
  const created = !existsSync(tokenFile);
  return {
    sealing: await keyOf('sealing-key.json', files.sealingKeyFile, makeSealingKey, parseSealingKey),
    commandSeal: await keyOf('command-seal-key.json', files.commandSealKeyFile, makeSealingKey, parseSealingKey),
    signing: await keyOf('signing-key.json', files.signingKeyFile, makeSigningKey, parseSigningKey),
    indexKey: await keyOf('index-key', files.indexKeyFile, makeIndexKey, parseIndexKey),
    adminToken: { file: tokenFile, created, sha256: await keyOf('admin-token', undefined, makeToken, digestOfToken) },
    warnings,
  };
};

type Parse<T> = (text: string, path: string) => T | Promise<T>;

/** `rka_` and 256 random bits in base62: no character needs escaping in a shell, a header or a URL. */
const makeToken = (): string => `rka_${base62(BigInt(`0x${randomBytes(TOKEN_BYTES).toString('hex')}`), TOKEN_DIGITS)}`;

const digestOfToken: Parse<string> = (text, path) => {
  if (!TOKEN_PATTERN.test(text)) throw new KeyError(path, 'the file does not hold a bearer token');
  return sha256(text);
};

const makeIndexKey = (): string => randomBytes(INDEX_KEY_BYTES).toString('base64url');

const parseIndexKey: Parse<Buffer> = (text, path) => {
  const key = Buffer.from(text, 'base64url');
  if (!/^[\w-]+$/.test(text) || key.length < INDEX_KEY_BYTES)
    throw new KeyError(path, `the file does not hold ${INDEX_KEY_BYTES} bytes in base64url`);
  return key;
};

/** P-256, because every JOSE library supports it. */
const makeSealingKey = (): string => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y, d } = privateKey.export({ format: 'jwk' });
  return JSON.stringify({ kty, crv, x, y, d });
};

/** Derives the public key from the private one, so that a file with keys that do not match cannot be used. */
const parseSealingKey: Parse<SealingKeys> = async (text, path) => {
  try {
    const key = createPrivateKey({ key: JSON.parse(text) as JsonWebKey, format: 'jwk' });
    const point = createPublicKey(key).export({ format: 'jwk' }) as JWK;
    const { d } = key.export({ format: 'jwk' }) as JWK;
    const marks = { kid: await calculateJwkThumbprint(point), use: 'enc', alg: 'ECDH-ES+A256KW' };
    return { publicKey: recipientKeySchema.parse({ ...point, ...marks }) as JWK, privateKey: { ...point, d } as JWK };
  } catch {
    throw new KeyError(path, 'the file does not hold a private JWK on P-256, P-384, P-521 or X25519');
  }
};

/** Returns the content of a new `signing-key.json`: a private JWK on Ed25519 (RFC 8037 §2). */
const makeSigningKey = (): string => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { kty, crv, x, d } = privateKey.export({ format: 'jwk' });
  return JSON.stringify({ kty, crv, x, d });
};

/**
 * Parses a `signing-key.json`. Without a `kid` in it, the `kid` is the thumbprint (RFC 7638). Throws `KeyError` with the
 * path.
 */
export const parseSigningKey = async (text: string, path: string): Promise<SigningKeys> => {
  try {
    const jwk = JSON.parse(text) as JsonWebKey & { kid?: unknown };
    const key = createPrivateKey({ key: jwk, format: 'jwk' });
    const point = createPublicKey(key).export({ format: 'jwk' }) as JWK;
    const alg = SIGNING_ALGORITHMS.get(point.crv ?? '');
    if (alg === undefined) throw new Error('This curve is not supported.');
    const kid = typeof jwk.kid === 'string' && jwk.kid !== '' ? jwk.kid : await calculateJwkThumbprint(point);
    const publicKey: JWK = { ...point, kid, use: 'sig', alg };
    return { publicKey, privateKey: { ...publicKey, d: key.export({ format: 'jwk' }).d as string } };
  } catch {
    throw new KeyError(path, 'the file does not hold a private JWK on Ed25519 or P-256');
  }
};

/** Creates a file with its whole content. Keeps the file that another process created meanwhile. */
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
