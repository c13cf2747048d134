import { closeSync, openSync, readSync } from 'node:fs';

/** Two copies of the header of the WAL-index (https://sqlite.org/walformat.html §2.1), 48 bytes each. */
const HEADER_WORDS = 24;

/**
 * Numbers the states of a SQLite file in WAL mode. Every commit, of whatever process, changes the header of the
 * WAL-index, which lies in shared memory that is also a file; a commit is visible to readers from the moment that the
 * header says so. Reading it costs a quarter of `PRAGMA data_version`.
 */
export class WalIndex {
  private readonly seen = new Uint32Array(HEADER_WORDS);
  private readonly found = new Uint32Array(HEADER_WORDS);
  private readonly bytes = new Uint8Array(this.found.buffer);
  private descriptor: number | undefined;
  private state = 0;

  /** `file`: the database's own path. */
  constructor(private readonly file: string) {}

  /** The number of the state that a read would see now: the same as before where nothing was committed between. */
  current(): number {
    try {
      this.descriptor ??= openSync(`${this.file}-shm`, 'r');
      readSync(this.descriptor, this.bytes, 0, this.bytes.length, 0);
    } catch {
      // Where the file cannot be read, every state counts as a new one.
      return ++this.state;
    }
    const { found, seen } = this;
    for (let word = 0; word < HEADER_WORDS; word++) {
      if (found[word] === seen[word]) continue;
      seen.set(found);
      return ++this.state;
    }
    return this.state;
  }

  close(): void {
    if (this.descriptor !== undefined) closeSync(this.descriptor);
    this.descriptor = undefined;
  }
}

/**
 * The same for a process that alone acknowledges what is written to the file: within one turn of the event loop the
 * number is looked up once, unless a commit was told of between. So what was acknowledged, or seen by anybody, is always
 * seen; what else another process does to the file, from the next turn on.
 */
export class TurnState {
  private known: number | undefined;
  constructor(private readonly index: Pick<WalIndex, 'current'>) {}

  /** To be called before anybody learns of a commit, by this process's own word or by a look at the file. */
  readonly forget = (): void => {
    this.known = undefined;
  };

  current(): number {
    if (this.known !== undefined) return this.known;
    setImmediate(this.forget);
    return (this.known = this.index.current());
  }
}
