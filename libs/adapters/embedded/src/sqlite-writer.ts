import { EngineUnavailable } from '@rekey/ports';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { CLOSED, ENGINE, errorOf, type Failure } from './sqlite-errors';
import { checkBindable, type Step, type StepResult } from './sqlite-statement';
import { APPLICATION_ID } from './store-file';

const OPEN_SQL = [
  'PRAGMA journal_mode = WAL',
  'PRAGMA synchronous = FULL',
  'PRAGMA journal_size_limit = 67108864',
  // 16 MB: a page that many successive commits change is checkpointed once, which halves the cost of projecting.
  'PRAGMA wal_autocheckpoint = 4000',
  'PRAGMA cache_size = -32000',
  // Building an index sorts in temporary space, and the store's folder may be the only writable one.
  'PRAGMA temp_store = MEMORY',
];

/** Run once, on an empty file. */
const INIT_SQL = [
  `PRAGMA application_id = ${APPLICATION_ID}`,
  'CREATE TABLE rekey_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID',
];

interface WorkerMessage {
  readonly ready?: true;
  readonly failed?: Failure;
  readonly answers?: readonly { id: number; results?: StepResult[]; failure?: Failure }[];
}

interface PendingWrite {
  readonly resolve: (results: StepResult[]) => void;
  readonly reject: (error: Error) => void;
}

export interface SqliteWriterOptions {
  readonly file: string;
  /** How long a write waits for the lock of another process. */
  readonly busyTimeoutMs: number;
  /** Called after each commit of this writer. */
  readonly onCommit: () => void;
}

/** Writes to one SQLite file through a worker thread, which commits all waiting writes in one transaction. */
export class SqliteWriter {
  private readonly pending = new Map<number, PendingWrite>();
  private unsent: { id: number; steps: readonly Step[] }[] = [];
  private lastId = 0;
  private worker: Promise<Worker> | undefined;
  private closing: Promise<void> | undefined;

  private constructor(private readonly options: SqliteWriterOptions) {}

  /** Opens or initializes the file. Throws if that fails or if the file is not a Rekey store. */
  static async start(options: SqliteWriterOptions): Promise<SqliteWriter> {
    const writer = new SqliteWriter(options);
    writer.attach(await startWorker(options));
    return writer;
  }

  /** See `SqliteDatabase.write`. */
  write(steps: readonly Step[]): Promise<StepResult[]> {
    if (this.closing) return Promise.reject(new EngineUnavailable(ENGINE, { cause: new Error(CLOSED) }));
    for (const { params } of steps) params?.forEach(checkBindable);
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      this.pending.set(id, { resolve, reject });
      if (this.unsent.push({ id, steps }) === 1) queueMicrotask(() => this.send());
    });
  }

  /** Finishes pending writes, refuses new ones and ends the thread. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.send();
    const worker = await this.worker?.catch(() => undefined);
    if (!worker) return;
    await new Promise<void>((resolve) => {
      worker.once('exit', () => resolve());
      worker.postMessage({ close: true });
    });
  }

  private send(): void {
    if (this.unsent.length === 0) return;
    const requests = this.unsent;
    this.unsent = [];
    // The first write after the thread died starts a new thread.
    this.worker ??= startWorker(this.options).then((worker) => this.attach(worker));
    this.worker.then(
      (worker) => worker.postMessage({ requests }),
      (error: Error) => this.failPending(error),
    );
  }

  private attach(worker: Worker): Worker {
    this.worker = Promise.resolve(worker);
    worker.on('message', ({ answers = [] }: WorkerMessage) => {
      for (const { id, results, failure } of answers) {
        const write = this.pending.get(id);
        this.pending.delete(id);
        if (failure) write?.reject(errorOf(failure));
        else write?.resolve(results ?? []);
      }
      this.options.onCommit();
    });
    let cause = new Error('The write thread ended unexpectedly; the next write starts a new one.');
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => this.failPending(cause));
    return worker;
  }

  private failPending(cause: Error): void {
    this.worker = undefined;
    for (const { reject } of this.pending.values()) reject(new EngineUnavailable(ENGINE, { cause }));
    this.pending.clear();
  }
}

/** Resolves when the thread has opened the file. */
const startWorker = async ({ file, busyTimeoutMs }: SqliteWriterOptions): Promise<Worker> => {
  const workerData = { file, busyTimeoutMs, openSql: OPEN_SQL, initSql: INIT_SQL, applicationId: APPLICATION_ID };
  const worker = new Worker(path.join(__dirname, 'sqlite-worker.mjs'), { workerData });
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('The write thread ended before it had opened the store.')));
    worker.once('message', ({ failed }: WorkerMessage) => (failed ? reject(errorOf(failed)) : resolve()));
  });
  return worker;
};
