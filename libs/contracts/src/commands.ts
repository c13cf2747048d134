import { applicationStream, domainStream, type ApplicationCommand, type ExpirySource } from '@rekey/domain';
import { z } from 'zod';
import { COMMANDS, type CommandSpec } from './command-catalogue';
import type { PublicError } from './errors';
import { commandIdSchema, recipientKeySchema } from './primitives';

export type CommandType = keyof typeof COMMANDS;
export type CommandData<Type extends CommandType = CommandType> = z.infer<(typeof COMMANDS)[Type]['data']>;

/** A command as it is sent: `{id, type, data, expectedRevision?, recipientKey?}`. */
export type CommandEnvelope = {
  [Type in CommandType]: {
    readonly id: string;
    readonly type: Type;
    readonly data: CommandData<Type>;
    /** Rejects the command with `revision_conflict` unless the stream is at this revision (`If-Match`). */
    readonly expectedRevision?: number | undefined;
    /** Public key that the value is sealed to, where the command makes one. */
    readonly recipientKey?: z.infer<typeof recipientKeySchema> | undefined;
  };
}[CommandType];

type ApplicationCommandEnvelope = Extract<CommandEnvelope, { type: ApplicationCommand['type'] }>;

const envelopes = (Object.keys(COMMANDS) as CommandType[]).map((type) =>
  z.strictObject({
    id: commandIdSchema,
    type: z.literal(type),
    data: COMMANDS[type].data,
    expectedRevision: z.int().min(0).optional(),
    recipientKey: recipientKeySchema.optional(),
  }),
);

/** Parses a command from an untrusted source. Refuses unknown fields and types. */
export const commandEnvelopeSchema = z.discriminatedUnion(
  'type',
  envelopes as never,
) as unknown as z.ZodType<CommandEnvelope>;

/** Returns the name of the stream that a command writes to. */
export const streamOf = ({ data }: Pick<CommandEnvelope, 'data'>): string =>
  'applicationId' in data ? applicationStream(data.applicationId) : domainStream(data.domainId);

/** Whether an application decides on a command; otherwise a domain does. */
export const isApplicationCommand = (command: CommandEnvelope): command is ApplicationCommandEnvelope =>
  COMMANDS[command.type].aggregate === 'application';

/** Whether a command makes a secret value, and so needs a `recipientKey`. */
export const makesValue = ({ type, data }: Pick<CommandEnvelope, 'type' | 'data'>): boolean => {
  const spec: CommandSpec = COMMANDS[type];
  return typeof spec.makesValue === 'function' ? spec.makesValue(data as never) : (spec.makesValue ?? false);
};

/** Whether the reply to a command waits until every check applies it. */
export const restricts = (type: CommandType): boolean => {
  const spec: CommandSpec = COMMANDS[type];
  return spec.restricts ?? false;
};

/** The outcome of a command. `result` never holds a value in clear: `sealedSecret` is a compact JWE. */
export interface CommandReply {
  readonly id: string;
  readonly status: 'accepted' | 'rejected';
  /** The command was handled before, and this repeats its first outcome. */
  readonly replayed: boolean;
  /** Revision of the stream's last event; -1 if the stream is empty. */
  readonly revision: number;
  /** Global position of the stream's last event; empty if the stream is empty. */
  readonly position: string;
  readonly result?: CommandResult;
  readonly error?: PublicError;
}

export interface CommandResult {
  /** The secret that got a value. */
  readonly secretId?: string;
  readonly version?: number;
  readonly hint?: string;
  readonly expiresAt?: string;
  readonly expirySource?: ExpirySource;
  readonly previousValidUntil?: string;
  /** The value, sealed to `recipientKey`; null in a replay more than 15 minutes later. */
  readonly sealedSecret?: string | null;
  /** For commands that restrict something: when every check applied it. */
  readonly effectiveAt?: string;
  /** False, without `effectiveAt`, if the wait for the checks timed out. */
  readonly effective?: boolean;
}
