import { KeyedQueue } from '@rekey/ports';
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import type { KafkaLog } from '../connection';

/** Handles one record; false where the signal came before it was done. Never throws. */
export type HandleRecord = (message: KafkaMessage, partition: number, signal: AbortSignal) => Promise<boolean>;

/** Records of a partition that may wait or be in hand; with more, no more are fetched. */
const TAKEN_MAX = 512;
const COMMIT_AGAIN_MS = 250;

/**
 * Takes records from the consumer's loop and gives it free at once, so that a record that waits holds up neither the
 * consumer's heartbeats nor other partitions. Records of one key are handled in order, those of others side by side; the
 * offset that is committed is that of the first record that is not done.
 */
export class CommandIntake {
  /** Across assignments: what is in hand when the group is balanced anew may come again at once. */
  private readonly queue: KeyedQueue;
  private readonly partitions = new Map<number, PartitionRecords>();
  private closed = false;

  constructor(
    private readonly handle: HandleRecord,
    concurrency: number,
    private readonly log: KafkaLog,
  ) {
    this.queue = new KeyedQueue(concurrency);
  }

  /** The group was balanced anew: all that is not committed comes again, here or elsewhere. */
  reset(): void {
    for (const taken of this.partitions.values()) taken.giveUp();
    this.partitions.clear();
  }

  take(payload: EachBatchPayload): void {
    if (this.closed) return;
    const { partition, messages } = payload.batch;
    let taken = this.partitions.get(partition);
    if (!taken) this.partitions.set(partition, (taken = new PartitionRecords(this.log)));
    const records = taken;
    for (const message of messages) {
      const done = records.add(message.offset);
      const key = message.key ? message.key.toString('latin1') : `${partition} ${message.offset}`;
      this.queue.add(key, async () => {
        if (!records.signal.aborted && (await this.handle(message, partition, records.signal))) done();
      });
    }
    records.took(payload);
  }

  /** Finishes and commits what is in hand; what waits is left for another. */
  async close(): Promise<void> {
    this.closed = true;
    for (const taken of this.partitions.values()) taken.stop();
    await this.queue.idle();
    await Promise.all([...this.partitions.values()].map((taken) => taken.flushed()));
  }
}

/** Records of one partition, in order, from the first that is not done. */
class PartitionRecords {
  private readonly ending = new AbortController();
  private readonly records: { readonly offset: string; done: boolean }[] = [];
  private payload: EachBatchPayload | undefined;
  private end = '';
  /** What the group holds; at first, where it began to read. */
  private stored = '';
  private given = false;
  private resume: (() => void) | undefined;
  private isCommitting = false;
  private committing: Promise<void> | undefined;

  constructor(private readonly log: KafkaLog) {}

  get signal(): AbortSignal {
    return this.ending.signal;
  }

  /** Answers what to call when the record is done. */
  add(offset: string): () => void {
    if (this.stored === '') this.stored = offset;
    const record = { offset, done: false };
    this.records.push(record);
    return () => {
      record.done = true;
      while (this.records[0]?.done) this.records.shift();
      if (this.records.length <= TAKEN_MAX / 2) this.goOn();
      this.commitSoon();
    };
  }

  took(payload: EachBatchPayload): void {
    this.payload = payload;
    this.end = (BigInt(payload.batch.lastOffset()) + 1n).toString();
    if (this.records.length > TAKEN_MAX) this.resume ??= payload.pause();
  }

  /** Resolves when all that is done is committed, or cannot be. */
  async flushed(): Promise<void> {
    await this.committing;
  }

  /** Nothing more is begun; what is in hand may still be done. */
  stop(): void {
    this.ending.abort();
  }

  /** Another may have the partition by now: nothing more is committed. */
  giveUp(): void {
    this.given = true;
    this.goOn();
    this.stop();
  }

  private goOn(): void {
    this.resume?.();
    this.resume = undefined;
  }

  private commitSoon(): void {
    if (this.isCommitting) return;
    this.isCommitting = true;
    this.committing = this.commit();
  }

  /** One request at a time, each for all that is done by then. */
  private async commit(): Promise<void> {
    while (!this.given && this.payload) {
      const offset = this.records[0]?.offset ?? this.end;
      if (offset === this.stored) break;
      const { topic, partition } = this.payload.batch;
      try {
        await this.payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition, offset }] }] });
        this.stored = offset;
      } catch (error) {
        this.log.debug({ partition, offset, err: error }, 'an offset could not be committed');
        if (this.signal.aborted) break;
        await new Promise((resolve) => setTimeout(resolve, COMMIT_AGAIN_MS));
      }
    }
    this.isCommitting = false;
  }
}
