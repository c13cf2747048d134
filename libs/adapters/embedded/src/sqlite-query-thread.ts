import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { EngineUnavailable } from '@rekey/ports';
import type { SqlValue } from './sqlite-statement';
import { STORE_FILE } from './store-file';
import { errorOf, type Failure } from './sqlite-errors';

const BUSY_TIMEOUT_MS = 5_000;

interface Answer {
  readonly id?: number;
  readonly values?: unknown[];
  readonly failure?: Failure;
}

interface Asked {
  readonly resolve: (values: unknown[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Asks the store of a folder from a thread of its own, one question after the other. A question sees what was committed
 * before it was asked. The thread begins with the first question and does not keep the process alive.
 */
export class SqliteQueryThread {
  private readonly asked = new Map<number, Asked>();
  private lastId = 0;
  private worker: Worker | undefined;
  private closed = false;

  constructor(private readonly folder: string) {}

  /** The first column of the rows. Throws `EngineUnavailable` where the store is away. */
  column(sql: string, params: readonly SqlValue[]): Promise<unknown[]> {
    if (this.closed) return Promise.reject(new EngineUnavailable('embedded store'));
    this.worker ??= this.start();
    const worker = this.worker;
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      this.asked.set(id, { resolve, reject });
      worker.postMessage({ id, sql, params });
    });
  }

  /** Answers what is asked, then ends. */
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
      if (id === undefined) return this.abandon(failure && errorOf(failure));
      const asked = this.asked.get(id);
      this.asked.delete(id);
      if (failure) asked?.reject(errorOf(failure));
      else asked?.resolve(values);
    });
    worker.on('error', (error) => this.abandon(error));
    worker.on('exit', () => this.abandon(new Error('The asking thread has ended.')));
    return worker;
  }

  /** A thread that died is replaced by the next question. */
  private abandon(cause?: Error): void {
    this.worker = undefined;
    for (const { reject } of this.asked.values()) reject(new EngineUnavailable('embedded store', { cause }));
    this.asked.clear();
  }
}
