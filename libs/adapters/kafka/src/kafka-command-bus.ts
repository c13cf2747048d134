import { RekeyError, type CommandReply } from '@rekey/contracts';
import {
  CommandBus,
  type Clock,
  type CommandHandler,
  type CommandRequest,
  type SignCommand,
  type VerifyCommand,
} from '@rekey/ports';
import { CommandProcessor } from './receiving/command-processor';
import { CommandIntake } from './receiving/command-intake';
import { CommandServer } from './receiving/command-server';
import type { KafkaConnection } from './connection';
import { KafkaCommandSender } from './sending/kafka-command-sender';
import type { KafkaObserver } from './observer';
import { OrderedProducer } from './sending/ordered-producer';
import { TopicDirectory, type KafkaTopics } from './topics/topics';

export interface KafkaCommandBusOptions {
  readonly connection: KafkaConnection;
  readonly topics: KafkaTopics;
  readonly clock: Clock;
  /** Needed to send commands. */
  readonly sign?: SignCommand;
  /** Needed to handle commands. */
  readonly verify?: VerifyCommand;
  /** `kafka.replyTopics`: patterns of allowed reply topics; `*` matches any characters. Default: Rekey's own. */
  readonly replyTopics?: readonly string[];
  /** A command that has waited longer becomes a dead letter. Default: a day. */
  readonly maxCommandAgeMs?: number;
  /** Commands handled concurrently. Default 64. */
  readonly concurrency?: number;
  /** Unique name of this process. Default: a random one. */
  readonly instance?: string;
  readonly observer?: KafkaObserver;
}

const MAX_COMMAND_AGE_MS = 24 * 3_600_000;
const CONCURRENCY = 64;

/**
 * Commands and replies over Kafka. Starting never waits for a broker: `status` says what is not ready yet, and retries run
 * in the background.
 */
export class KafkaCommandBus extends CommandBus {
  private readonly directory: TopicDirectory;
  private readonly producer: OrderedProducer;
  private readonly sender: KafkaCommandSender | undefined;
  private server: CommandServer | undefined;
  private closed = false;
  private ended: Promise<void> | undefined;

  private constructor(private readonly options: KafkaCommandBusOptions) {
    super();
    const { connection, sign } = options;
    this.directory = new TopicDirectory(connection);
    this.producer = new OrderedProducer(connection, this.directory);
    if (sign)
      this.sender = KafkaCommandSender.open(
        { ...options, sign },
        { directory: this.directory, producer: this.producer },
      );
  }

  static open(options: KafkaCommandBusOptions): KafkaCommandBus {
    return new KafkaCommandBus(options);
  }

  async send(request: CommandRequest, timeoutMs: number): Promise<CommandReply> {
    if (this.closed) throw new RekeyError('unavailable', 'The command bus is closed.');
    if (!this.sender) throw new Error('This bus needs `sign` to send commands.');
    return this.sender.send(request, timeoutMs);
  }

  async serve(handler: CommandHandler): Promise<void> {
    const { connection, topics, clock, verify, observer = {} } = this.options;
    if (this.server) throw new Error('The bus already has a handler.');
    if (this.closed) throw new Error('The bus is closed.');
    if (!verify) throw new Error('This bus needs `verify` to handle commands.');
    const processor = new CommandProcessor({
      topics,
      handler,
      verify,
      clock,
      observer,
      allowsReplyTo: replyRule(topics, this.options.replyTopics ?? [topics.reply]),
      maxCommandAgeMs: this.options.maxCommandAgeMs ?? MAX_COMMAND_AGE_MS,
      producer: this.producer,
      log: connection.log,
    });
    const intake = new CommandIntake(
      (message, partition, signal) => processor.handle(message, partition, signal),
      this.options.concurrency ?? CONCURRENCY,
      connection.log,
    );
    this.server = new CommandServer({ connection, topics, directory: this.directory, intake, observer });
  }

  /** Returns whether this process can send and handle commands now. The cause is public text. */
  async status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    const { topics } = this.options;
    const own = [...(this.sender ? [topics.reply] : []), ...(this.server ? [topics.dead] : [])];
    const there = await this.directory.status([topics.commands, ...own]);
    if (!there.ready) return there;
    if (this.sender && !this.sender.joined) return { ready: false, cause: 'replies are not read yet' };
    if (this.server && !this.server.joined) return { ready: false, cause: 'commands are not consumed yet' };
    return there;
  }

  close(): Promise<void> {
    this.closed = true;
    this.ended ??= this.end();
    return this.ended;
  }

  private async end(): Promise<void> {
    await Promise.all([this.server?.close(), this.sender?.close()]);
    await this.producer.close();
    await this.directory.close();
  }
}

/** Returns the check of reply topics. Replies never go to Rekey's own topics that are not for replies. */
const replyRule = (topics: KafkaTopics, patterns: readonly string[]): ((topic: string) => boolean) => {
  const own = new Set([topics.commands, topics.dead, topics.events, topics.notifications]);
  const expressions = patterns.map((pattern) => {
    const parts = pattern.split('*').map((part) => part.replaceAll(/[^\w-]/g, String.raw`\$&`));
    return new RegExp(`^${parts.join('[\\w.-]*')}$`);
  });
  return (topic) => !own.has(topic) && expressions.some((expression) => expression.test(topic));
};
