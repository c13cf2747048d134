import { createHash } from 'node:crypto';

/** Returns the SHA-256 of UTF-8 text in lower-case hex. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
