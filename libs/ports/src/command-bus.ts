import type { Caller, CommandEnvelope, CommandReply } from '@rekey/contracts';

/** A command on its way, and for whom it travels. */
export interface CommandRequest {
  /** What its sender was about (W3C Trace Context); absent where nothing is traced. */
  readonly traceparent?: string;
  readonly command: CommandEnvelope;
  readonly caller: Caller;
  readonly correlationId: string;
  /**
   * Came with a proof of its sender that is right, and too old for a command that is new: it is only told the outcome
   * that it has already.
   */
  readonly stale?: true;
}

export type CommandHandler = (request: CommandRequest) => Promise<CommandReply>;

/**
 * Brings commands to the command-service and their replies back. Commands to one aggregate are handled in order.
 * Refusals are replies; what cannot be delivered throws a `RekeyError`: `unavailable` (certainly not taken) or
 * `timeout` (outcome unknown; send again under the same id).
 */
export abstract class CommandBus {
  abstract send(request: CommandRequest, timeoutMs: number): Promise<CommandReply>;

  /** Takes the handler of this process; a bus has at most one. */
  abstract serve(handler: CommandHandler): Promise<void>;

  /** Finishes what is in hand, takes nothing new. */
  abstract close(): Promise<void>;
}

/** What the proof of a command's sender covers where the command travels as a record: its parts, as their bytes. */
export interface CommandRecord {
  readonly value: Uint8Array;
  readonly key?: Uint8Array | undefined;
  readonly replyTopic?: Uint8Array | undefined;
  readonly replyPartition?: Uint8Array | undefined;
  readonly correlationId?: Uint8Array | undefined;
}

/** Makes the credential of one record, `Bearer …`; it counts for nothing else. */
export type SignCommand = (request: CommandRequest, record: CommandRecord) => Promise<string>;

/** Whose a record is. */
export interface VerifiedSender {
  readonly caller: Caller;
  /** False: the credential was too old, or not valid yet, when the record was taken into the topic. */
  readonly fresh: boolean;
  /** As its sender gave it; absent: that of the record counts. */
  readonly correlationId?: string;
}

/**
 * Knows the sender of a record with the command `commandId`, which was taken into its topic at `timestampMs` (since
 * 1970 UTC). Throws `unauthenticated` and `forbidden`.
 */
export type VerifyCommand = (
  authorization: string | undefined,
  record: CommandRecord,
  commandId: string,
  timestampMs: number,
) => Promise<VerifiedSender>;
