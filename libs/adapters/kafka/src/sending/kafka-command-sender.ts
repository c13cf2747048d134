import { RekeyError, type CommandReply } from '@rekey/contracts';
import type { Clock, CommandRequest, SignCommand } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { CommandSender } from './command-sender';
import type { KafkaConnection } from '../connection';
import type { KafkaObserver } from '../observer';
import { OrderedProducer } from './ordered-producer';
import { ReplyReader } from './reply-reader';
import { TopicDirectory, type KafkaTopics } from '../topics/topics';

export interface KafkaCommandSenderOptions {
  readonly connection: KafkaConnection;
  readonly topics: KafkaTopics;
  readonly clock: Clock;
  readonly sign: SignCommand;
  /** Unique name of this process. Default: a random one. */
  readonly instance?: string;
  readonly observer?: KafkaObserver;
}

/** What a sender shares with the bus that it belongs to. */
interface Shared {
  readonly directory: TopicDirectory;
  readonly producer: OrderedProducer;
}

/**
 * The sending side of `KafkaCommandBus`. Usable on its own, without Nest. Starting never waits for a broker: `status` says
 * what is not ready yet.
 */
export class KafkaCommandSender {
  private readonly directory: TopicDirectory;
  private readonly producer: OrderedProducer;
  private readonly sender: CommandSender;
  private readonly reader: ReplyReader;
  private closed = false;
  private ended: Promise<void> | undefined;

  private constructor(
    private readonly options: KafkaCommandSenderOptions,
    private readonly shared?: Shared,
  ) {
    const { connection, topics, clock, sign } = options;
    this.directory = shared?.directory ?? new TopicDirectory(connection);
    this.producer = shared?.producer ?? new OrderedProducer(connection, this.directory);
    const sender = new CommandSender({ topics, sign, producer: this.producer, clock, log: connection.log });
    this.sender = sender;
    this.reader = new ReplyReader({
      connection,
      topics,
      directory: this.directory,
      instance: options.instance ?? randomUUID(),
      observer: options.observer ?? {},
      onReply: (message) => sender.onReply(message),
    });
  }

  static open(options: KafkaCommandSenderOptions, shared?: Shared): KafkaCommandSender {
    return new KafkaCommandSender(options, shared);
  }

  /** See `CommandBus.send`. */
  async send(request: CommandRequest, timeoutMs: number): Promise<CommandReply> {
    if (this.closed) throw new RekeyError('unavailable', 'The command sender is closed.');
    return this.sender.send(request, this.reader, timeoutMs);
  }

  /** Returns whether commands can be sent and replies read now. The cause is public text. */
  async status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    const { commands, reply } = this.options.topics;
    const there = await this.directory.status([commands, reply]);
    return there.ready && !this.joined ? { ready: false, cause: 'replies are not read yet' } : there;
  }

  /** Whether replies are being read. */
  get joined(): boolean {
    return this.reader.joined;
  }

  /** Rejects new commands and resolves when every sent one has its reply or has timed out. */
  close(): Promise<void> {
    this.closed = true;
    this.ended ??= this.end();
    return this.ended;
  }

  private async end(): Promise<void> {
    await this.sender.idle();
    await this.reader.close();
    // The bus closes what it shares.
    if (this.shared) return;
    await this.producer.close();
    await this.directory.close();
  }
}
