import { Partitioners, type ICustomPartitioner, type Kafka, type Message, type Producer } from 'kafkajs';
import { kafkaClient, type KafkaConnection } from '../connection';
import { NotAllStored, NotSent, TopicMissing, isMissingTopic, isTooLarge } from '../failures';
import { type TopicDirectory } from '../topics/topics';

/** A message on its way to a topic. */
export interface PendingSend {
  /** Resolves when the topic has it. `TopicMissing`, `NotSent` and what is too large: it has not; else nobody knows. */
  readonly done: Promise<void>;
  /** Takes it back; false: too late, it may be sent by now. */
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
const LANES_MAX = 64;
const CLOSE_TIMEOUT_MS = 5_000;

/**
 * Sends messages, acknowledged by all replicas in sync. To one topic, one request is outstanding at a time, with all that
 * came meanwhile: so messages of one key arrive in the order of sending, also where the client sends a request again.
 * (The client's idempotent producer is not used: it loses acknowledged messages when responses are lost.)
 * Each topic has a producer of its own, so that one that is missing or slow is in nobody's way.
 */
export class OrderedProducer {
  private readonly client: Kafka;
  private readonly lanes = new Map<string, Lane>();
  private closed = false;
  private readonly closing = new AbortController();

  constructor(
    connection: KafkaConnection,
    private readonly directory: TopicDirectory,
  ) {
    this.client = kafkaClient(connection, 'producer', this.closing.signal);
  }

  /** Messages sent together are stored or fail together, and in this order. */
  post(topic: string, ...messages: readonly Message[]): PendingSend {
    if (this.closed) return { done: Promise.reject(new Error('The producer is closed.')), withdraw: () => true };
    let lane = this.lanes.get(topic);
    if (!lane) {
      this.forgetIdle();
      lane = new Lane(topic, this.client, this.directory);
      this.lanes.set(topic, lane);
    }
    return lane.post(messages);
  }

  /** Sends what was posted, as far as brokers answer in time; nothing more can be posted. */
  async close(): Promise<void> {
    this.closed = true;
    const giveUp = setTimeout(() => this.closing.abort(), CLOSE_TIMEOUT_MS);
    await Promise.all([...this.lanes.values()].map((lane) => lane.close()));
    clearTimeout(giveUp);
    this.closing.abort();
  }

  private forgetIdle(): void {
    if (this.lanes.size < LANES_MAX) return;
    for (const [topic, lane] of this.lanes)
      if (lane.isIdle) {
        this.lanes.delete(topic);
        void lane.close();
        return;
      }
  }
}

class Lane {
  private readonly waiting: Entry[] = [];
  private producer: Producer | undefined;
  private running: Promise<void> | undefined;
  /** Partitions of the request in hand. */
  private readonly chosen = new Set<number>();

  constructor(
    private readonly topic: string,
    private readonly client: Kafka,
    private readonly directory: TopicDirectory,
  ) {}

  get isIdle(): boolean {
    return this.running === undefined;
  }

  post(messages: readonly Message[]): PendingSend {
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
        // Before any is taken out, so that until then all can be withdrawn.
        await this.ready();
        await this.send(this.nextBatch());
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

  /** As other clients choose, and remembers what it chose. */
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

  private async send(batch: readonly Entry[]): Promise<void> {
    if (batch.length === 0) return;
    const messages = batch.flatMap((entry) => entry.messages);
    try {
      await this.refuseUnknownPartitions(messages);
      try {
        await this.hand(messages);
      } catch (error) {
        if (!(error instanceof NotAllStored)) throw error;
        await this.startAnew(error);
        await this.hand(messages);
      }
      for (const { resolve } of batch) resolve();
    } catch (error) {
      const someAreAtFault = isTooLarge(error) || error instanceof TopicMissing;
      if (batch.length > 1 && someAreAtFault) {
        for (const entry of batch) await this.send([entry]);
        return;
      }
      for (const { reject } of batch) reject(error);
      if (!someAreAtFault) await this.startAnew(error);
    }
  }

  /**
   * The client sends nothing to partitions that it has not heard of yet, nor to those that changed over to a broker that
   * has answered for others already, and says that all is well: so the answers are counted.
   */
  private async hand(messages: Message[]): Promise<void> {
    const producer = await this.ready();
    this.chosen.clear();
    const answers = await producer.send({ topic: this.topic, acks: ALL_REPLICAS, messages });
    for (const { partition } of answers) this.chosen.delete(partition);
    if (this.chosen.size > 0) throw new NotAllStored(this.topic);
  }

  private async refuseUnknownPartitions(messages: readonly Message[]): Promise<void> {
    const highest = Math.max(-1, ...messages.map(({ partition = -1 }) => partition));
    if (highest < 0 || highest < (await this.directory.partitionsOf(this.topic))) return;
    if (highest >= (await this.directory.partitionsOf(this.topic, { anew: true }))) throw new TopicMissing(this.topic);
  }

  /** A producer that once saw a topic that is gone fails for good, so the next message gets another one. */
  private async startAnew(error: unknown): Promise<void> {
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
