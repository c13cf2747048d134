import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { EngineUnavailable } from '@rekey/ports';
import type { SqlValue } from './sqlite-statement';
import { STORE_FILE } from './store-file';
import { CLOSED, ENGINE, errorOf, type Failure } from './sqlite-errors';

const BUSY_TIMEOUT_MS = 5_000;

interface Answer {
  readonly id?: number;
  readonly values?: unknown[];
  readonly failure?: Failure;
}

interface PendingQuery {
  readonly resolve: (values: unknown[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Runs queries on the store of a folder in a worker thread, one after another. A query sees everything committed before
 * it was sent. The thread starts with the first query and does not keep the process alive.
 */
export class SqliteQueryThread {
  private readonly pending = new Map<number, PendingQuery>();
  private lastId = 0;
  private worker: Worker | undefined;
  private closed = false;

  constructor(private readonly folder: string) {}

  /** Returns the first column of the rows. Throws `EngineUnavailable` if the store cannot be read. */
  column(sql: string, params: readonly SqlValue[]): Promise<unknown[]> {
    if (this.closed) return Promise.reject(new EngineUnavailable(ENGINE, { cause: new Error(CLOSED) }));
    this.worker ??= this.start();
    const worker = this.worker;
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      this.pending.set(id, { resolve, reject });
      worker.postMessage({ id, sql, params });
    });
  }

  /** Finishes pending queries and ends the thread. */
  async close(): Promise<void> {
    this.closed = true;
    const worker = this.worker;
    if (!worker) return;
    await new Promise<void>((resolve) => {
      worker.once('exit', () => resolve());
      worker.postMessage({ close: true });
    });
  }

  private start(): Worker {
    const worker = new Worker(path.join(__dirname, 'sqlite-query-worker.mjs'), {
      workerData: { file: path.join(this.folder, STORE_FILE), busyTimeoutMs: BUSY_TIMEOUT_MS },
    });
    worker.unref();
    worker.on('message', ({ id, values = [], failure }: Answer) => {
      if (id === undefined) return this.failPending(failure && errorOf(failure));
      const query = this.pending.get(id);
      this.pending.delete(id);
      if (failure) query?.reject(errorOf(failure));
      else query?.resolve(values);
    });
    worker.on('error', (error) => this.failPending(error));
    worker.on('exit', () =>
      this.failPending(new Error('The query thread ended unexpectedly; the next query starts a new one.')),
    );
    return worker;
  }

  /** The next query starts a new thread. */
  private failPending(cause?: Error): void {
    this.worker = undefined;
    for (const { reject } of this.pending.values()) reject(new EngineUnavailable(ENGINE, { cause }));
    this.pending.clear();
  }
}
