import { createHash } from 'node:crypto';
import { AssignerProtocol, type Consumer, type KafkaMessage, type PartitionAssigner } from 'kafkajs';
import { CONSUMER_OPTIONS, kafkaClient, type KafkaConnection } from '../connection';
import { TopicMissing, waitBeforeRetry, publicCause } from '../failures';
import { CoordinatorWatch } from '../coordinator-watch';
import type { KafkaObserver } from '../observer';
import type { KafkaTopics, TopicDirectory } from '../topics/topics';

export interface ReplyReaderOptions {
  readonly connection: KafkaConnection;
  readonly topics: KafkaTopics;
  readonly directory: TopicDirectory;
  /** Unique name of this process. */
  readonly instance: string;
  readonly observer: KafkaObserver;
  readonly onReply: (message: KafkaMessage) => void;
}

/**
 * Reads one partition of the reply topic, from its end when this process started, in its own consumer group: rebalances
 * caused by other processes cannot make it miss a reply. Replies to others in the partition are ignored.
 */
export class ReplyReader {
  private readonly closing = new AbortController();
  private readonly work: Promise<void>;
  private place: { readonly partition: number; next: string } | undefined;
  private readonly placeListeners = new Set<() => void>();
  private cause = '';
  private consumers = 0;
  joined = false;

  constructor(private readonly options: ReplyReaderOptions) {
    this.work = this.keepReading();
  }

  /** Resolves with the partition once every later reply in it will be read, or undefined if the signal is aborted first. */
  async partition(signal: AbortSignal): Promise<number | undefined> {
    if (!this.place)
      await new Promise<void>((resolve) => {
        const done = (): void => {
          this.placeListeners.delete(done);
          resolve();
        };
        this.placeListeners.add(done);
        signal.addEventListener('abort', done, { once: true });
      });
    return this.place?.partition;
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.work;
  }

  private async keepReading(): Promise<void> {
    const { connection } = this.options;
    while (!this.closing.signal.aborted) {
      try {
        await this.read();
      } catch (error) {
        const cause = publicCause(error);
        // Warn once per cause, not on every retry.
        connection.log[cause === this.cause ? 'debug' : 'warn']({ cause }, 'replies cannot be read; trying again');
        this.cause = cause;
      }
      this.joined = false;
      if (this.closing.signal.aborted) return;
      await waitBeforeRetry(this.closing.signal);
    }
  }

  /** Resolves when the consumer crashes or this reader is closed. */
  private async read(): Promise<void> {
    const { connection, topics, instance, observer } = this.options;
    const place = (this.place ??= await this.begin());
    for (const tell of this.placeListeners) tell();
    if (this.closing.signal.aborted) return;
    let ended = (): void => undefined;
    const end = new Promise<void>((resolve) => (ended = resolve));
    this.closing.signal.addEventListener('abort', ended, { once: true });
    const consumer = kafkaClient(connection, 'consumer', this.closing.signal).consumer({
      ...CONSUMER_OPTIONS,
      // A new group each time: the old one would first wait for its crashed member.
      groupId: `${topics.replyGroup}.${instance}.${++this.consumers}`,
      partitionAssigners: [assignOnly(place.partition)],
    });
    consumer.on(consumer.events.GROUP_JOIN, () => {
      this.joined = true;
      consumer.seek({ topic: topics.reply, partition: place.partition, offset: place.next });
    });
    consumer.on(consumer.events.CRASH, () => ended());
    try {
      await this.run(consumer, place);
      this.cause = '';
      await end;
      this.joined = false;
      if (!this.closing.signal.aborted) observer.consumerRestarted?.('replies');
    } finally {
      this.closing.signal.removeEventListener('abort', ended);
      await consumer.disconnect();
    }
  }

  private async begin(): Promise<{ readonly partition: number; next: string }> {
    const { directory, topics, instance } = this.options;
    const partitions = await directory.partitionsOf(topics.reply);
    if (partitions === 0) throw new TopicMissing(topics.reply);
    const partition = createHash('sha256').update(instance).digest().readUInt32BE() % partitions;
    const next = await directory.endOf(topics.reply, partition);
    if (next === undefined) throw new TopicMissing(topics.reply);
    return { partition, next };
  }

  private async run(consumer: Consumer, place: { next: string }): Promise<void> {
    const { topics, onReply } = this.options;
    await consumer.connect();
    await consumer.subscribe({ topics: [topics.reply], fromBeginning: false });
    const watch = new CoordinatorWatch(consumer);
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        watch.check();
        for (const message of batch.messages) onReply(message);
        place.next = (BigInt(batch.lastOffset()) + 1n).toString();
      },
    });
  }
}

/** Assigns a single partition to the only member of a group. */
const assignOnly =
  (partition: number): PartitionAssigner =>
  () => ({
    name: 'rekey-one-partition',
    version: 0,
    protocol: ({ topics }) => ({
      name: 'rekey-one-partition',
      metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }),
    }),
    assign: async ({ members, topics }) =>
      members.map(({ memberId }) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version: 0,
          assignment: Object.fromEntries(topics.map((topic) => [topic, [partition]])),
          userData: Buffer.alloc(0),
        }),
      })),
  });
