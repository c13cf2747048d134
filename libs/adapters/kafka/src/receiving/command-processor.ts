import { KafkaHeaders } from '@nestjs/microservices';
import { RekeyError, publicErrorOf, type CommandReply, type PublicError } from '@rekey/contracts';
import { backoffMs, EngineUnavailable, type Clock, type CommandHandler, type VerifyCommand } from '@rekey/ports';
import type { IHeaders, KafkaMessage, Message } from 'kafkajs';
import { isSafeToKeep } from './safe-to-keep';
import { HEADERS, bytesOf, readCommand, type ReadCommand } from '../command-record';
import type { KafkaLog } from '../connection';
import { withTimeout, publicCause, isTooLarge } from '../failures';
import type { DeadReason, KafkaObserver } from '../observer';
import type { OrderedProducer } from '../sending/ordered-producer';
import type { KafkaTopics } from '../topics/topics';

export interface CommandProcessorOptions {
  readonly topics: KafkaTopics;
  readonly handler: CommandHandler;
  readonly verify: VerifyCommand;
  /** Whether a topic is allowed for replies. */
  readonly allowsReplyTo: (topic: string) => boolean;
  readonly maxCommandAgeMs: number;
  readonly producer: OrderedProducer;
  readonly clock: Clock;
  readonly log: KafkaLog;
  readonly observer: KafkaObserver;
}

/** Reply to a command, with the error if it has no outcome. */
interface Answer {
  readonly reply: CommandReply;
  readonly error?: PublicError;
}

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;
/** No sender waits longer for a reply. */
const REPLY_TIMEOUT_MS = 30_000;

/** The dead-letter topic is unavailable. */
class DeadLettersUnavailable extends Error {}

/** Handles the records of the command topic: verifies, executes and answers commands, or writes a dead letter. */
export class CommandProcessor {
  constructor(private readonly options: CommandProcessorOptions) {}

  /**
   * Handles one record. Returns true when it is finished, false if the signal was aborted first. While a store is
   * unavailable, it retries without a reply until the record is too old.
   */
  async handle(message: KafkaMessage, partition: number, signal: AbortSignal): Promise<boolean> {
    const { clock, log, observer } = this.options;
    for (let attempt = 1; !signal.aborted; attempt++)
      try {
        await this.handleOnce(message, partition);
        return true;
      } catch (error) {
        const place = { partition, offset: message.offset };
        if (attempt === 1) log.warn({ ...place, err: error }, 'a command waits for an unavailable engine');
        observer.commandWaits?.();
        await clock.sleep(backoffMs(attempt, FIRST_WAIT_MS, LONGEST_WAIT_MS), signal);
      }
    return false;
  }

  private async handleOnce(message: KafkaMessage, partition: number): Promise<void> {
    const { clock, maxCommandAgeMs, allowsReplyTo } = this.options;
    if (clock.nowMs() - Number(message.timestamp) > maxCommandAgeMs)
      return this.deadLetter(message, partition, 'too_old');
    const read = readCommand(message);
    if (typeof read === 'string') return this.deadLetter(message, partition, read);
    if (read.reply && !allowsReplyTo(read.reply.topic))
      return this.deadLetter(message, partition, 'reply_topic_not_allowed');
    const answer = await this.answer(read, appendedAtMs(message) ?? clock.nowMs());
    await this.reply(read, answer);
  }

  /** Throws if a store is unavailable. */
  private async answer(read: ReadCommand, timestampMs: number): Promise<Answer> {
    const { handler, verify, log, observer } = this.options;
    const { command, record, target } = read;
    try {
      const sender = await verify(read.authorization, record, command.id, timestampMs);
      if (record.key && Buffer.from(record.key).toString('utf8') !== target) throw wrongKey();
      if (!record.key && target !== undefined) throw wrongKey();
      const correlationId = sender.correlationId ?? read.correlationId ?? command.id;
      const { caller, fresh } = sender;
      const { traceparent } = read;
      const more = { ...(!fresh && { stale: true as const }), ...(traceparent !== undefined && { traceparent }) };
      return { reply: await handler({ command, caller, correlationId, ...more }) };
    } catch (error) {
      if (isUnavailable(error)) throw error;
      const known = publicErrorOf(error);
      if (!known) log.error({ err: error, type: command.type }, 'a command could not be handled');
      const told = known ?? { code: 'internal' as const, message: 'Something went wrong.' };
      observer.commandRefused?.(told.code);
      log.info({ type: command.type, code: told.code }, 'command refused');
      const nowhere = { replayed: false, revision: -1, position: '' };
      return { reply: { id: command.id, status: 'rejected', ...nowhere, error: told }, error: told };
    }
  }

  /** Drops a reply that cannot be sent: the outcome is stored, and the sender can retry the command. */
  private async reply({ reply: address, record, command }: ReadCommand, { reply, error }: Answer): Promise<void> {
    if (!address) return;
    const { producer, clock, log, observer } = this.options;
    const { correlationId } = record;
    const message: Message = {
      key: correlationId ? Buffer.from(correlationId) : null,
      value: JSON.stringify(reply),
      headers: {
        ...(correlationId && { [HEADERS.correlationId]: Buffer.from(correlationId) }),
        // For Nest's clients: the only reply to this request, and whether to throw it as an error.
        [KafkaHeaders.NEST_IS_DISPOSED]: Buffer.alloc(1),
        ...(error && { [KafkaHeaders.NEST_ERR]: JSON.stringify(error) }),
      },
      ...(address.partition !== undefined && { partition: address.partition }),
    };
    try {
      await withTimeout(producer.send(address.topic, message).done, clock, REPLY_TIMEOUT_MS);
    } catch (failure) {
      observer.replyUndeliverable?.();
      log.warn({ topic: address.topic, type: command.type, cause: publicCause(failure) }, 'a reply could not be sent');
    }
  }

  /** Writes a dead letter without the record's credential and without a value that may contain a plaintext secret. */
  private async deadLetter(message: KafkaMessage, partition: number, reason: DeadReason): Promise<void> {
    const { topics, producer, log, observer } = this.options;
    const { key, value, offset, timestamp } = message;
    const kept = { key: key && isSafeToKeep(key) ? key : null, value: value && isSafeToKeep(value) ? value : null };
    const place = { 'rekey-topic': topics.commands, 'rekey-partition': String(partition), 'rekey-offset': offset };
    const headers: IHeaders = { 'rekey-reason': reason, ...place, 'rekey-timestamp': timestamp };
    for (const name of KEPT_HEADERS) {
      const header = bytesOf(message.headers?.[name]);
      if (header && isSafeToKeep(header)) headers[name] = header;
    }
    try {
      await producer.send(topics.dead, { ...kept, headers }).done;
    } catch (failure) {
      if (!isTooLarge(failure)) throw new DeadLettersUnavailable(publicCause(failure));
      await producer.send(topics.dead, { key: null, value: null, headers: { 'rekey-reason': reason, ...place } }).done;
    }
    observer.deadLettered?.(reason);
    log.warn({ reason, partition, offset }, 'a record became a dead letter');
  }
}

const LOG_APPEND_TIME = 1;

/** Returns when the broker appended a record, or undefined if the topic keeps the sender's timestamps. */
const appendedAtMs = (message: KafkaMessage): number | undefined => {
  const { batchContext } = message as { batchContext?: { timestampType?: number } };
  return batchContext?.timestampType === LOG_APPEND_TIME ? Number(message.timestamp) : undefined;
};

const KEPT_HEADERS = [HEADERS.correlationId, HEADERS.replyTopic, HEADERS.replyPartition, 'traceparent'];

const isUnavailable = (error: unknown): boolean =>
  error instanceof EngineUnavailable ||
  (error instanceof RekeyError && (error.code === 'unavailable' || error.code === 'timeout'));

const wrongKey = (): RekeyError =>
  new RekeyError(
    'invalid_request',
    'The key of the record must be the applicationId, or else the domainId, of its data.',
    {
      field: 'key',
    },
  );
