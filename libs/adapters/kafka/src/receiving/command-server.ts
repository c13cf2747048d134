import { ServerKafka } from '@nestjs/microservices';
import type { Consumer } from 'kafkajs';
import type { CommandIntake } from './command-intake';
import { CONSUMER_OPTIONS, clientOptions, type KafkaConnection } from '../connection';
import { TopicMissing, waitBeforeRetry, publicCause } from '../failures';
import { CoordinatorWatch } from '../coordinator-watch';
import type { KafkaObserver } from '../observer';
import type { KafkaTopics, TopicDirectory } from '../topics/topics';

interface Listeners {
  /** The group was rebalanced. */
  readonly joined: () => void;
  /** The consumer has crashed. */
  readonly ended: () => void;
}

/** Nest's Kafka transport with a loop that hands records to the intake instead of handling them one by one. */
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

  /** Starts no producer: replies have their own, one per topic, so that a missing topic affects no other. */
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
    // From the beginning, so that commands sent before the group first joined are not lost.
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

  /** Same as `listen`, as a promise. Throws if the topic does not exist. */
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

/** Keeps a consumer of commands running: waits for brokers and topics, and replaces a crashed consumer. */
export class CommandServer {
  private readonly closing = new AbortController();
  private readonly work: Promise<void>;
  private cause = '';
  /** Whether the consumer has joined the group. */
  joined = false;

  constructor(private readonly options: CommandServerOptions) {
    this.work = this.keepServing();
  }

  /** Finishes and commits the commands in progress, then leaves the group. */
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
        // Warn once per cause, not on every retry.
        connection.log[cause === this.cause ? 'debug' : 'warn']({ cause }, 'commands cannot be consumed; trying again');
        this.cause = cause;
      }
      this.joined = false;
      if (this.closing.signal.aborted) return;
      await waitBeforeRetry(this.closing.signal);
    }
  }

  /** Resolves when the consumer crashes or this server is closed. */
  private async serve(): Promise<void> {
    const { connection, topics, directory, intake, observer } = this.options;
    // Checked with the directory, which fails fast. A consumer would keep retrying long after it was stopped.
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
