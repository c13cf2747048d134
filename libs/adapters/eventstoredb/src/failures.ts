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

/** Name of the engine in `EngineUnavailable`. */
export const ENGINE = 'event store (EventStoreDB)';

/** Size limit of an append, counted as the server does: type (two bytes per character), data and metadata of all events. */
export const APPEND_BYTES_MAX = 1_048_576;

/**
 * The stream was deleted in EventStoreDB, not by Rekey. Nothing can be appended: the next event would not be at the
 * revision that its hash includes.
 */
export class StreamRemoved extends Error {
  constructor(
    readonly stream: string,
    options?: ErrorOptions,
  ) {
    super(
      `The stream ${stream} was deleted in EventStoreDB, so nothing can be appended to it. Restore it from a backup.`,
      options,
    );
    this.name = 'StreamRemoved';
  }
}

/** The server did not answer, or stopped answering, within the time limit. */
export class TimedOut extends Error {
  constructor(afterMs: number) {
    super(`No answer from the server within ${afterMs} ms.`);
    this.name = 'TimedOut';
  }
}

export const tooLarge = (bytes: number, max: number): RekeyError =>
  new RekeyError('payload_too_large', `The events of one append may have at most ${max} bytes.`, { bytes, max });

/** Whether a read failed because the stream does not exist: never created, soft-deleted or tombstoned. */
export const isNoStream = (error: unknown): boolean =>
  error instanceof StreamNotFoundError || error instanceof StreamDeletedError;

/** Whether the call may succeed if it is repeated at once, because the client has since changed its connection. */
export const isRetryable = (error: unknown): boolean =>
  error instanceof UnavailableError || error instanceof CancelledError || error instanceof NotLeaderError;

/**
 * Returns the error to throw for an append that was definitely refused; undefined if its outcome is unknown or a retry may
 * succeed. Wrong revisions are handled by the caller.
 */
export const refusalOf = (stream: string, bytes: number, error: unknown): Error | undefined => {
  if (error instanceof StreamDeletedError) return new StreamRemoved(stream, { cause: error });
  if (error instanceof MaxAppendSizeExceededError) return tooLarge(bytes, error.maxAppendSize);
  if (error instanceof AccessDeniedError) return new EngineUnavailable(ENGINE, { cause: error });
  return undefined;
};
