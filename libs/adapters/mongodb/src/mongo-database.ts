import { EngineUnavailable } from '@rekey/ports';
import {
  type Db,
  MongoClient,
  type MongoClientOptions,
  MongoError,
  MongoInvalidArgumentError,
  MongoServerError,
} from 'mongodb';

export interface MongoDatabaseOptions {
  /** Connection string. Its read concern, write concern and read preference are ignored: see `MongoDatabase`. */
  readonly uri: string;
  readonly database: string;
  /** Time limit of one call of a port, including all its round trips. Default 5,000. */
  readonly timeoutMs?: number;
}

export const TIMEOUT_MS = 5_000;
/** How often the driver checks whether an unavailable server is back. */
const HEARTBEAT_MS = 1_000;

/** The client is replaced after this many times the time limit without any answer. */
const REPLACE_AFTER_TIMEOUTS = 3;

/** Reads only what a majority has acknowledged and a failover therefore keeps. */
export const MAJORITY_READ = { readConcern: { level: 'majority' } } as const;

const DUPLICATE_KEY = 11_000;
const NAMESPACE_NOT_FOUND = 26;
const DOCUMENT_TOO_LARGE = 10_334;

/** Returns the driver's options for calls that may take `timeoutMs`. */
export const clientOptions = (timeoutMs: number): MongoClientOptions => {
  // Less than our own limit, so that the error is the driver's, which says what is wrong.
  const driverMs = Math.ceil(timeoutMs * 0.9);
  return {
    appName: 'rekey',
    readPreference: 'primary',
    readConcern: { level: 'local' },
    writeConcern: { w: 'majority' },
    serverSelectionTimeoutMS: driverMs,
    connectTimeoutMS: driverMs,
    waitQueueTimeoutMS: driverMs,
    // Without it, a connection that the server no longer answers on stays in the pool.
    socketTimeoutMS: driverMs,
    heartbeatFrequencyMS: HEARTBEAT_MS,
  };
};

/**
 * A database on a server that speaks MongoDB's protocol. Reads from the primary; writes are acknowledged by a majority.
 * Connects with the first call, and again when an unavailable server is back.
 */
export class MongoDatabase {
  private client: MongoClient;
  private closed = false;
  private connected: Promise<unknown> | undefined;
  /** When the first call failed since the last answer of the server. */
  private failingSinceMs: number | undefined;
  readonly timeoutMs: number;

  /** Throws if the connection string is malformed. */
  constructor(private readonly options: MongoDatabaseOptions) {
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.client = this.makeClient();
  }

  private makeClient(): MongoClient {
    return new MongoClient(this.options.uri, clientOptions(this.timeoutMs));
  }

  /**
   * Runs `work` within the time limit. Throws `EngineUnavailable` if the server cannot be reached, refuses or does not
   * answer in time; the outcome of a write is then unknown. `late` is aborted when the time is up: `work` must not send
   * anything after that.
   */
  async run<T>(work: (database: Db, late: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) throw new EngineUnavailable(ENGINE, { cause: new Error('Rekey is shutting down.') });
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        late.abort();
        reject(new EngineUnavailable(ENGINE, { cause: new Error(`No answer within ${this.timeoutMs} ms.`) }));
      }, this.timeoutMs);
    });
    try {
      const { client } = this;
      const database = client.db(this.options.database);
      const answer = await Promise.race([this.connect(client).then(() => work(database, late.signal)), timeout]);
      this.failingSinceMs = undefined;
      return answer;
    } catch (error) {
      this.replaceClientIfStuck();
      if (isSocketError(error)) throw new EngineUnavailable(ENGINE, { cause: error });
      if (!(error instanceof MongoError)) throw error;
      // The driver's errors hold the documents of the write, verifiers included: keep only the message.
      const cause = new Error(`${error.name}${error.code === undefined ? '' : ` ${error.code}`}: ${error.message}`);
      throw isUnavailable(error) ? new EngineUnavailable(ENGINE, { cause }) : cause;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Connects again after a failure, which the driver itself does not. */
  private connect(client: MongoClient): Promise<unknown> {
    this.connected ??= client.connect().catch((error: unknown) => {
      if (client === this.client) this.connected = undefined;
      throw error;
    });
    return this.connected;
  }

  /**
   * Replaces a client that has received no answer for long. The driver can lose its server for good: what it writes to a
   * socket that has just been destroyed never completes, not even with an error, and if that was its monitor's check, the
   * driver stops looking for the server. If the server really is down, this costs a few new clients.
   */
  private replaceClientIfStuck(): void {
    const nowMs = performance.now();
    this.failingSinceMs ??= nowMs;
    if (this.closed || nowMs - this.failingSinceMs < REPLACE_AFTER_TIMEOUTS * this.timeoutMs) return;
    const stuck = this.client;
    this.client = this.makeClient();
    this.connected = undefined;
    this.failingSinceMs = undefined;
    stuck.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.client.close();
  }
}

const ENGINE = 'MongoDB server';

/** False for errors that the caller has caused, which would otherwise be retried without end. */
const isUnavailable = (error: MongoError): boolean =>
  !(error instanceof MongoInvalidArgumentError) && error.code !== DOCUMENT_TOO_LARGE;

/** Whether the error is one of Node's about a socket, which the driver does not wrap. */
const isSocketError = (error: unknown): boolean =>
  error instanceof Error && /^(E[A-Z0-9]+|ERR_STREAM_\w+)$/.test((error as NodeJS.ErrnoException).code ?? '');

export const isDuplicate = (error: unknown): boolean =>
  error instanceof MongoServerError && error.code === DUPLICATE_KEY;

/** Whether a collection does not exist. The emulator sends the message without the code. */
export const isMissingCollection = (error: unknown): boolean =>
  error instanceof MongoServerError && (error.code === NAMESPACE_NOT_FOUND || error.message === 'ns not found');
