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
  /** Connection string. What it says of concerns and read preference does not count: see `MongoDatabase`. */
  readonly uri: string;
  readonly database: string;
  /** How long one call of a port may take, everything in it included. Default 5,000. */
  readonly timeoutMs?: number;
}

export const TIMEOUT_MS = 5_000;
/** How often the driver looks for servers that were away. */
const HEARTBEAT_MS = 1_000;

/** After so many time limits without an answer, the driver is given up. */
const DEAD_AFTER_LIMITS = 3;

const DUPLICATE_KEY = 11_000;
const NAMESPACE_NOT_FOUND = 26;
const DOCUMENT_TOO_LARGE = 10_334;

/** What the driver is told, where a call of ours may take so long. */
export const clientOptions = (timeoutMs: number): MongoClientOptions => {
  // A little less than ours, so that it is the driver who says what is wrong.
  const driverMs = Math.ceil(timeoutMs * 0.9);
  return {
    appName: 'rekey',
    readPreference: 'primary',
    readConcern: { level: 'local' },
    writeConcern: { w: 'majority' },
    serverSelectionTimeoutMS: driverMs,
    connectTimeoutMS: driverMs,
    waitQueueTimeoutMS: driverMs,
    // A connection that a server no longer answers on must not stay in the pool.
    socketTimeoutMS: driverMs,
    heartbeatFrequencyMS: HEARTBEAT_MS,
  };
};

/**
 * A database on a server that speaks MongoDB's protocol: reads from the primary, writes acknowledged by a majority.
 * Connects by itself when it is first asked, and again after the server was away.
 */
export class MongoDatabase {
  private client: MongoClient;
  private closed = false;
  private connected: Promise<unknown> | undefined;
  /** When the first of the calls failed after which none was answered. */
  private failingSinceMs: number | undefined;
  readonly timeoutMs: number;

  /** Throws where the connection string cannot be one. */
  constructor(private readonly options: MongoDatabaseOptions) {
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.client = this.makeClient();
  }

  private makeClient(): MongoClient {
    return new MongoClient(this.options.uri, clientOptions(this.timeoutMs));
  }

  /**
   * Does some work, within the time limit. Throws `EngineUnavailable` where the server is away, refuses or is late; the
   * outcome of a write is then unknown. `late` is aborted when the time is over: nothing more may be begun then.
   */
  async run<T>(work: (database: Db, late: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) throw new EngineUnavailable(ENGINE);
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
      this.renewWhereDead();
      if (isOfSocket(error)) throw new EngineUnavailable(ENGINE, { cause: error });
      if (!(error instanceof MongoError)) throw error;
      // Errors of the driver hold what was to be written, verifiers included: only their words go on.
      const cause = new Error(`${error.name}${error.code === undefined ? '' : ` ${error.code}`}: ${error.message}`);
      throw isAway(error) ? new EngineUnavailable(ENGINE, { cause }) : cause;
    } finally {
      clearTimeout(timer);
    }
  }

  /** By itself, the driver connects once and never again where that failed. */
  private connect(client: MongoClient): Promise<unknown> {
    this.connected ??= client.connect().catch((error: unknown) => {
      if (client === this.client) this.connected = undefined;
      throw error;
    });
    return this.connected;
  }

  /**
   * The driver can lose its server for ever: what it writes to a socket that was destroyed a moment ago is never
   * answered, not even with an error, and where that was its monitor's question, nobody looks for the server any more.
   * So where nothing has been answered for long, another client takes over. A server that really is away costs that a
   * few new ones.
   */
  private renewWhereDead(): void {
    const nowMs = performance.now();
    this.failingSinceMs ??= nowMs;
    if (this.closed || nowMs - this.failingSinceMs < DEAD_AFTER_LIMITS * this.timeoutMs) return;
    const dead = this.client;
    this.client = this.makeClient();
    this.connected = undefined;
    this.failingSinceMs = undefined;
    dead.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.client.close();
  }
}

const ENGINE = 'MongoDB server';

/** What the caller itself is at fault for is not the server's absence: it would be tried again without end. */
const isAway = (error: MongoError): boolean =>
  !(error instanceof MongoInvalidArgumentError) && error.code !== DOCUMENT_TOO_LARGE;

/** What the system says of a socket that cannot be written to, the driver passes on as it is. */
const isOfSocket = (error: unknown): boolean =>
  error instanceof Error && /^(E[A-Z0-9]+|ERR_STREAM_\w+)$/.test((error as NodeJS.ErrnoException).code ?? '');

export const isDuplicate = (error: unknown): boolean =>
  error instanceof MongoServerError && error.code === DUPLICATE_KEY;

/** An emulator says it without the code. */
export const isNotThere = (error: unknown): boolean =>
  error instanceof MongoServerError && (error.code === NAMESPACE_NOT_FOUND || error.message === 'ns not found');
