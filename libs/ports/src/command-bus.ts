import type { Caller, CommandEnvelope, CommandReply } from '@rekey/contracts';

/** A command, and who sends it. */
export interface CommandRequest {
  /** The sender's trace (W3C Trace Context); absent if tracing is off. */
  readonly traceparent?: string;
  readonly command: CommandEnvelope;
  readonly caller: Caller;
  readonly correlationId: string;
  /** The sender's token has expired. The command is answered with its outcome if it has one, and rejected otherwise. */
  readonly stale?: true;
}

export type CommandHandler = (request: CommandRequest) => Promise<CommandReply>;

/**
 * Sends commands to the command service and returns their replies. Commands to one aggregate are handled in order. A
 * rejection is a reply. `send` throws a `RekeyError` if there is no reply: `unavailable` if the command was not executed,
 * `timeout` if its outcome is unknown; send it again under the same id.
 */
export abstract class CommandBus {
  abstract send(request: CommandRequest, timeoutMs: number): Promise<CommandReply>;

  /** Sets the handler of this process, and starts to receive commands. Throws if there is one already. */
  abstract serve(handler: CommandHandler): Promise<void>;

  /** Accepts no more commands, and resolves when those under way are handled. */
  abstract close(): Promise<void>;
}

/** The parts of a Kafka record that the sender's token covers, as bytes. */
export interface CommandRecord {
  readonly value: Uint8Array;
  readonly key?: Uint8Array | undefined;
  readonly replyTopic?: Uint8Array | undefined;
  readonly replyPartition?: Uint8Array | undefined;
  readonly correlationId?: Uint8Array | undefined;
}

/** Returns the credential of one record, `Bearer …`. It is not valid for any other record. */
export type SignCommand = (request: CommandRequest, record: CommandRecord) => Promise<string>;

/** The verified sender of a record. */
export interface VerifiedSender {
  readonly caller: Caller;
  /** False if the credential had expired, or was not valid yet, when the record was appended to its topic. */
  readonly fresh: boolean;
  /** The correlation id in the credential; absent if the record's own applies. */
  readonly correlationId?: string;
}

/**
 * Returns the sender of a record with the command `commandId` that was appended to its topic at `timestampMs`
 * (milliseconds since 1970 UTC). Throws `unauthenticated` and `forbidden`.
 */
export type VerifyCommand = (
  authorization: string | undefined,
  record: CommandRecord,
  commandId: string,
  timestampMs: number,
) => Promise<VerifiedSender>;
