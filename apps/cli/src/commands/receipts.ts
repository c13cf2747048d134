import { receiptAnswer } from '@rekey/contracts';
import type { Answer } from '../client';
import { EXIT, Failure } from '../failure';
import type { Session } from '../session';

/** Throws a `Failure` with its own exit code if the server accepted a write that is not in effect everywhere yet. */
export const failIfPending = (answer: Answer): void => {
  if (answer.status !== 202) return;
  const id = answer.headers.get('rekey-command-id');
  throw new Failure(
    EXIT.pending,
    `Accepted, but not in effect everywhere yet.${id === null ? '' : ` Check later: rekey command ${id}`}`,
  );
};

/** Prints a receipt: what was done, and from when on every check refuses the secret. */
export const showReceipt = async (session: Session, answer: Answer, done: string): Promise<void> => {
  await session.show(answer, receiptAnswer.partial(), ({ effectiveAt, replayed }) => {
    const since = effectiveAt === undefined ? '' : ` In effect for every check received after ${effectiveAt}.`;
    return `${done}${since}${replayed ? ' (Already done by an earlier request with this idempotency key.)' : ''}`;
  });
  failIfPending(answer);
};

/** Notes that an accepted write is not visible in every view yet. */
export const noteAccepted = (session: Session, answer: Answer): void => {
  if (answer.status === 202) session.note('Accepted; not yet visible in every view.');
};
