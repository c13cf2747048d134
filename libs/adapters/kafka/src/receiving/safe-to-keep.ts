import { SECRET_PATTERN } from '@rekey/domain';

/** Names under which somebody may send a value that is not sealed. */
const NAMES = String.raw`[\w-]*pass(?:word|phrase)|(?:client|plain)?[_-]?(?:secret|value)|secret[_-]?(?:value|text)|plain[_-]?text`;
const NAMED = new RegExp(String.raw`(?<![\w-])(?:${NAMES})["']?\s*[:=]`, 'i');

/**
 * Whether a record may be kept outside its topic: text, in which no field has a name of plain values, and nothing looks
 * like a secret of ours. Of anything else nobody knows what is in it.
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
