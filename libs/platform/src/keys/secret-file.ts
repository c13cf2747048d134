import { readFileSync, statSync } from 'node:fs';

const OTHERS = 0o077;

/**
 * Reads a secret from a file and trims white space. Warns if others than the owner can read the file; that is not an
 * error, because secrets that container platforms mount often can be. Messages never quote the content.
 */
export const readSecretFile = (
  path: string,
  isPublic = false,
): { readonly content: Buffer; readonly warning?: string } | { readonly problem: string } => {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(path, 'utf8').trim();
    mode = statSync(path).mode;
  } catch (error) {
    return { problem: `the file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown cause'})` };
  }
  if (text === '') return { problem: 'the file is empty' };
  const content = Buffer.from(text, 'utf8');
  if (isPublic || (mode & OTHERS) === 0) return { content };
  return { content, warning: 'others than its owner can read the file; run chmod 600 on it' };
};
