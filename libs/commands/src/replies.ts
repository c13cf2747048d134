import {
  RekeyError,
  type CommandEnvelope,
  type CommandReply,
  type CommandResult,
  type PublicError,
} from '@rekey/contracts';
import { EngineUnavailable, type Position } from '@rekey/ports';

/** Where a stream ends, after the command. */
interface StreamEnd {
  readonly revision: number;
  readonly position: Position;
}

export const acceptedReply = (
  { id }: CommandEnvelope,
  { revision, position }: StreamEnd,
  result?: CommandResult,
): CommandReply => ({ id, status: 'accepted', replayed: false, revision, position, ...(result && { result }) });

export const rejectedReply = (
  { id }: CommandEnvelope,
  { revision, position }: StreamEnd,
  error: PublicError,
): CommandReply => ({ id, status: 'rejected', replayed: false, revision, position, error });

/** Returns a reply with more members in its result. */
export const withResult = (reply: CommandReply, more: CommandResult, replayed: boolean): CommandReply => {
  const result = { ...reply.result, ...more };
  return { ...reply, replayed, ...(Object.keys(result).length > 0 && { result }) };
};

export const idReused = (): RekeyError =>
  new RekeyError('idempotency_key_reused', 'This command id was used for another command. Use a new id.');

/** Not recorded as an outcome, because nothing was decided: the same command id may be sent again. */
export const busy = (): RekeyError =>
  new RekeyError('revision_conflict', 'Too many concurrent changes to this resource. Send the command again.');

/** Not recorded as an outcome: the same command with a new token is a new command. */
export const stale = (): RekeyError =>
  new RekeyError('unauthenticated', 'The token of this command has expired or is not valid yet. Sign it again.');

/** Maps an engine failure before the append to `unavailable`: the command was not executed. */
export const orUnavailable = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof EngineUnavailable)) throw cause;
    throw new RekeyError(
      'unavailable',
      'The command was not executed: a store is unavailable. Send it again.',
      {},
      { cause },
    );
  }
};

/** Maps an engine failure from the append on to `timeout`: the events may be stored, and only a retry finds out. */
export const orTimeout = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof EngineUnavailable)) throw cause;
    throw new RekeyError(
      'timeout',
      'The outcome of the command is unknown. Send it again under the same id.',
      {},
      { cause },
    );
  }
};
