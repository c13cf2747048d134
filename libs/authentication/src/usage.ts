import type { Instant } from '@rekey/domain';
import type { Clock } from '@rekey/ports';
import { addressText } from './networks';

/** How often a secret was used since the last batch, when last, and from which address, if that is known. */
export interface UsageEntry {
  /** Of the secret's document (`secretDocumentId`): secret ids are unique within an application only. */
  readonly id: string;
  readonly count: number;
  readonly lastUsedAt: Instant;
  readonly from?: string;
}

/** Takes a batch over for good, or rejects and has taken nothing. */
export type UsageSink = (batch: UsageEntry[]) => Promise<void>;

export interface UsageOptions {
  readonly clock: Clock;
  readonly sink: UsageSink;
  /** Told of every batch that the sink did not take; the entries are kept for the next one. */
  readonly onSinkFailed?: (error: unknown) => void;
  /** Told how many uses were forgotten, for the memory was full while the sink took nothing. */
  readonly onForgotten?: (uses: number) => void;
  readonly flushEveryMs?: number;
  /** Secrets that are counted at a time. */
  readonly secretsMax?: number;
}

const FLUSH_EVERY_MS = 5_000;
const SECRETS_MAX = 50_000;
/** Entries handed on at a time: so few that no check waits noticeably until a batch is made, and the store has taken it. */
const BATCH_MAX = 10;
/** A batch is followed by so many times its own length without one: the store's time is the checks' and their views'. */
const PAUSES = 3;
/** From this share of the memory on, a batch goes out without waiting for its time. */
const FLUSH_EARLY_SHARE = 0.5;

interface Counted {
  count: number;
  lastUsedAt: Instant;
  from: string | undefined;
}

/**
 * Collects uses of secrets off the path of the checks and hands them on in batches, at intervals and when it stops. After
 * each batch the store is left alone for a while that depends on how long it took.
 * While the sink fails, counts are kept and tried again; nothing is lost but by a crash, or by a full memory.
 */
export class UsageRecorder {
  private counted = new Map<string, Counted>();
  private flushing: Promise<void> | undefined;
  private cancelTimer: (() => void) | undefined;
  private readonly stopping = new AbortController();
  /** A sink that does not take batches is only asked at intervals. */
  private sinkFailed = false;
  private readonly flushEveryMs: number;
  private readonly secretsMax: number;

  constructor(private readonly options: UsageOptions) {
    this.flushEveryMs = options.flushEveryMs ?? FLUSH_EVERY_MS;
    this.secretsMax = options.secretsMax ?? SECRETS_MAX;
  }

  /** Counts one use. Does no I/O; `from` is an address as it came, and is read when the batch is made. */
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
    if (this.counted.size >= this.secretsMax) return this.options.onForgotten?.(1);
    this.counted.set(id, { count: 1, lastUsedAt: at, from });
    const full = this.counted.size >= this.secretsMax * FLUSH_EARLY_SHARE;
    if (full && !this.flushing && !this.sinkFailed) void this.flush();
  }

  /** Begins to hand on batches. */
  start(): void {
    if (this.stopping.signal.aborted || this.cancelTimer) return;
    this.cancelTimer = this.options.clock.schedule(this.flushEveryMs, () => {
      this.cancelTimer = undefined;
      void this.flush().finally(() => this.start());
    });
  }

  /**
   * Hands on all that is left, then does nothing more. Rejects with the sink's error where it does not take the last
   * batch; the caller may try again.
   */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    await this.flushing;
    if (this.counted.size > 0) await this.handOn();
  }

  /** Hands on what there is now; a failure of the sink is told to `onSinkFailed` and tried again by the next one. */
  flush(): Promise<void> {
    this.flushing ??= this.handOn()
      .catch((error: unknown) => this.options.onSinkFailed?.(error))
      .finally(() => {
        this.flushing = undefined;
      });
    return this.flushing;
  }

  private async handOn(): Promise<void> {
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
        if (leaving.size > 0) await this.leaveAlone(clock.monotonicMs() - startedMs);
      }
      this.sinkFailed = false;
    } catch (error) {
      this.sinkFailed = true;
      this.takeBack(leaving);
      throw error;
    }
  }

  /** Who stops does not pause. */
  private async leaveAlone(batchMs: number): Promise<void> {
    if (batchMs > 0) await this.options.clock.sleep(PAUSES * batchMs, this.stopping.signal);
  }

  /** Puts what was not taken under what was counted meanwhile. */
  private takeBack(batch: Map<string, Counted>): void {
    const meanwhile = this.counted;
    this.counted = batch;
    let forgotten = 0;
    for (const [id, newer] of meanwhile) {
      const older = batch.get(id);
      if (older) batch.set(id, { ...newer, count: older.count + newer.count });
      else if (batch.size < this.secretsMax) batch.set(id, newer);
      else forgotten += newer.count;
    }
    if (forgotten > 0) this.options.onForgotten?.(forgotten);
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
