import { REVOCATION_REASONS } from '@rekey/domain';
import { z } from 'zod';
import { ERRORS, type ErrorCode } from './errors';
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
import { VIEW_VERSIONS, type ViewName } from './views';

// ── Paths and paging ─────────────────────────────────────────────────────────────────────────────────────────────

export const domainPath = z.strictObject({ domainId: domainIdSchema });
export const applicationPath = domainPath.extend({ applicationId: applicationIdSchema });
export const secretPath = applicationPath.extend({ secretId: secretIdSchema });
export const commandPath = z.strictObject({ commandId: commandIdSchema });
const viewSchema = z.enum(Object.keys(VIEW_VERSIONS) as [ViewName, ...ViewName[]]);
export const projectionPath = z.strictObject({ view: viewSchema });

/** An opaque cursor, sent back as `after`. */
const cursorSchema = z.string().min(1).max(1024);
const limitSchema = z.coerce.number().int().min(1).max(200).default(50);
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const searchText = z.string().max(128);

export const pageQuery = z.strictObject({ after: cursorSchema.optional(), limit: limitSchema });
export const searchQuery = pageQuery.extend({ q: searchText.optional() });
export const previewQuery = z.strictObject({ preview: flag.optional(), after: cursorSchema.optional() });
export const asOfQuery = z.strictObject({ asOf: instantSchema.optional() });

/** The page of a list: `next` is the cursor to send back as `after`. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), next: z.string().optional() });

// ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A value that a caller brings: RFC 6749 appendix A.2 (VSCHAR); never one that begins with `rky_`. */
const ownValueSchema = z.string().regex(/^[\x20-\x7e]{1,1024}$/, 'A value has 1 to 1024 visible ASCII characters.');
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
export const SECRET_STATUSES = ['active', 'expiring', 'expired', 'suspended', 'revoked', 'pending'] as const;
/** `pending`: its `notBefore` lies ahead. `expiring`: active, and within the greatest threshold of notices. */
export type SecretStatus = (typeof SECRET_STATUSES)[number];
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

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

const instant = z.iso.datetime();
const actor = z.object({ type: z.string(), id: z.string() });

export const domainAnswer = z.object({
  id: z.string(),
  name: z.string(),
  contacts: z.array(z.string()),
  enabled: z.boolean(),
  policy: domainPolicySchema.partial(),
  createdAt: instant,
  updatedAt: instant,
  applications: z.int(),
});
export const applicationAnswer = z.object({
  id: z.string(),
  domainId: z.string(),
  clientId: z.string(),
  name: z.string(),
  contacts: z.array(z.string()),
  enabled: z.boolean(),
  policy: z.object({ expiry: applicationPolicySchema }),
  createdAt: instant,
  updatedAt: instant,
  secrets: z.int(),
});
export const secretAnswer = z.object({
  id: z.string(),
  applicationId: z.string(),
  domainId: z.string(),
  clientId: z.string(),
  applicationName: z.string(),
  version: z.int(),
  description: z.string(),
  status: z.enum(SECRET_STATUSES),
  hint: z.string().optional(),
  createdAt: instant,
  createdBy: actor,
  renewedAt: instant.optional(),
  renewedBy: actor.optional(),
  notBefore: instant.optional(),
  expiresAt: instant.optional(),
  expirySource: z.string(),
  ownExpiresIn: durationSchema.optional(),
  previousValidUntil: instant.optional(),
  allowedCidrs: z.array(z.string()),
  suspendedAt: instant.optional(),
  suspendedBy: actor.optional(),
  revokedAt: instant.optional(),
  revokedBy: actor.optional(),
  revocationReason: z.string().optional(),
  expiredAt: instant.optional(),
  lastNotice: z.object({ threshold: z.number(), channel: z.string(), at: instant, outcome: z.string() }).optional(),
  lastUsedAt: instant.optional(),
  lastUsedFrom: z.string().optional(),
  uses: z.int().optional(),
});
/** A secret just made: the only answer with the value, once; null in a replay after 15 minutes. */
export const secretWithValueAnswer = secretAnswer.extend({
  secret: z.string().nullable(),
  replayed: z.boolean().optional(),
});
export const registeredAnswer = applicationAnswer.extend({
  firstSecret: z
    .object({
      id: z.string(),
      version: z.int(),
      description: z.string(),
      secret: z.string().nullable().optional(),
      hint: z.string().optional(),
      expiresAt: instant.optional(),
    })
    .optional(),
  replayed: z.boolean().optional(),
});
/** A policy, and the existing secrets that it would have treated otherwise. */
export const policyAnswer = z.object({
  policy: z.unknown(),
  affected: z.object({
    count: z.int(),
    items: z.array(
      z.object({
        applicationId: z.string(),
        secretId: z.string(),
        description: z.string(),
        expiresAt: instant.nullable(),
        wouldExpireAt: instant.nullable(),
        wouldSource: z.string(),
      }),
    ),
    next: z.string().optional(),
  }),
});
export const domainPolicyAnswer = policyAnswer.extend({ policy: domainPolicySchema });
export const applicationPolicyAnswer = policyAnswer.extend({ policy: applicationPolicyBody });
export const receiptAnswer = z.object({
  position: z.string(),
  effectiveAt: instant.optional(),
  replayed: z.boolean().optional(),
});
/**
 * Accepted, but not to be read back everywhere yet (202): what is known without the views. The outcome of `commandId`
 * can be asked for, and a read that sends `position` back as `Rekey-At-Least` waits for it.
 */
export const pendingAnswer = z.object({
  commandId: z.string(),
  position: z.string(),
  /** Of the resource that was made. */
  id: z.string().optional(),
  /** The checks may not know yet. */
  effective: z.literal(false).optional(),
  replayed: z.boolean().optional(),
});
export const pendingSecretAnswer = pendingAnswer.extend({
  version: z.int(),
  secret: z.string().nullable(),
  expirySource: z.string(),
  hint: z.string().optional(),
  expiresAt: instant.optional(),
  previousValidUntil: instant.optional(),
});
export const pendingRegisteredAnswer = pendingAnswer.extend({
  domainId: z.string(),
  clientId: z.string(),
  firstSecret: registeredAnswer.shape.firstSecret,
});
export const checkAnswer = z.object({
  valid: z.literal(true),
  domainId: z.string(),
  clientId: z.string(),
  applicationId: z.string(),
  secretId: z.string(),
  version: z.int(),
  expiresAt: instant.optional(),
});
export const historyEventAnswer = z.object({
  stream: z.string(),
  revision: z.int(),
  position: z.string(),
  eventId: z.string(),
  type: z.string(),
  data: z.record(z.string(), z.unknown()),
  metadata: z.record(z.string(), z.unknown()),
});
export const verifyAnswer = z.object({
  streams: z.int(),
  events: z.int(),
  broken: z.array(z.object({ stream: z.string(), revision: z.int(), eventId: z.string(), cause: z.string() })),
  more: z.literal(true).optional(),
});
/** An application replayed to an instant. */
export const applicationAsOfAnswer = z.object({
  asOf: instant,
  id: z.string(),
  domainId: z.string(),
  domainStatus: z.enum(['active', 'disabled', 'deleted']),
  status: z.enum(['active', 'disabled', 'deleted']),
  clientId: z.string().optional(),
  name: z.string().optional(),
  contacts: z.array(z.string()),
  policy: applicationPolicySchema.optional(),
  secrets: z.array(
    z.object({
      id: z.string(),
      description: z.string(),
      version: z.int(),
      status: z.enum(['active', 'pending', 'expired', 'suspended', 'revoked']),
      valueCreatedAt: instant,
      notBefore: instant.optional(),
      expiresAt: instant.optional(),
      previousValidUntil: instant.optional(),
      allowedCidrs: z.array(z.string()),
      /** Versions whose values could authenticate then. */
      authenticates: z.array(z.int()),
    }),
  ),
});
export const notificationAnswer = z.object({
  id: z.string(),
  domainId: z.string(),
  applicationId: z.string(),
  secretId: z.string(),
  clientId: z.string().optional(),
  applicationName: z.string().optional(),
  description: z.string().optional(),
  version: z.int(),
  threshold: z.number(),
  channel: z.string(),
  state: z.enum(['sent', 'failed', 'retried', 'acknowledged']),
  sentAt: instant.optional(),
  failedAt: instant.optional(),
  cause: z.string().optional(),
  recipients: z.int().optional(),
  acknowledgedAt: instant.optional(),
  acknowledgedBy: actor.optional(),
});
export const commandAnswer = z.object({
  id: z.string(),
  status: z.enum(['accepted', 'rejected']),
  revision: z.int(),
  position: z.string(),
  result: z.record(z.string(), z.unknown()).optional(),
  error: z
    .object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()).optional() })
    .optional(),
});
/** A build of a view, which keeps the view's documents. */
export const projectionAnswer = z.object({
  view: viewSchema,
  version: z.int(),
  build: z.string(),
  /** It answers for its view. */
  active: z.boolean(),
  /** It has come to where the store was when it began. */
  ready: z.boolean(),
  checkpoint: z.string(),
  /** Age of the oldest event that it has not taken in. */
  lagSeconds: z.number(),
  /** The process that projects into it; absent: none. */
  owner: z.string().optional(),
  parkedStreams: z.int(),
});
export const rebuildAnswer = z.object({ view: viewSchema, build: z.string() });
const replayResult = z.object({
  at: instant.optional(),
  /** Events that were taken in. */
  events: z.int(),
  /** Events that still wait, and why. */
  waiting: z.int(),
  cause: z.string().optional(),
});
/** An event that could not be taken in: it and the later ones of its stream wait. */
export const failedEventAnswer = z.object({
  view: z.string(),
  build: z.string(),
  stream: z.string(),
  revision: z.int(),
  position: z.string(),
  type: z.string(),
  cause: z.string(),
  waiting: z.int(),
  /** What was asked of the stream, and what came of it. */
  replay: z
    .object({ askedAt: instant, askedBy: z.string(), answered: z.boolean(), result: replayResult.optional() })
    .optional(),
});
/** What came of a replay in each build that had parked the stream; without a result where it was not taken up yet. */
export const replayAnswer = z.object({
  view: viewSchema,
  stream: z.string(),
  builds: z.array(z.object({ build: z.string(), result: replayResult.optional() })),
});
export const healthAnswer = z.object({
  status: z.enum(['live', 'ready', 'not ready']),
  probes: z.record(z.string(), z.object({ ready: z.boolean(), cause: z.string().optional() })).optional(),
});

/** RFC 9457: what every refusal is told in. The members behind `correlationId` come with some codes only. */
export const problemAnswer = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  detail: z.string(),
  /** Finds the log line. */
  correlationId: z.string(),
  /** The field, parameter or header that is wrong. */
  field: z.string().optional(),
  /** `too_many_secrets`: how many there may be. */
  limit: z.int().optional(),
  /** `lifetime_out_of_bounds`: which bound of the domain, and what it is. */
  bound: z.string().optional(),
  amount: z.int().optional(),
  unit: z.string().optional(),
  /** `revision_conflict`: the resource's present revision, or the secret's present version. */
  revision: z.int().optional(),
  version: z.int().optional(),
  /** `unavailable`: the view that cannot be read. */
  view: z.string().optional(),
  /** `timeout`, `unavailable`: the id under which the command can be sent again, or asked for. */
  commandId: z.string().optional(),
});
