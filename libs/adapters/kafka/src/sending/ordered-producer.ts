import { Partitioners, type ICustomPartitioner, type Kafka, type Message, type Producer } from 'kafkajs';
import { kafkaClient, type KafkaConnection } from '../connection';
import { NotAllStored, NotSent, TopicMissing, isMissingTopic, isTooLarge } from '../failures';
import { type TopicDirectory } from '../topics/topics';

/** Messages that are being sent. */
export interface PendingSend {
  /** Resolves when all are stored. After `TopicMissing`, `NotSent` or a size error none is; after others it is unknown. */
  readonly done: Promise<void>;
  /** Cancels sending. Returns false if it is too late: the messages may have been sent. */
  readonly withdraw: () => boolean;
}

interface Entry {
  readonly messages: readonly Message[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const BATCH_MESSAGES_MAX = 500;
const BATCH_BYTES_MAX = 512 * 1024;
const TOPICS_MAX = 64;
const CLOSE_TIMEOUT_MS = 5_000;

/**
 * Sends messages with acknowledgement by all in-sync replicas. Each topic has one request outstanding at a time, and the
 * next one takes everything that has arrived meanwhile. So messages with the same key stay in order even when kafkajs
 * retries a request. (Its idempotent producer is not used: it loses acknowledged messages when responses are lost.)
 * Each topic has its own producer, so that a missing or slow topic does not delay the others.
 */
export class OrderedProducer {
  private readonly client: Kafka;
  private readonly topics = new Map<string, TopicProducer>();
  private closed = false;
  private readonly closing = new AbortController();

  constructor(
    connection: KafkaConnection,
    private readonly directory: TopicDirectory,
  ) {
    this.client = kafkaClient(connection, 'producer', this.closing.signal);
  }

  /** Queues messages, which are sent in one request, in this order. */
  send(topic: string, ...messages: readonly Message[]): PendingSend {
    if (this.closed) return { done: Promise.reject(new Error('The producer is closed.')), withdraw: () => true };
    let producer = this.topics.get(topic);
    if (!producer) {
      this.evictIdle();
      producer = new TopicProducer(topic, this.client, this.directory);
      this.topics.set(topic, producer);
    }
    return producer.send(messages);
  }

  /** Sends what is queued, as far as brokers answer in time. Nothing more can be queued. */
  async close(): Promise<void> {
    this.closed = true;
    const giveUp = setTimeout(() => this.closing.abort(), CLOSE_TIMEOUT_MS);
    await Promise.all([...this.topics.values()].map((producer) => producer.close()));
    clearTimeout(giveUp);
    this.closing.abort();
  }

  private evictIdle(): void {
    if (this.topics.size < TOPICS_MAX) return;
    for (const [topic, producer] of this.topics)
      if (producer.isIdle) {
        this.topics.delete(topic);
        void producer.close();
        return;
      }
  }
}

/** Sends the messages of one topic. */
class TopicProducer {
  private readonly waiting: Entry[] = [];
  private producer: Producer | undefined;
  private running: Promise<void> | undefined;
  /** Partitions of the current request that have not acknowledged. */
  private readonly chosen = new Set<number>();

  constructor(
    private readonly topic: string,
    private readonly client: Kafka,
    private readonly directory: TopicDirectory,
  ) {}

  get isIdle(): boolean {
    return this.running === undefined;
  }

  send(messages: readonly Message[]): PendingSend {
    let withdraw = (): boolean => false;
    const done = new Promise<void>((resolve, reject) => {
      const entry: Entry = { messages, bytes: sizeOf(messages), resolve, reject };
      this.waiting.push(entry);
      withdraw = () => {
        const place = this.waiting.indexOf(entry);
        if (place >= 0) this.waiting.splice(place, 1);
        return place >= 0;
      };
    });
    this.running ??= this.run();
    return { done, withdraw: () => withdraw() };
  }

  async close(): Promise<void> {
    await this.running;
    await this.producer?.disconnect();
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0)
      try {
        // Connect before messages leave the queue: until then they can be withdrawn.
        await this.ready();
        await this.sendBatch(this.nextBatch());
      } catch (error) {
        for (const { reject } of this.waiting.splice(0)) reject(error);
      }
    this.running = undefined;
  }

  private async ready(): Promise<Producer> {
    if (this.producer) return this.producer;
    let partitions: number;
    try {
      partitions = await this.directory.partitionsOf(this.topic);
    } catch (cause) {
      throw new NotSent(cause);
    }
    if (partitions === 0) throw new TopicMissing(this.topic);
    const producer = this.client.producer({ createPartitioner: this.partitioner, allowAutoTopicCreation: false });
    try {
      await producer.connect();
    } catch (cause) {
      throw new NotSent(cause);
    }
    return (this.producer = producer);
  }

  /** kafkajs's default partitioner, which records its choices. */
  private readonly partitioner: ICustomPartitioner = () => {
    const choose = Partitioners.DefaultPartitioner();
    return (message) => {
      const partition = choose(message);
      this.chosen.add(partition);
      return partition;
    };
  };

  private nextBatch(): Entry[] {
    let count = 0;
    let bytes = 0;
    const fits = this.waiting.findIndex((entry, index) => {
      count += entry.messages.length;
      bytes += entry.bytes;
      return index > 0 && (count > BATCH_MESSAGES_MAX || bytes > BATCH_BYTES_MAX);
    });
    return this.waiting.splice(0, fits < 0 ? this.waiting.length : fits);
  }

  private async sendBatch(batch: readonly Entry[]): Promise<void> {
    if (batch.length === 0) return;
    const messages = batch.flatMap((entry) => entry.messages);
    try {
      await this.refuseUnknownPartitions(messages);
      try {
        await this.request(messages);
      } catch (error) {
        if (!(error instanceof NotAllStored)) throw error;
        await this.discardProducer(error);
        await this.request(messages);
      }
      for (const { resolve } of batch) resolve();
    } catch (error) {
      const isFaultOfOne = isTooLarge(error) || error instanceof TopicMissing;
      if (batch.length > 1 && isFaultOfOne) {
        for (const entry of batch) await this.sendBatch([entry]);
        return;
      }
      for (const { reject } of batch) reject(error);
      if (!isFaultOfOne) await this.discardProducer(error);
    }
  }

  /**
   * Sends one request and checks that every partition has acknowledged. kafkajs reports success without sending anything
   * to partitions that it does not know yet, or that moved to a broker that has already answered for others.
   */
  private async request(messages: Message[]): Promise<void> {
    const producer = await this.ready();
    this.chosen.clear();
    const answers = await producer.send({ topic: this.topic, acks: ALL_REPLICAS, messages });
    for (const { partition } of answers) this.chosen.delete(partition);
    if (this.chosen.size > 0) throw new NotAllStored(this.topic);
  }

  private async refuseUnknownPartitions(messages: readonly Message[]): Promise<void> {
    const highest = Math.max(-1, ...messages.map(({ partition = -1 }) => partition));
    if (highest < 0 || highest < (await this.directory.partitionsOf(this.topic))) return;
    if (highest >= (await this.directory.partitionsOf(this.topic, { fresh: true }))) throw new TopicMissing(this.topic);
  }

  /** Makes the next request use a new producer: one that has seen a topic disappear fails forever. */
  private async discardProducer(error: unknown): Promise<void> {
    if (isMissingTopic(error)) this.directory.forget(this.topic);
    const { producer } = this;
    this.producer = undefined;
    await producer?.disconnect().catch(() => undefined);
  }
}

const ALL_REPLICAS = -1;

export const sizeOf = (messages: readonly Message[]): number =>
  messages.reduce((bytes, { key, value, headers = {} }) => {
    const parts = [key, value, ...Object.entries(headers).flat(2)];
    return bytes + parts.reduce<number>((sum, part) => sum + (part == null ? 0 : Buffer.byteLength(part)), 0);
  }, 0);
