import { EngineUnavailable } from '@rekey/ports';
import Database from 'libsql';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

/** Another process works on the folder. */
export class FolderInUse extends Error {
  constructor(readonly folder: string) {
    super(`Another process works on the folder ${folder}.`);
    this.name = 'FolderInUse';
  }
}

/** Kept from the garbage collector, which would close them and so let go of their locks. */
const locks = new Set<Database.Database>();

/**
 * Takes a folder for this process, or throws `FolderInUse`. The lock is an open exclusive transaction on a file of its
 * own, so the system lets go of it with the process, however that ends. The answer gives the folder free.
 */
export const lockFolder = (folder: string): (() => void) => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = new Database(path.join(folder, 'rekey.lock'), { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') throw new FolderInUse(folder);
    throw new EngineUnavailable('folder of the store', { cause: error });
  }
  locks.add(lock);
  return () => {
    if (!locks.delete(lock)) return;
    lock.exec('ROLLBACK');
    lock.close();
  };
};
