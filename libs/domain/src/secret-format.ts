/**
 * The format of a generated secret value: `rky_<lookupId:10>_<random:43><checksum:6>`, base62 after the prefix. It needs
 * no escaping in a URL or in HTTP Basic, is selected by a double click, and can be found by a secret scanner.
 */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PREFIX = 'rky_';
const LOOKUP_LENGTH = 10;
const RANDOM_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const LOOKUP_SPACE = 62n ** BigInt(LOOKUP_LENGTH);

/** Random bytes in a value: 256 bits. */
export const RANDOM_BYTES = 32;
/** Random bytes for a lookup id. More than 62^10 needs, so that the modulo bias is negligible. */
export const LOOKUP_BYTES = 16;

/** For secret scanners: matches every generated value, and hardly anything else. */
export const SECRET_PATTERN = /\brky_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}\b/;
const WHOLE = new RegExp(`^${SECRET_PATTERN.source}$`);

/** The parts of a generated value. */
export interface ParsedSecret {
  readonly lookupId: string;
  readonly hint: string;
}

/** A presented value: `generated` has our prefix and a valid checksum, `malformed` our prefix only, `foreign` neither. */
export type Presented =
  ({ readonly kind: 'generated' } & ParsedSecret) | { readonly kind: 'malformed' } | { readonly kind: 'foreign' };

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** Returns the CRC-32 (ISO-HDLC, as in zlib) of ASCII text, as an unsigned number. */
export const crc32 = (text: string): number => {
  let crc = 0xffffffff;
  for (let index = 0; index < text.length; index++)
    crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ text.charCodeAt(index)) & 0xff] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
};

/** Returns a number in base62, most significant digit first, padded with `0` to `length`. */
export const base62 = (value: bigint, length: number): string => {
  let text = '';
  for (let rest = value; rest > 0n; rest /= 62n) text = (ALPHABET[Number(rest % 62n)] ?? '') + text;
  return text.padStart(length, '0');
};

const asNumber = (bytes: Uint8Array): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

/** Returns a lookup id of 10 characters from `LOOKUP_BYTES` bytes (random, or the start of an HMAC). */
export const lookupIdFrom = (bytes: Uint8Array): string => base62(asNumber(bytes) % LOOKUP_SPACE, LOOKUP_LENGTH);

/** Returns the secret value for a lookup id and `RANDOM_BYTES` bytes of a cryptographic random generator. */
export const composeSecret = (lookupId: string, random: Uint8Array): string => {
  const body = `${PREFIX}${lookupId}_${base62(asNumber(random), RANDOM_LENGTH)}`;
  return body + base62(BigInt(crc32(body)), CHECKSUM_LENGTH);
};

/** Returns the last four characters of a value, which are shown so that people can tell values apart. */
export const hintOf = (secret: string): string => secret.slice(-4);

const CHECKSUM_AT = PREFIX.length + LOOKUP_LENGTH + 1 + RANDOM_LENGTH;

/** Whether the last six characters are the checksum of the text before them. Avoids BigInt: it runs on every check. */
const hasRightChecksum = (value: string): boolean => {
  let stated = 0;
  for (let index = CHECKSUM_AT; index < value.length; index++)
    stated = stated * 62 + ALPHABET.indexOf(value.charAt(index));
  return stated === crc32(value.slice(0, CHECKSUM_AT));
};

/** Parses a presented value. */
export const parseSecret = (value: string): Presented => {
  if (!value.startsWith(PREFIX)) return { kind: 'foreign' };
  if (!WHOLE.test(value) || !hasRightChecksum(value)) return { kind: 'malformed' };
  return {
    kind: 'generated',
    lookupId: value.slice(PREFIX.length, PREFIX.length + LOOKUP_LENGTH),
    hint: hintOf(value),
  };
};
