import {
  REVOCATION_REASONS,
  applicationStream,
  domainStream,
  type ApplicationCommand,
  type ExpirySource,
  type SecurityDomainCommand,
} from '@rekey/domain';
import { z } from 'zod';
import type { PublicError } from './errors';
import {
  allowedCidrsSchema,
  applicationIdSchema,
  applicationPolicySchema,
  clientIdSchema,
  commandIdSchema,
  contactsSchema,
  descriptionSchema,
  domainIdSchema,
  domainPolicySchema,
  durationSchema,
  instantSchema,
  lineSchema,
  nameSchema,
  recipientKeySchema,
  secretIdSchema,
} from './primitives';

const ofDomain = { domainId: domainIdSchema };
const ofApplication = { ...ofDomain, applicationId: applicationIdSchema };
const ofSecret = { ...ofApplication, secretId: secretIdSchema };
const ofNotice = {
  ...ofSecret,
  version: z.int().min(1),
  threshold: z.number().min(0),
  channel: z.string().regex(/^[a-z][a-z0-9-]{0,63}$/, 'A channel fits [a-z][a-z0-9-]{0,63}.'),
};
const statedExpiry = { expiresIn: durationSchema.optional(), expiresAt: instantSchema.nullable().optional() };
const reasonText = lineSchema(256);

/** A compact JWE (RFC 7516 §7.1) of a value that a caller brings, sealed to the command-service. */
export const sealedValueSchema = z
  .string()
  .regex(/^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$/)
  .max(4096);

/** The data of every command, by type. Unknown fields are refused. */
export const COMMANDS = {
  CreateDomain: z.strictObject({ ...ofDomain, name: nameSchema, contacts: contactsSchema.optional() }),
  UpdateDomain: z.strictObject({
    ...ofDomain,
    name: nameSchema.optional(),
    contacts: contactsSchema.optional(),
    enabled: z.boolean().optional(),
  }),
  ChangeDomainPolicy: z.strictObject({ ...ofDomain, policy: domainPolicySchema }),
  DeleteDomain: z.strictObject(ofDomain),
  RegisterApplication: z.strictObject({
    ...ofApplication,
    clientId: clientIdSchema,
    name: nameSchema,
    contacts: contactsSchema.optional(),
    firstSecret: z
      .strictObject({
        secretId: secretIdSchema,
        description: descriptionSchema,
        sealedValue: sealedValueSchema.optional(),
      })
      .optional(),
  }),
  UpdateApplication: z.strictObject({
    ...ofApplication,
    name: nameSchema.optional(),
    contacts: contactsSchema.optional(),
    enabled: z.boolean().optional(),
  }),
  ChangeApplicationPolicy: z.strictObject({ ...ofApplication, policy: applicationPolicySchema }),
  DeleteApplication: z.strictObject(ofApplication),
  AddSecret: z.strictObject({
    ...ofSecret,
    description: descriptionSchema,
    notBefore: instantSchema.optional(),
    allowedCidrs: allowedCidrsSchema.optional(),
    ...statedExpiry,
  }),
  RenewSecret: z.strictObject({
    ...ofSecret,
    overlap: durationSchema.optional(),
    version: z.int().min(1).optional(),
    ...statedExpiry,
  }),
  EndOverlap: z.strictObject(ofSecret),
  RevokeSecret: z.strictObject({
    ...ofSecret,
    reason: z.enum(REVOCATION_REASONS).optional(),
    force: z.boolean().optional(),
  }),
  SuspendSecret: z.strictObject({ ...ofSecret, reason: reasonText.optional(), force: z.boolean().optional() }),
  ResumeSecret: z.strictObject({ ...ofSecret, reason: reasonText.optional() }),
  UpdateSecret: z.strictObject({
    ...ofSecret,
    description: descriptionSchema.optional(),
    allowedCidrs: allowedCidrsSchema.optional(),
    notBefore: instantSchema.nullable().optional(),
  }),
  ExpireSecret: z.strictObject({ ...ofSecret, version: z.int().min(1) }),
  RecordNoticeSent: z.strictObject({ ...ofNotice, recipients: z.int().min(0) }),
  RecordNoticeFailed: z.strictObject({ ...ofNotice, cause: z.string().min(1).max(256) }),
  RetryNotice: z.strictObject(ofNotice),
  AcknowledgeNotice: z.strictObject(ofNotice),
} as const satisfies Record<(ApplicationCommand | SecurityDomainCommand)['type'], z.ZodType>;

export type CommandType = keyof typeof COMMANDS;
export type CommandData<Type extends CommandType = CommandType> = z.infer<(typeof COMMANDS)[Type]>;

/** Commands that make a value, and so need a key to seal it to. */
export const VALUE_MAKING: ReadonlySet<CommandType> = new Set(['AddSecret', 'RenewSecret', 'RegisterApplication']);

/**
 * Commands after which something stops working, or is stricter: their reply waits until every check knows.
 */
export const REVOKING: ReadonlySet<CommandType> = new Set([
  'RevokeSecret',
  'SuspendSecret',
  'EndOverlap',
  'UpdateSecret',
  'RenewSecret',
  'UpdateApplication',
  'DeleteApplication',
  'UpdateDomain',
  'DeleteDomain',
]);

/** A command as it travels: `{id, type, data, expectedRevision?, recipientKey?}`. */
export type CommandEnvelope = {
  [Type in CommandType]: {
    readonly id: string;
    readonly type: Type;
    readonly data: CommandData<Type>;
    /** `If-Match`: revision of the resource that the caller saw. */
    readonly expectedRevision?: number | undefined;
    readonly recipientKey?: z.infer<typeof recipientKeySchema> | undefined;
  };
}[CommandType];

const envelopes = (Object.keys(COMMANDS) as CommandType[]).map((type) =>
  z.strictObject({
    id: commandIdSchema,
    type: z.literal(type),
    data: COMMANDS[type],
    expectedRevision: z.int().min(0).optional(),
    recipientKey: recipientKeySchema.optional(),
  }),
);

/** Reads an envelope from outside. */
export const commandEnvelopeSchema = z.discriminatedUnion(
  'type',
  envelopes as never,
) as unknown as z.ZodType<CommandEnvelope>;

/** The stream that a command writes to. */
export const streamOf = ({ data }: Pick<CommandEnvelope, 'data'>): string =>
  'applicationId' in data ? applicationStream(data.applicationId) : domainStream(data.domainId);

/** What became of a command. `result` never holds a plain value: `sealedSecret` is a compact JWE. */
export interface CommandReply {
  readonly id: string;
  readonly status: 'accepted' | 'rejected';
  /** True where the command was known, and this is its first outcome told again. */
  readonly replayed: boolean;
  /** Of the stream's last event; -1 where it has none. */
  readonly revision: number;
  /** Global position of the stream's last event; empty where it has none. */
  readonly position: string;
  readonly result?: CommandResult;
  readonly error?: PublicError;
}

export interface CommandResult {
  /** The secret whose value was made. */
  readonly secretId?: string;
  readonly version?: number;
  readonly hint?: string;
  readonly expiresAt?: string;
  readonly expirySource?: ExpirySource;
  readonly previousValidUntil?: string;
  /** The value, sealed to `recipientKey`; null in a replay after its time. */
  readonly sealedSecret?: string | null;
  /** For commands of `REVOKING`: since when every check knows; absent with `effective: false` where the wait ran out. */
  readonly effectiveAt?: string;
  readonly effective?: boolean;
}
