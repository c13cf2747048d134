import { RekeyError, type CommandReply } from '@rekey/contracts';
import { backoffMs, SystemClock, type Clock } from '@rekey/ports';

export interface AttemptsOptions {
  readonly clock: Clock;
  readonly commandId: string;
  readonly retryForMs: number;
  /** No more attempts are made. */
  readonly ended: () => boolean;
  readonly signal?: AbortSignal | undefined;
}

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

/**
 * Sends a command again, under its one id, until its outcome is known or the time is up. Throws refusals as they come;
 * else `unavailable` where no attempt can have been taken, and `timeout` where one can: then nobody knows, and it is
 * safe to go on later under the `commandId` in the details.
 */
export const untilKnown = async (
  send: () => Promise<CommandReply>,
  { clock, commandId, retryForMs, ended, signal }: AttemptsOptions,
): Promise<CommandReply> => {
  const startMs = clock.monotonicMs();
  let mayBeTaken = false;
  for (let attempt = 1; ; attempt++)
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof RekeyError) || (error.code !== 'timeout' && error.code !== 'unavailable')) throw error;
      mayBeTaken ||= error.code === 'timeout';
      const waitMs = backoffMs(attempt, FIRST_WAIT_MS, LONGEST_WAIT_MS);
      const stopped = (): boolean => ended() || signal?.aborted === true;
      if (stopped() || clock.monotonicMs() - startMs + waitMs > retryForMs) throw told(error, mayBeTaken, commandId);
      await clock.sleep(waitMs, signal);
      if (stopped()) throw told(error, mayBeTaken, commandId);
    }
};

const told = (error: RekeyError, mayBeTaken: boolean, commandId: string): RekeyError => {
  const code = mayBeTaken ? 'timeout' : 'unavailable';
  const message =
    code === error.code ? error.message : 'The outcome is unknown. Send the command again under the same id.';
  return new RekeyError(code, message, { ...error.details, commandId }, { cause: error });
};

/** A process that waits for a reply does not end before it has one: the timers of this clock keep it alive. */
export class WaitingClock extends SystemClock {
  override schedule(delayMs: number, run: () => void): () => void {
    const timer = setTimeout(run, Math.min(delayMs, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  }
}
