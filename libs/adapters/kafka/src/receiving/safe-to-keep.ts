import { SECRET_PATTERN } from '@rekey/domain';

/** Field names under which a plaintext value may be sent. */
const NAMES = String.raw`[\w-]*pass(?:word|phrase)|(?:client|plain)?[_-]?(?:secret|value)|secret[_-]?(?:value|text)|plain[_-]?text`;
const NAMED = new RegExp(String.raw`(?<![\w-])(?:${NAMES})["']?\s*[:=]`, 'i');

/**
 * Whether bytes may be copied to the dead letters: UTF-8 text without a field named like a plaintext value and without
 * anything that looks like a secret of Rekey. Other bytes may contain anything, so they are not copied.
 */
export const isSafeToKeep = (value: Buffer): boolean => {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(value);
  } catch {
    return false;
  }
  const plain = text.replaceAll(/\\u([\da-f]{4})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return !plain.includes('\0') && !NAMED.test(plain) && !SECRET_PATTERN.test(plain);
};
