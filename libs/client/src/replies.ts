import { RekeyError, type COMMANDS, type CommandReply, type CommandResult, type CommandType } from '@rekey/contracts';
import type { RecipientKeys } from './recipient';

/** Reply to an accepted command. A rejection is thrown instead. */
export interface AcceptedReply extends Omit<CommandReply, 'status' | 'result' | 'error'> {
  readonly status: 'accepted';
  readonly result?: Omit<CommandResult, 'sealedSecret'>;
}

export interface WithValue {
  /**
   * The secret value. Store it: Rekey does not keep it. Null if an earlier reply had it more than 15 minutes ago or it
   * was encrypted to another key; then renew the secret.
   */
  readonly secret: string | null;
}

/** Reply to a command type, with the value if the command generates one. Registering only does with a first secret. */
export type ReplyOf<Type extends CommandType> = (typeof COMMANDS)[Type] extends { makesValue: true }
  ? AcceptedReply & WithValue
  : (typeof COMMANDS)[Type] extends { makesValue: unknown }
    ? AcceptedReply & Partial<WithValue>
    : AcceptedReply;

/** Decrypts the value of a reply. Throws a `RekeyError` if the command was rejected. */
export const openReply = async <Type extends CommandType>(
  { status, result, error, ...known }: CommandReply,
  recipient: RecipientKeys,
): Promise<ReplyOf<Type>> => {
  if (status === 'rejected') throw new RekeyError(error?.code ?? 'internal', error?.message ?? '', error?.details);
  const { sealedSecret, ...facts } = result ?? {};
  const reply: AcceptedReply & Partial<WithValue> = {
    ...known,
    status,
    ...(result && { result: facts }),
    ...(sealedSecret !== undefined && { secret: sealedSecret && (await recipient.decrypt(sealedSecret)) }),
  };
  return reply as ReplyOf<Type>;
};
