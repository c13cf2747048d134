import { REVOCATION_REASONS, type ApplicationCommand, type SecurityDomainCommand } from '@rekey/domain';
import { z } from 'zod';
import type { Action } from './permissions';
import {
  allowedCidrsSchema,
  applicationIdSchema,
  applicationPolicySchema,
  clientIdSchema,
  contactsSchema,
  descriptionSchema,
  domainIdSchema,
  domainPolicySchema,
  durationSchema,
  instantSchema,
  lineSchema,
  nameSchema,
  sealedValueSchema,
  secretIdSchema,
} from './primitives';
import type { ViewName } from './views';

/** What the rest of Rekey needs to know of a type of command. */
export interface CommandSpec {
  /** The aggregate that decides on the command. */
  readonly aggregate: 'application' | 'domain';
  /** Schema of the command's data. Refuses unknown fields. */
  readonly data: z.ZodType;
  /** What the caller must be permitted to do, in the domain that the data names. */
  readonly action: Action;
  /** Whether the command makes a secret value, which its sender needs a key for: always, or depending on its data. */
  readonly makesValue?: true | ((data: never) => boolean);
  /** Something stops working or becomes stricter, so the reply waits until every check applies it (`effectiveAt`). */
  readonly restricts?: true;
  /** The views that the HTTP answer shows: the gateway waits for them before it answers 200 or 201. */
  readonly views: readonly ViewName[];
}

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
const changes = {
  name: nameSchema.optional(),
  contacts: contactsSchema.optional(),
  enabled: z.boolean().optional(),
};
const reason = lineSchema(256).optional();
const force = z.boolean().optional();

const firstSecretSchema = z.strictObject({
  secretId: secretIdSchema,
  description: descriptionSchema,
  sealedValue: sealedValueSchema.optional(),
});

/** All commands by type. To add one that yields existing events: an entry here, a case in the domain, and a route. */
export const COMMANDS = {
  CreateDomain: {
    aggregate: 'domain',
    data: z.strictObject({ ...ofDomain, name: nameSchema, contacts: contactsSchema.optional() }),
    action: 'domain.create',
    views: ['authentication', 'domains'],
  },
  UpdateDomain: {
    aggregate: 'domain',
    data: z.strictObject({ ...ofDomain, ...changes }),
    action: 'domain.update',
    restricts: true,
    views: ['authentication', 'domains'],
  },
  ChangeDomainPolicy: {
    aggregate: 'domain',
    data: z.strictObject({ ...ofDomain, policy: domainPolicySchema }),
    action: 'policy.write',
    views: ['domains'],
  },
  DeleteDomain: {
    aggregate: 'domain',
    data: z.strictObject(ofDomain),
    action: 'domain.delete',
    restricts: true,
    views: ['authentication', 'domains'],
  },
  RegisterApplication: {
    aggregate: 'application',
    data: z.strictObject({
      ...ofApplication,
      clientId: clientIdSchema,
      name: nameSchema,
      contacts: contactsSchema.optional(),
      firstSecret: firstSecretSchema.optional(),
    }),
    action: 'application.write',
    makesValue: ({ firstSecret }: { firstSecret?: z.infer<typeof firstSecretSchema> | undefined }) =>
      firstSecret !== undefined && firstSecret.sealedValue === undefined,
    views: ['authentication', 'applications', 'secrets'],
  },
  UpdateApplication: {
    aggregate: 'application',
    data: z.strictObject({ ...ofApplication, ...changes }),
    action: 'application.write',
    restricts: true,
    views: ['authentication', 'applications', 'secrets'],
  },
  ChangeApplicationPolicy: {
    aggregate: 'application',
    data: z.strictObject({ ...ofApplication, policy: applicationPolicySchema }),
    action: 'policy.write',
    views: ['applications', 'secrets'],
  },
  DeleteApplication: {
    aggregate: 'application',
    data: z.strictObject(ofApplication),
    action: 'application.write',
    restricts: true,
    views: ['authentication', 'applications', 'secrets', 'notifications'],
  },
  AddSecret: {
    aggregate: 'application',
    data: z.strictObject({
      ...ofSecret,
      description: descriptionSchema,
      notBefore: instantSchema.optional(),
      allowedCidrs: allowedCidrsSchema.optional(),
      ...statedExpiry,
    }),
    action: 'secret.write',
    makesValue: true,
    views: ['authentication', 'secrets'],
  },
  RenewSecret: {
    aggregate: 'application',
    data: z.strictObject({
      ...ofSecret,
      overlap: durationSchema.optional(),
      version: z.int().min(1).optional(),
      ...statedExpiry,
    }),
    action: 'secret.write',
    makesValue: true,
    restricts: true,
    views: ['authentication', 'secrets'],
  },
  EndOverlap: {
    aggregate: 'application',
    data: z.strictObject(ofSecret),
    action: 'secret.write',
    restricts: true,
    views: ['authentication', 'secrets'],
  },
  RevokeSecret: {
    aggregate: 'application',
    data: z.strictObject({ ...ofSecret, reason: z.enum(REVOCATION_REASONS).optional(), force }),
    action: 'secret.write',
    restricts: true,
    views: ['authentication', 'secrets'],
  },
  SuspendSecret: {
    aggregate: 'application',
    data: z.strictObject({ ...ofSecret, reason, force }),
    action: 'secret.write',
    restricts: true,
    views: ['authentication', 'secrets'],
  },
  ResumeSecret: {
    aggregate: 'application',
    data: z.strictObject({ ...ofSecret, reason }),
    action: 'secret.write',
    views: ['authentication', 'secrets'],
  },
  UpdateSecret: {
    aggregate: 'application',
    data: z.strictObject({
      ...ofSecret,
      description: descriptionSchema.optional(),
      allowedCidrs: allowedCidrsSchema.optional(),
      notBefore: instantSchema.nullable().optional(),
    }),
    action: 'secret.write',
    restricts: true,
    views: ['authentication', 'secrets'],
  },
  ExpireSecret: {
    aggregate: 'application',
    data: z.strictObject({ ...ofSecret, version: z.int().min(1) }),
    action: 'expiry.record',
    views: ['secrets'],
  },
  RecordNoticeSent: {
    aggregate: 'application',
    data: z.strictObject({ ...ofNotice, recipients: z.int().min(0) }),
    action: 'expiry.record',
    views: ['notifications', 'secrets'],
  },
  RecordNoticeFailed: {
    aggregate: 'application',
    data: z.strictObject({ ...ofNotice, cause: z.string().min(1).max(256) }),
    action: 'expiry.record',
    views: ['notifications', 'secrets'],
  },
  RetryNotice: {
    aggregate: 'application',
    data: z.strictObject(ofNotice),
    action: 'notice.write',
    views: ['notifications', 'secrets'],
  },
  AcknowledgeNotice: {
    aggregate: 'application',
    data: z.strictObject(ofNotice),
    action: 'notice.write',
    views: ['notifications', 'secrets'],
  },
} as const satisfies Record<ApplicationCommand['type'], CommandSpec & { readonly aggregate: 'application' }> &
  Record<SecurityDomainCommand['type'], CommandSpec & { readonly aggregate: 'domain' }>;
