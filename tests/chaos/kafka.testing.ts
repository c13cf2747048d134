import { topicsOf, type KafkaTopics } from '@rekey/adapters/kafka';
import { Kafka, logLevel, type KafkaMessage } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosEngine } from './engines.testing';

const POLL_MS = 50;
const LAG_WITHIN_MS = 30_000;
const READ_WITHIN_MS = 20_000;

/** Reads and repeats the records in the commands topic. */
export class ChaosKafka {
  readonly topics: KafkaTopics;
  private readonly client: Kafka;
  /** By partition: records before this offset must not be repeated, because their outcomes may have been lost. */
  private readonly expired = new Map<number, number>();

  constructor(engine: ChaosEngine, prefix: string) {
    this.topics = topicsOf(prefix);
    const retry = { retries: 100, initialRetryTime: 100, maxRetryTime: 1_000 };
    this.client = new Kafka({ brokers: [engine.proxied], clientId: 'chaos', logLevel: logLevel.NOTHING, retry });
  }

  /** Resolves when every command in the topic has been handled. */
  async settled(): Promise<void> {
    const admin = this.client.admin();
    await admin.connect();
    const { commands: topic, commandGroup: groupId } = this.topics;
    for (const deadline = performance.now() + LAG_WITHIN_MS; ; await sleep(POLL_MS)) {
      const ends = await admin.fetchTopicOffsets(topic);
      const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
      const done = new Map(group?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
      const left = ends.filter(({ partition, high }) => high !== '0' && (done.get(partition) ?? -1) < Number(high));
      if (left.length === 0) break;
      const told = left.map(({ partition, high }) => `${partition} at ${done.get(partition)} of ${high}`).join(', ');
      if (performance.now() > deadline) throw new Error(`Commands in the topic are not handled: ${told}`);
    }
    await admin.disconnect();
  }

  /** Excludes all records that are in the topic now from `sendAgain`. */
  async forget(): Promise<void> {
    for (const [partition, high] of await this.ends()) this.expired.set(partition, high);
  }

  /** Sends the latest records of the commands topic again, unchanged. Returns how many. */
  async sendAgain(most: number): Promise<number> {
    const { commands: topic } = this.topics;
    const found = await this.latest(most);
    const producer = this.client.producer();
    await producer.connect();
    for (const { partition, message } of found) {
      const { key, value, headers } = message;
      await producer.send({ topic, acks: -1, messages: [{ key, value, partition, ...(headers && { headers }) }] });
    }
    await producer.disconnect();
    return found.length;
  }

  /** Returns the latest records of each partition. */
  private async latest(most: number): Promise<{ partition: number; message: KafkaMessage }[]> {
    const { commands: topic } = this.topics;
    const ends = await this.ends();
    const from = (partition: number, high: number): number =>
      Math.max(high - most, this.expired.get(partition) ?? 0, 0);
    const awaited = new Set(
      [...ends].filter(([partition, high]) => from(partition, high) < high).map(([each]) => each),
    );
    const found: { partition: number; message: KafkaMessage }[] = [];
    const consumer = this.client.consumer({ groupId: `chaos-${randomUUID()}`, maxWaitTimeInMs: 100 });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        const high = ends.get(partition) ?? 0;
        const offset = Number(message.offset);
        if (offset < high && offset >= from(partition, high)) found.push({ partition, message });
        if (offset >= high - 1) awaited.delete(partition);
      },
    });
    for (const [partition, high] of ends) consumer.seek({ topic, partition, offset: String(from(partition, high)) });
    for (const deadline = performance.now() + READ_WITHIN_MS; awaited.size > 0; await sleep(POLL_MS))
      if (performance.now() > deadline) throw new Error('The commands topic could not be read in time.');
    await consumer.disconnect();
    return found;
  }

  private async ends(): Promise<Map<number, number>> {
    const admin = this.client.admin();
    await admin.connect();
    const ends = await admin.fetchTopicOffsets(this.topics.commands);
    await admin.disconnect();
    return new Map(ends.map(({ partition, high }) => [partition, Number(high)]));
  }
}
