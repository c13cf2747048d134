import { ServerKafka } from '@nestjs/microservices';
import type { Consumer } from 'kafkajs';
import type { CommandIntake } from './command-intake';
import { CONSUMER_OPTIONS, clientOptions, type KafkaConnection } from '../connection';
import { TopicMissing, waitBeforeRetry, publicCause } from '../failures';
import { CoordinatorWatch } from '../coordinator-watch';
import type { KafkaObserver } from '../observer';
import type { KafkaTopics, TopicDirectory } from '../topics/topics';

interface Listeners {
  /** The group was balanced anew. */
  readonly joined: () => void;
  /** The consumer has ended. */
  readonly ended: () => void;
}

/** Nest's Kafka transport, whose loop gives records away instead of handling them one by one. */
class KafkaServer extends ServerKafka {
  constructor(
    connection: KafkaConnection,
    private readonly topics: KafkaTopics,
    private readonly intake: CommandIntake,
    private readonly listeners: Listeners,
    signal: AbortSignal,
  ) {
    super({
      client: clientOptions(connection, 'consumer', signal),
      consumer: { ...CONSUMER_OPTIONS, groupId: topics.commandGroup },
      postfixId: '',
    });
  }

  /** Without a producer, for replies have their own; so a topic that is missing takes none of them with it. */
  override async start(callback: () => void): Promise<void> {
    const consumer = (this.client as unknown as { consumer: (options: unknown) => Consumer }).consumer({
      ...this.options.consumer,
      groupId: this.groupId,
    });
    this.consumer = consumer;
    this.registerConsumerEventListeners();
    await consumer.connect();
    await this.bindEvents(consumer);
    callback();
  }

  override async bindEvents(bound: Parameters<ServerKafka['bindEvents']>[0]): Promise<void> {
    const consumer = bound;
    consumer.on(consumer.events.GROUP_JOIN, () => this.listeners.joined());
    consumer.on(consumer.events.CRASH, () => this.listeners.ended());
    // From the beginning: what was sent before the group joined for the first time is not lost.
    await consumer.subscribe({ topics: [this.topics.commands], fromBeginning: true });
    const watch = new CoordinatorWatch(consumer);
    await consumer.run({
      autoCommit: false,
      eachBatch: async (payload) => {
        watch.check();
        this.intake.take(payload);
      },
    });
  }

  /** As `listen`, for those who wait. Throws where the topic is missing. */
  begin(): Promise<void> {
    return new Promise((resolve, reject) => {
      void this.listen((error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}

export interface CommandServerOptions {
  readonly connection: KafkaConnection;
  readonly topics: KafkaTopics;
  readonly directory: TopicDirectory;
  readonly intake: CommandIntake;
  readonly observer: KafkaObserver;
}

/** Keeps a consumer of commands at work: waits for brokers and topics, and replaces a consumer that has ended. */
export class CommandServer {
  private readonly closing = new AbortController();
  private readonly work: Promise<void>;
  private cause = '';
  /** Whether it has joined the group. */
  joined = false;

  constructor(private readonly options: CommandServerOptions) {
    this.work = this.keepServing();
  }

  /** Finishes and commits what is in hand, then leaves the group. */
  async close(): Promise<void> {
    await this.options.intake.close();
    this.closing.abort();
    await this.work;
  }

  private async keepServing(): Promise<void> {
    const { connection } = this.options;
    while (!this.closing.signal.aborted) {
      try {
        await this.serve();
      } catch (error) {
        const cause = publicCause(error);
        // Once, however often it is tried.
        connection.log[cause === this.cause ? 'debug' : 'warn']({ cause }, 'commands cannot be consumed; trying again');
        this.cause = cause;
      }
      this.joined = false;
      if (this.closing.signal.aborted) return;
      await waitBeforeRetry(this.closing.signal);
    }
  }

  /** Until the consumer ends, or this is closed. */
  private async serve(): Promise<void> {
    const { connection, topics, directory, intake, observer } = this.options;
    // Asked of the directory, which gives up soon: a consumer goes on trying long after it was told to stop.
    if ((await directory.partitionsOf(topics.commands)) === 0) throw new TopicMissing(topics.commands);
    if (this.closing.signal.aborted) return;
    let ended = (): void => undefined;
    const end = new Promise<void>((resolve) => (ended = resolve));
    this.closing.signal.addEventListener('abort', ended, { once: true });
    const joined = (): void => {
      this.joined = true;
      intake.reset();
    };
    const server = new KafkaServer(connection, topics, intake, { joined, ended }, this.closing.signal);
    try {
      await server.begin();
      this.cause = '';
      await end;
      this.joined = false;
      if (!this.closing.signal.aborted) observer.consumerRestarted?.('commands');
    } finally {
      this.closing.signal.removeEventListener('abort', ended);
      if (!this.closing.signal.aborted) intake.reset();
      await server.close();
    }
  }
}
