import { RekeyError, type CommandReply } from '@rekey/contracts';
import { backoffMs, SystemClock, type Clock } from '@rekey/ports';

export interface RetryOptions {
  readonly clock: Clock;
  readonly commandId: string;
  readonly retryForMs: number;
  /** Whether to stop making attempts. */
  readonly ended: () => boolean;
  readonly signal?: AbortSignal | undefined;
}

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

/**
 * Sends a command repeatedly, with the same id, until its outcome is known or `retryForMs` is over. Rethrows rejections.
 * Otherwise throws `unavailable` if no attempt was executed and `timeout` if one may have been, with `commandId` in the
 * details for a later retry.
 */
export const retryUntilKnown = async (
  send: () => Promise<CommandReply>,
  { clock, commandId, retryForMs, ended, signal }: RetryOptions,
): Promise<CommandReply> => {
  const startMs = clock.monotonicMs();
  let mayBeExecuted = false;
  for (let attempt = 1; ; attempt++)
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof RekeyError) || (error.code !== 'timeout' && error.code !== 'unavailable')) throw error;
      mayBeExecuted ||= error.code === 'timeout';
      const waitMs = backoffMs(attempt, FIRST_WAIT_MS, LONGEST_WAIT_MS);
      const stopped = (): boolean => ended() || signal?.aborted === true;
      if (stopped() || clock.monotonicMs() - startMs + waitMs > retryForMs)
        throw unknownOutcome(error, mayBeExecuted, commandId);
      await clock.sleep(waitMs, signal);
      if (stopped()) throw unknownOutcome(error, mayBeExecuted, commandId);
    }
};

const unknownOutcome = (error: RekeyError, mayBeExecuted: boolean, commandId: string): RekeyError => {
  const code = mayBeExecuted ? 'timeout' : 'unavailable';
  const message =
    code === error.code ? error.message : 'The outcome is unknown. Send the command again with the same id.';
  return new RekeyError(code, message, { ...error.details, commandId }, { cause: error });
};

/** A clock whose timers keep the process alive, so that it does not exit while it waits for a reply. */
export class KeepAliveClock extends SystemClock {
  override schedule(delayMs: number, run: () => void): () => void {
    const timer = setTimeout(run, Math.min(delayMs, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  }
}
