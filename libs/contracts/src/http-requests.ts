import { REVOCATION_REASONS } from '@rekey/domain';
import { z } from 'zod';
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
  secretIdSchema,
} from './primitives';
import { SECRET_STATUSES, viewSchema } from './views';

export const domainPath = z.strictObject({ domainId: domainIdSchema });
export const applicationPath = domainPath.extend({ applicationId: applicationIdSchema });
export const secretPath = applicationPath.extend({ secretId: secretIdSchema });
export const commandPath = z.strictObject({ commandId: commandIdSchema });
export const projectionPath = z.strictObject({ view: viewSchema });

/** The opaque `next` of the page before. */
const cursorSchema = z.string().min(1).max(1024);
const limitSchema = z.coerce.number().int().min(1).max(200).default(50);
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const searchText = z.string().max(128);

export const pageQuery = z.strictObject({ after: cursorSchema.optional(), limit: limitSchema });
export const searchQuery = pageQuery.extend({ q: searchText.optional() });
export const previewQuery = z.strictObject({ preview: flag.optional(), after: cursorSchema.optional() });
export const asOfQuery = z.strictObject({ asOf: instantSchema.optional() });

/** An imported value: RFC 6749 appendix A.2 (VSCHAR). The command handler refuses one that begins with `rky_`. */
const ownValueSchema = z.string().regex(/^[\x20-\x7e]{1,1024}$/, 'A value has 1 to 1024 printable ASCII characters.');
const statedExpiry = { expiresIn: durationSchema.optional(), expiresAt: instantSchema.nullable().optional() };
const reasonSchema = lineSchema(256);

export const createDomainBody = z.strictObject({
  id: domainIdSchema.optional(),
  name: nameSchema,
  contacts: contactsSchema.optional(),
});
export const updateBody = z.strictObject({
  name: nameSchema.optional(),
  contacts: contactsSchema.optional(),
  enabled: z.boolean().optional(),
});
export const domainPolicyBody = domainPolicySchema;
export const applicationPolicyBody = z.strictObject({ expiry: applicationPolicySchema });
export const registerApplicationBody = z.strictObject({
  clientId: clientIdSchema.optional(),
  name: nameSchema,
  contacts: contactsSchema.optional(),
  firstSecret: z
    .strictObject({ description: descriptionSchema.optional(), value: ownValueSchema.optional() })
    .optional(),
});
export const addSecretBody = z.strictObject({
  description: descriptionSchema,
  ...statedExpiry,
  notBefore: instantSchema.optional(),
  allowedCidrs: allowedCidrsSchema.optional(),
});
export const renewSecretBody = z.strictObject({
  overlap: durationSchema.optional(),
  version: z.int().min(1).optional(),
  ...statedExpiry,
});
export const revokeSecretBody = z.strictObject({
  reason: z.enum(REVOCATION_REASONS).optional(),
  force: z.boolean().optional(),
});
export const suspendSecretBody = z.strictObject({ reason: reasonSchema.optional(), force: z.boolean().optional() });
export const resumeSecretBody = z.strictObject({ reason: reasonSchema.optional() });
export const updateSecretBody = z.strictObject({
  description: descriptionSchema.optional(),
  allowedCidrs: allowedCidrsSchema.optional(),
  notBefore: instantSchema.nullable().optional(),
});
export const authenticateBody = z.strictObject({
  clientId: z.string().min(1).max(255),
  clientSecret: z.string().min(1).max(1024),
  remoteAddress: z.string().max(64).optional(),
});
export const inventoryQuery = searchQuery.extend({
  status: z
    .string()
    .max(128)
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(SECRET_STATUSES)).min(1))
    .optional(),
  expiresBefore: instantSchema.optional(),
  unusedSince: instantSchema.optional(),
  domain: domainIdSchema.optional(),
  sort: z.enum(['expiresAt', '-expiresAt', 'createdAt', '-createdAt', 'description', '-description']).optional(),
});
export const historyQuery = pageQuery.extend({
  stream: z.string().min(1).max(128).optional(),
  type: z.string().min(1).max(64).optional(),
  actor: z.string().min(1).max(255).optional(),
  from: instantSchema.optional(),
  until: instantSchema.optional(),
});
export const applicationHistoryQuery = historyQuery.omit({ stream: true });
export const notificationsQuery = pageQuery.extend({
  acknowledged: flag.optional(),
  domain: domainIdSchema.optional(),
});
export const failedEventsQuery = pageQuery.extend({ view: viewSchema.optional() });
export const replayBody = z.strictObject({ stream: z.string().min(1).max(128) });
export const verifyBody = z.strictObject({ stream: z.string().min(1).max(128).optional() });
