import { RekeyError } from '@rekey/contracts';
import { CompactEncrypt, compactDecrypt, importJWK, type JWK } from 'jose';
import { LRUCache } from 'lru-cache';

const KEY_ALGORITHM = 'ECDH-ES+A256KW';
const CONTENT_ALGORITHM = 'A256GCM';
const RECIPIENTS_MAX = 1_000;

type ImportedKey = Awaited<ReturnType<typeof importJWK>>;

const recipients = new LRUCache<string, Promise<ImportedKey>>({ max: RECIPIENTS_MAX });
const openers = new WeakMap<JWK, Promise<ImportedKey>>();

/**
 * Seals a value to a public key: compact JWE (RFC 7516 §7.1), ECDH-ES+A256KW (RFC 7518 §4.6) with A256GCM. Throws
 * `invalid_request` for `recipientKey` if the key cannot be used.
 */
export const seal = async (value: string, publicJwk: JWK): Promise<string> => {
  const key = await recipientKey(publicJwk);
  const header = {
    alg: KEY_ALGORITHM,
    enc: CONTENT_ALGORITHM,
    ...(publicJwk.kid !== undefined && { kid: publicJwk.kid }),
  };
  return new CompactEncrypt(new TextEncoder().encode(value)).setProtectedHeader(header).encrypt(key);
};

/**
 * Opens a value that `seal` sealed, with the private key. Throws `invalid_request` for `field` if the text is not such a
 * JWE, was altered, or was sealed to another key, without telling which.
 */
export const open = async (jwe: string, privateJwk: JWK, field = 'sealedValue'): Promise<string> => {
  const key = await openingKey(privateJwk);
  try {
    const { plaintext } = await compactDecrypt(jwe, key, {
      keyManagementAlgorithms: [KEY_ALGORITHM],
      contentEncryptionAlgorithms: [CONTENT_ALGORITHM],
      maxDecompressedLength: 0,
    });
    return new TextDecoder('utf-8', { fatal: true }).decode(plaintext);
  } catch {
    throw new RekeyError('invalid_request', 'The value is not sealed to this recipient, or was altered.', { field });
  }
};

/** Imports a key once. Invalid keys are not cached. */
const recipientKey = async ({ kty, crv, x, y }: JWK): Promise<ImportedKey> => {
  const name = JSON.stringify([kty, crv, x, y]);
  let imported = recipients.get(name);
  if (!imported) {
    imported = importJWK({ kty: kty ?? '', crv: crv ?? '', x: x ?? '', ...(y !== undefined && { y }) }, KEY_ALGORITHM);
    recipients.set(name, imported);
  }
  try {
    return await imported;
  } catch (cause) {
    recipients.delete(name);
    throw new RekeyError(
      'invalid_request',
      'The key is not a public key for ECDH-ES.',
      { field: 'recipientKey' },
      { cause },
    );
  }
};

const openingKey = (privateJwk: JWK): Promise<ImportedKey> => {
  const known = openers.get(privateJwk);
  if (known) return known;
  const imported = importJWK(privateJwk, KEY_ALGORITHM);
  openers.set(privateJwk, imported);
  return imported;
};
