import type { Instant } from '@rekey/domain';
import type { Clock } from '@rekey/ports';
import { addressText } from './networks';

/** Uses of a secret since the last batch. `from`: the address of the last use, if known. */
export interface UsageEntry {
  /** `secretDocumentId`, because a secret id is unique only within its application. */
  readonly id: string;
  readonly count: number;
  readonly lastUsedAt: Instant;
  readonly from?: string;
}

/** Stores a batch, or rejects and has stored nothing of it. */
export type UsageSink = (batch: UsageEntry[]) => Promise<void>;

export interface UsageOptions {
  readonly clock: Clock;
  readonly sink: UsageSink;
  /** Called when the sink rejects a batch. The entries are kept for the next one. */
  readonly onSinkFailed?: (error: unknown) => void;
  /** Called with the number of uses that were dropped because `secretsMax` was reached. */
  readonly onDropped?: (uses: number) => void;
  readonly flushEveryMs?: number;
  /** Secrets with pending counts; uses of further secrets are dropped. */
  readonly secretsMax?: number;
}

const FLUSH_EVERY_MS = 5_000;
const SECRETS_MAX = 50_000;
/** Entries per batch: few, so that checks do not wait noticeably while a batch is built and stored. */
const BATCH_MAX = 10;
/** Pause after a batch, as a multiple of the time that it took: leaves most of the store's time to checks and views. */
const PAUSES = 3;
/** Flush before the interval ends when this share of `secretsMax` is reached. */
const FLUSH_EARLY_SHARE = 0.5;

interface Counted {
  count: number;
  lastUsedAt: Instant;
  from: string | undefined;
}

/**
 * Counts uses of secrets in memory and stores them in batches, at intervals and on `stop`, with a pause after each batch.
 * If the sink fails, the counts are kept and retried. Counts are lost only by a crash or when `secretsMax` is reached.
 */
export class UsageRecorder {
  private counted = new Map<string, Counted>();
  private flushing: Promise<void> | undefined;
  private cancelTimer: (() => void) | undefined;
  private readonly stopping = new AbortController();
  /** While true, only the interval triggers a flush, not `secretsMax`. */
  private sinkFailed = false;
  private readonly flushEveryMs: number;
  private readonly secretsMax: number;

  constructor(private readonly options: UsageOptions) {
    this.flushEveryMs = options.flushEveryMs ?? FLUSH_EVERY_MS;
    this.secretsMax = options.secretsMax ?? SECRETS_MAX;
  }

  /** Counts one use, without I/O. `from` is an unparsed address; it is parsed when the batch is built. */
  record(id: string, at: Instant, from?: string): void {
    const known = this.counted.get(id);
    if (known) {
      known.count += 1;
      if (at >= known.lastUsedAt) {
        known.lastUsedAt = at;
        known.from = from;
      }
      return;
    }
    if (this.counted.size >= this.secretsMax) return this.options.onDropped?.(1);
    this.counted.set(id, { count: 1, lastUsedAt: at, from });
    const full = this.counted.size >= this.secretsMax * FLUSH_EARLY_SHARE;
    if (full && !this.flushing && !this.sinkFailed) void this.flush();
  }

  /** Starts flushing at intervals. */
  start(): void {
    if (this.stopping.signal.aborted || this.cancelTimer) return;
    this.cancelTimer = this.options.clock.schedule(this.flushEveryMs, () => {
      this.cancelTimer = undefined;
      void this.flush().finally(() => this.start());
    });
  }

  /**
   * Stops the interval and stores everything that is left. Rejects with the sink's error if that fails; the caller may
   * call it again.
   */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    await this.flushing;
    if (this.counted.size > 0) await this.storeAll();
  }

  /** Stores all pending counts. Does not reject: a failure is passed to `onSinkFailed`, and the next flush retries. */
  flush(): Promise<void> {
    this.flushing ??= this.storeAll()
      .catch((error: unknown) => this.options.onSinkFailed?.(error))
      .finally(() => {
        this.flushing = undefined;
      });
    return this.flushing;
  }

  private async storeAll(): Promise<void> {
    if (this.counted.size === 0) return;
    const { clock, sink } = this.options;
    const leaving = this.counted;
    this.counted = new Map();
    try {
      while (leaving.size > 0) {
        const batch = firstOf(leaving, BATCH_MAX);
        const startedMs = clock.monotonicMs();
        await sink(batch.map(([id, counted]) => entryOf(id, counted)));
        for (const [id] of batch) leaving.delete(id);
        if (leaving.size > 0) await this.pause(clock.monotonicMs() - startedMs);
      }
      this.sinkFailed = false;
    } catch (error) {
      this.sinkFailed = true;
      this.restore(leaving);
      throw error;
    }
  }

  /** Returns at once after `stop`. */
  private async pause(batchMs: number): Promise<void> {
    if (batchMs > 0) await this.options.clock.sleep(PAUSES * batchMs, this.stopping.signal);
  }

  /** Merges the entries that were not stored with what was counted since. */
  private restore(batch: Map<string, Counted>): void {
    const meanwhile = this.counted;
    this.counted = batch;
    let dropped = 0;
    for (const [id, newer] of meanwhile) {
      const older = batch.get(id);
      if (older) batch.set(id, { ...newer, count: older.count + newer.count });
      else if (batch.size < this.secretsMax) batch.set(id, newer);
      else dropped += newer.count;
    }
    if (dropped > 0) this.options.onDropped?.(dropped);
  }
}

const firstOf = <K, V>(map: ReadonlyMap<K, V>, count: number): [K, V][] => {
  const first: [K, V][] = [];
  for (const entry of map) if (first.push(entry) === count) break;
  return first;
};

const entryOf = (id: string, { count, lastUsedAt, from }: Counted): UsageEntry => {
  const address = addressText(from);
  return { id, count, lastUsedAt, ...(address !== undefined && { from: address }) };
};
