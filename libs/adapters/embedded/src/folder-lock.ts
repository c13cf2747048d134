import { EngineUnavailable } from '@rekey/ports';
import Database from 'libsql';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

/** Another process has locked the folder. */
export class FolderInUse extends Error {
  constructor(readonly folder: string) {
    super(`The folder ${folder} is in use by another Rekey process. Stop that process or use another folder.`);
    this.name = 'FolderInUse';
  }
}

/** Referenced here so that garbage collection does not close the connections and release the locks. */
const locks = new Set<Database.Database>();

/**
 * Locks a folder for this process. Throws `FolderInUse` if another process holds the lock. The lock is an open exclusive
 * transaction on a file of its own, so the system releases it when the process ends in any way. Returns a function that
 * releases it.
 */
export const lockFolder = (folder: string): (() => void) => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = new Database(path.join(folder, 'rekey.lock'), { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') throw new FolderInUse(folder);
    throw new EngineUnavailable(`lock file of the folder ${folder}`, { cause: error });
  }
  locks.add(lock);
  return () => {
    if (!locks.delete(lock)) return;
    lock.exec('ROLLBACK');
    lock.close();
  };
};
