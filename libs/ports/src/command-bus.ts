import type { Caller, CommandEnvelope, CommandReply } from '@rekey/contracts';

/** A command on its way, and for whom it travels. */
export interface CommandRequest {
  readonly command: CommandEnvelope;
  readonly caller: Caller;
  readonly correlationId: string;
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
