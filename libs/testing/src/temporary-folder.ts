import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface TemporaryFolder {
  readonly path: string;
  /** Deletes the folder with its contents. */
  remove(): void;
}

/** Creates a folder for a test in the system's temporary folder. */
export const temporaryFolder = (): TemporaryFolder => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-'));
  return { path: folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
};
