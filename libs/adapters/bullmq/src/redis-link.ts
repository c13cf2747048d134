import { RekeyError } from '@rekey/contracts';
import { DomainError } from '@rekey/domain';
import { EngineUnavailable } from '@rekey/ports';
import { Redis } from 'ioredis';
import { addressOf } from './redis-url';

/** Where failures are told; the same shape as a logger's method. */
export type ReportFailure = (facts: { err: unknown; queue?: string; job?: string }, message: string) => void;

export interface RedisLinkOptions {
  readonly url: string;
  readonly timeoutMs: number;
  readonly report: ReportFailure;
}

const ENGINE = 'Redis server';
/** The longest wait before a server that is away is looked for again. */
const RETRY_MS_MAX = 1_000;
/**
 * A worker's connection without an answer for so long is dead. BullMQ lets a worker's look for jobs rest in the server
 * for ten seconds at most.
 */
const SILENCE_MS = 15_000;

/**
 * The connections to a Redis. Both connect by themselves, and again after the server was away; the absence is told once.
 */
export class RedisLink {
  /** For calls of the port: what cannot be done now is not done later, when nobody waits for it any more. */
  readonly calls: Redis;
  /** For those who take jobs, who wait as long as it takes. BullMQ copies it for each, to wait for jobs on the copy. */
  readonly workers: Redis;
  private readonly password: string | undefined;
  private told = false;
  private closed = false;

  /** Throws `invalid_request` where the URL cannot be one. */
  constructor(private readonly options: RedisLinkOptions) {
    const address = addressOf(options.url);
    this.password = address.password;
    const common = {
      ...address,
      connectTimeout: options.timeoutMs,
      retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 10), RETRY_MS_MAX),
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
   * Does some work on `calls`, within the time limit. Throws `EngineUnavailable` where the server is away, refuses or is
   * late; what was to be done may then have been done, but nothing is begun after that.
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
      throw new EngineUnavailable(ENGINE, { cause: this.words(error) });
    } finally {
      clearTimeout(timer);
      late.abort();
    }
  }

  /** Tells a failure of somebody who works on a connection; of the server's absence once until it is back. */
  tell(error: unknown, of: { queue?: string }, message: string): void {
    if (this.closed) return;
    if (this.isReady()) return this.options.report({ err: this.words(error), ...of }, message);
    if (this.told) return;
    this.told = true;
    this.options.report({ err: this.words(error) }, 'The Redis server is away.');
  }

  /** Whether both connections stand; of one that stands it may not be known yet that the server has gone silent. */
  isReady(): boolean {
    return this.calls.status === 'ready' && this.workers.status === 'ready';
  }

  /** Nothing is waited for: what is under way on a connection fails. */
  close(): void {
    this.closed = true;
    this.calls.disconnect();
    this.workers.disconnect();
  }

  /** Errors of the client hold the command that failed, credentials and jobs included: only their words go on. */
  words(error: unknown): Error {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    // A connection that failed on each of several addresses says no more than that.
    const text = message || ((error as { code?: string }).code ?? 'no words');
    // A server that does not know a command says how it was called.
    return new Error(`${name}: ${this.password === undefined ? text : text.replaceAll(this.password, '***')}`);
  }

  private watched(redis: Redis): Redis {
    redis.on('error', (error) => this.tell(error, {}, 'A connection to the Redis server failed.'));
    redis.on('ready', () => {
      if (this.isReady()) this.told = false;
    });
    return redis;
  }

  private ready(late: AbortSignal): Promise<void> {
    if (this.calls.status === 'ready') return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.calls.once('ready', resolve);
      late.addEventListener('abort', () => {
        this.calls.off('ready', resolve);
        reject(new Error('There is no connection.'));
      });
    });
  }
}
