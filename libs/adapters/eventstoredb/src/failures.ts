import {
  AccessDeniedError,
  CancelledError,
  MaxAppendSizeExceededError,
  NotLeaderError,
  StreamDeletedError,
  StreamNotFoundError,
  UnavailableError,
} from '@eventstore/db-client';
import { RekeyError } from '@rekey/contracts';
import { EngineUnavailable } from '@rekey/ports';

/** How the store is called where it is away. */
export const ENGINE = 'event store';

/** What an append may hold, as the server counts: type (two bytes a character), data and metadata of all its events. */
export const APPEND_BYTES_MAX = 1_048_576;

/**
 * Events of the stream were deleted in EventStoreDB behind Rekey's back. What would be appended now could not begin at
 * the revision that its hash names, so nothing is.
 */
export class StreamRemoved extends Error {
  constructor(
    readonly stream: string,
    options?: ErrorOptions,
  ) {
    super('The stream was deleted in the event store; nothing more is appended to it.', options);
    this.name = 'StreamRemoved';
  }
}

/** The server did not answer, or not go on answering, within our own time. */
export class TimedOut extends Error {
  constructor(afterMs: number) {
    super(`No answer within ${afterMs} ms.`);
    this.name = 'TimedOut';
  }
}

export const tooLarge = (bytes: number, max: number): RekeyError =>
  new RekeyError('payload_too_large', `One append holds at most ${max} bytes.`, { bytes, max });

/** Whether a read says that there is no such stream, be it never begun, soft-deleted or tombstoned. */
export const saysNoStream = (error: unknown): boolean =>
  error instanceof StreamNotFoundError || error instanceof StreamDeletedError;

/** Whether the same call may well succeed when it is made again at once: the client has turned to another connection. */
export const isWorthAnotherCall = (error: unknown): boolean =>
  error instanceof UnavailableError || error instanceof CancelledError || error instanceof NotLeaderError;

/**
 * What a failed append certainly means, as the error to throw; undefined where nobody knows whether it was done, or
 * where it may be done next time. A wrong revision is another matter.
 */
export const refusalOf = (stream: string, bytes: number, error: unknown): Error | undefined => {
  if (error instanceof StreamDeletedError) return new StreamRemoved(stream, { cause: error });
  if (error instanceof MaxAppendSizeExceededError) return tooLarge(bytes, error.maxAppendSize);
  if (error instanceof AccessDeniedError) return new EngineUnavailable(ENGINE, { cause: error });
  return undefined;
};
