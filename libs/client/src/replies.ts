import { RekeyError, type COMMANDS, type CommandReply, type CommandResult, type CommandType } from '@rekey/contracts';
import type { RecipientKeys } from './recipient';

/** The reply to a command that was accepted; what is refused is thrown. */
export interface AcceptedReply extends Omit<CommandReply, 'status' | 'result' | 'error'> {
  readonly status: 'accepted';
  readonly result?: Omit<CommandResult, 'sealedSecret'>;
}

export interface WithValue {
  /**
   * The value in clear, which is nowhere else. Null: it was handed out before, and is not kept any longer (15 minutes),
   * or was sealed to another key; renew the secret.
   */
  readonly secret: string | null;
}

/** What is told of an accepted command: with a value where it makes one, which registering does with a first secret. */
export type ReplyOf<Type extends CommandType> = (typeof COMMANDS)[Type] extends { makesValue: true }
  ? AcceptedReply & WithValue
  : (typeof COMMANDS)[Type] extends { makesValue: unknown }
    ? AcceptedReply & Partial<WithValue>
    : AcceptedReply;

/** Opens a reply. Throws the refusal of a command that was rejected. */
export const opened = async <Type extends CommandType>(
  { status, result, error, ...known }: CommandReply,
  recipient: RecipientKeys,
): Promise<ReplyOf<Type>> => {
  if (status === 'rejected') throw new RekeyError(error?.code ?? 'internal', error?.message ?? '', error?.details);
  const { sealedSecret, ...facts } = result ?? {};
  const reply: AcceptedReply & Partial<WithValue> = {
    ...known,
    status,
    ...(result && { result: facts }),
    ...(sealedSecret !== undefined && { secret: sealedSecret && (await recipient.opened(sealedSecret)) }),
  };
  // Which commands are answered with a value is the server's business; the type only says what is known of it here.
  return reply as ReplyOf<Type>;
};
