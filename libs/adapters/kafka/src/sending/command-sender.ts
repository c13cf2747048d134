import { ERRORS, RekeyError, type CommandReply, type ErrorCode } from '@rekey/contracts';
import type { Clock, CommandRecord, CommandRequest, SignCommand } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import type { KafkaMessage } from 'kafkajs';
import { HEADERS, NEST_ERROR, TRACE_HEADER, bytesOf, targetOf } from '../command-record';
import type { KafkaLog } from '../connection';
import { NotSent, TopicMissing, publicCause, isTooLarge } from '../failures';
import type { OrderedProducer, PendingSend } from './ordered-producer';
import type { ReplyReader } from './reply-reader';
import type { KafkaTopics } from '../topics/topics';

export interface CommandSenderOptions {
  readonly topics: KafkaTopics;
  readonly sign: SignCommand;
  readonly producer: OrderedProducer;
  readonly clock: Clock;
  readonly log: KafkaLog;
}

interface Pending {
  readonly resolve: (reply: CommandReply) => void;
  readonly reject: (error: RekeyError) => void;
}

/** Sends commands and matches replies to them by correlation id. */
export class CommandSender {
  /** By correlation id. */
  private readonly pending = new Map<string, Pending>();
  private readonly idleListeners: (() => void)[] = [];

  constructor(private readonly options: CommandSenderOptions) {}

  /** See `CommandBus.send`. */
  send(request: CommandRequest, reader: ReplyReader, timeoutMs: number): Promise<CommandReply> {
    const correlationId = randomUUID();
    let sending: PendingSend | undefined;
    return new Promise<CommandReply>((resolve, reject) => {
      const cancel = this.options.clock.schedule(timeoutMs, () => {
        const notSent = sending === undefined || sending.withdraw();
        pending.reject(notSent ? late() : unknown());
      });
      const ending = new AbortController();
      const settle = (): void => {
        cancel();
        ending.abort();
        this.pending.delete(correlationId);
        if (this.pending.size === 0) for (const tell of this.idleListeners.splice(0)) tell();
      };
      const pending: Pending = {
        resolve: (reply) => (settle(), resolve(reply)),
        reject: (error) => (settle(), reject(error)),
      };
      this.pending.set(correlationId, pending);
      this.start(request, correlationId, reader, ending.signal)
        .then((started) => {
          sending = started;
          return started?.done;
        })
        .catch((error: unknown) => pending.reject(failureOf(error)));
    });
  }

  /** Resolves the pending command of a reply. Ignores late or repeated replies and those to other processes. */
  onReply({ value, headers = {} }: KafkaMessage): void {
    const pending = this.pending.get(bytesOf(headers[HEADERS.correlationId])?.toString('latin1') ?? '');
    if (!pending || value === null) return;
    try {
      const reply = JSON.parse(value.toString('utf8')) as CommandReply;
      const { error } = reply;
      if (headers[NEST_ERROR] === undefined) pending.resolve(reply);
      else pending.reject(new RekeyError(codeOf(error?.code), error?.message ?? '', error?.details));
    } catch {
      this.options.log.warn({}, 'a reply could not be read');
    }
  }

  /** Resolves when no command waits for a reply. */
  async idle(): Promise<void> {
    if (this.pending.size > 0) await new Promise<void>((resolve) => this.idleListeners.push(resolve));
  }

  /** Signs and sends a command, unless its time is up by then: its sender was told that it was not sent. */
  private async start(
    request: CommandRequest,
    correlationId: string,
    reader: ReplyReader,
    signal: AbortSignal,
  ): Promise<PendingSend | undefined> {
    const { topics, sign, producer } = this.options;
    const partition = await reader.partition(signal);
    if (partition === undefined) return undefined;
    const replyPartition = Buffer.alloc(4);
    replyPartition.writeUInt32BE(partition);
    const { command } = request;
    const record = {
      value: Buffer.from(JSON.stringify(command)),
      key: Buffer.from(targetOf(command.data) ?? ''),
      replyTopic: Buffer.from(topics.reply),
      replyPartition,
      correlationId: Buffer.from(correlationId),
    } satisfies CommandRecord;
    const authorization = await sign(request, record);
    if (signal.aborted) return undefined;
    return producer.send(topics.commands, {
      key: record.key,
      value: record.value,
      headers: {
        [HEADERS.correlationId]: record.correlationId,
        [HEADERS.replyTopic]: record.replyTopic,
        [HEADERS.replyPartition]: record.replyPartition,
        [HEADERS.authorization]: authorization,
        ...(request.traceparent !== undefined && { [TRACE_HEADER]: request.traceparent }),
      },
    });
  }
}

const codeOf = (code: unknown): ErrorCode =>
  typeof code === 'string' && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'internal';

const failureOf = (error: unknown): RekeyError => {
  if (error instanceof RekeyError) return error;
  if (error instanceof TopicMissing || error instanceof NotSent)
    return new RekeyError('unavailable', publicCause(error));
  if (isTooLarge(error))
    return new RekeyError('payload_too_large', 'The command is larger than the Kafka brokers accept.');
  return new RekeyError('timeout', unknown().message, {}, { cause: error });
};

const late = (): RekeyError => new RekeyError('unavailable', 'The command was not sent in time. Send it again.');
const unknown = (): RekeyError =>
  new RekeyError('timeout', 'The outcome is unknown. Send the command again with the same id.');
