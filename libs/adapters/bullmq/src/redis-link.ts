import { RekeyError } from '@rekey/contracts';
import { DomainError } from '@rekey/domain';
import { EngineUnavailable, backoffMs } from '@rekey/ports';
import { Redis } from 'ioredis';
import { parseRedisUrl } from './redis-url';

/** Reports failures; has the shape of a logger's method. */
export type ReportFailure = (facts: { err: unknown; queue?: string; job?: string }, message: string) => void;

export interface RedisLinkOptions {
  readonly url: string;
  readonly timeoutMs: number;
  readonly report: ReportFailure;
}

const ENGINE = 'Redis server';
/** First and longest wait before the next attempt to connect. */
const RETRY_MS_FIRST = 100;
const RETRY_MS_MAX = 1_000;
/**
 * A worker's connection without an answer for this long is closed. Longer than BullMQ's blocking requests, which wait for
 * jobs in the server for up to ten seconds.
 */
const SILENCE_MS = 15_000;

/**
 * The connections to Redis. Both connect and reconnect by themselves. An outage is reported once.
 */
export class RedisLink {
  /** For calls of the port. A call that fails is not repeated later, when its caller no longer waits for it. */
  readonly calls: Redis;
  /** For workers, which wait for as long as it takes. BullMQ duplicates it for each worker's blocking requests. */
  readonly workers: Redis;
  private readonly password: string | undefined;
  private outageReported = false;
  private closed = false;

  /** Throws `invalid_request` if the URL is invalid. */
  constructor(private readonly options: RedisLinkOptions) {
    const address = parseRedisUrl(options.url);
    this.password = address.password;
    const common = {
      ...address,
      connectTimeout: options.timeoutMs,
      retryStrategy: (times: number) => backoffMs(times, RETRY_MS_FIRST, RETRY_MS_MAX),
    };
    this.calls = this.watched(
      new Redis({
        ...common,
        connectionName: 'rekey',
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        socketTimeout: options.timeoutMs,
      }),
    );
    this.workers = this.watched(
      new Redis({ ...common, connectionName: 'rekey-workers', maxRetriesPerRequest: null, socketTimeout: SILENCE_MS }),
    );
  }

  /**
   * Runs work on `calls`. Throws `EngineUnavailable` if the server is unavailable, refuses, or does not answer in time. The
   * server may have done the work anyway, but nothing is sent after that.
   */
  async run<T>(work: () => Promise<T>, timeoutMs = this.options.timeoutMs): Promise<T> {
    if (this.closed) throw new EngineUnavailable(ENGINE);
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        late.abort();
        reject(new Error(`No answer within ${timeoutMs} ms.`));
      }, timeoutMs);
    });
    try {
      return await Promise.race([this.ready(late.signal).then(work), timeout]);
    } catch (error) {
      if (error instanceof RekeyError || error instanceof DomainError) throw error;
      throw new EngineUnavailable(ENGINE, { cause: this.withoutCredentials(error) });
    } finally {
      clearTimeout(timer);
      late.abort();
    }
  }

  /** Reports a failure of a queue or worker. Reports an outage of the server once until it is back. */
  report(error: unknown, of: { queue?: string }, message: string): void {
    if (this.closed) return;
    if (this.isReady()) return this.options.report({ err: this.withoutCredentials(error), ...of }, message);
    if (this.outageReported) return;
    this.outageReported = true;
    this.options.report({ err: this.withoutCredentials(error) }, 'The Redis server is unavailable.');
  }

  /** Whether both connections are open. A server that has just stopped answering may not be noticed yet. */
  isReady(): boolean {
    return this.calls.status === 'ready' && this.workers.status === 'ready';
  }

  /** Disconnects at once. Pending requests fail. */
  close(): void {
    this.closed = true;
    this.calls.disconnect();
    this.workers.disconnect();
  }

  /** Copies only the message of an error: the client's errors contain the failed command with its arguments. */
  withoutCredentials(error: unknown): Error {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    // A connection that failed on all of several addresses has a code but no message.
    const text = message || ((error as { code?: string }).code ?? 'unknown error');
    // The error for an unknown command quotes its arguments.
    return new Error(`${name}: ${this.password === undefined ? text : text.replaceAll(this.password, '***')}`);
  }

  private watched(redis: Redis): Redis {
    redis.on('error', (error) => this.report(error, {}, 'A connection to the Redis server failed.'));
    redis.on('ready', () => {
      if (this.isReady()) this.outageReported = false;
    });
    return redis;
  }

  private ready(late: AbortSignal): Promise<void> {
    if (this.calls.status === 'ready') return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.calls.once('ready', resolve);
      late.addEventListener('abort', () => {
        this.calls.off('ready', resolve);
        reject(new Error('Not connected.'));
      });
    });
  }
}
