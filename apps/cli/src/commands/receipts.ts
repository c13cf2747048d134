import { receiptAnswer } from '@rekey/contracts';
import type { Answer } from '../client';
import { EXIT, Failure } from '../failure';
import type { Session } from '../session';

/** Ends with its own exit code where something was accepted that has not been seen to work everywhere yet. */
export const pending = (answer: Answer): void => {
  if (answer.status !== 202) return;
  const id = answer.headers.get('rekey-command-id');
  throw new Failure(
    EXIT.pending,
    `Accepted, but not in effect everywhere yet. Ask again later${id === null ? '' : `: rekey command ${id}`}`,
  );
};

/** Shows a receipt: what was done, and from when on no check admits it. */
export const showReceipt = async (session: Session, answer: Answer, done: string): Promise<void> => {
  await session.show(answer, receiptAnswer.partial(), ({ effectiveAt, replayed }) => {
    const since = effectiveAt === undefined ? '' : ` In effect for every check received after ${effectiveAt}.`;
    return `${done}${since}${replayed ? ' (This was done before, under the same idempotency key.)' : ''}`;
  });
  pending(answer);
};

/** Says of a write that only adds that it cannot be seen everywhere yet. */
export const noteAccepted = (session: Session, answer: Answer): void => {
  if (answer.status === 202) session.note('Accepted; it may take a moment until it is seen everywhere.');
};
