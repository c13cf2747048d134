import { KeyedQueue } from '@rekey/ports';
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import type { KafkaLog } from '../connection';

/** Handles one record. Returns false if the signal was aborted first. Never throws. */
export type HandleRecord = (message: KafkaMessage, partition: number, signal: AbortSignal) => Promise<boolean>;

/** Unfinished records of a partition above which fetching pauses. */
const UNFINISHED_MAX = 512;
const COMMIT_RETRY_MS = 250;

/**
 * Takes records from the consumer's loop and returns at once, so that a waiting record delays neither heartbeats nor other
 * partitions. Records with the same key are handled in order, others concurrently. Commits the offset of the first
 * unfinished record of a partition.
 */
export class CommandIntake {
  /** Kept across rebalances: a record being handled may arrive again at once, and its key must stay in order. */
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

  /** Drops all records after a rebalance: those not committed arrive again, here or in another process. */
  reset(): void {
    for (const taken of this.partitions.values()) taken.revoke();
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
    records.fetched(payload);
  }

  /** Finishes and commits the records being handled. Waiting ones are left to another process. */
  async close(): Promise<void> {
    this.closed = true;
    for (const taken of this.partitions.values()) taken.stop();
    await this.queue.idle();
    await Promise.all([...this.partitions.values()].map((taken) => taken.flushed()));
  }
}

/** Records of one partition in order, from the first unfinished one. */
class PartitionRecords {
  private readonly ending = new AbortController();
  private readonly records: { readonly offset: string; done: boolean }[] = [];
  private payload: EachBatchPayload | undefined;
  private end = '';
  /** Committed offset. At first, the offset of the first record. */
  private committed = '';
  private revoked = false;
  private resume: (() => void) | undefined;
  private isCommitting = false;
  private committing: Promise<void> | undefined;

  constructor(private readonly log: KafkaLog) {}

  get signal(): AbortSignal {
    return this.ending.signal;
  }

  /** Adds a record. Returns a function to call when it is finished. */
  add(offset: string): () => void {
    if (this.committed === '') this.committed = offset;
    const record = { offset, done: false };
    this.records.push(record);
    return () => {
      record.done = true;
      while (this.records[0]?.done) this.records.shift();
      if (this.records.length <= UNFINISHED_MAX / 2) this.resumeFetching();
      this.commitSoon();
    };
  }

  fetched(payload: EachBatchPayload): void {
    this.payload = payload;
    this.end = (BigInt(payload.batch.lastOffset()) + 1n).toString();
    if (this.records.length > UNFINISHED_MAX) this.resume ??= payload.pause();
  }

  /** Resolves when the pending commit has succeeded or failed. */
  async flushed(): Promise<void> {
    await this.committing;
  }

  /** Starts no more records. Those being handled may finish. */
  stop(): void {
    this.ending.abort();
  }

  /** Commits nothing more: another process may have the partition by now. */
  revoke(): void {
    this.revoked = true;
    this.resumeFetching();
    this.stop();
  }

  private resumeFetching(): void {
    this.resume?.();
    this.resume = undefined;
  }

  private commitSoon(): void {
    if (this.isCommitting) return;
    this.isCommitting = true;
    this.committing = this.commit();
  }

  /** Sends one request at a time, each for everything finished by then. */
  private async commit(): Promise<void> {
    while (!this.revoked && this.payload) {
      const offset = this.records[0]?.offset ?? this.end;
      if (offset === this.committed) break;
      const { topic, partition } = this.payload.batch;
      try {
        await this.payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition, offset }] }] });
        this.committed = offset;
      } catch (error) {
        this.log.debug({ partition, offset, err: error }, 'an offset could not be committed');
        if (this.signal.aborted) break;
        await new Promise((resolve) => setTimeout(resolve, COMMIT_RETRY_MS));
      }
    }
    this.isCommitting = false;
  }
}
