import { z } from 'zod';
import { ERRORS, type ErrorCode } from './errors';
import { applicationPolicyBody } from './http-requests';
import { applicationPolicySchema, domainPolicySchema, durationSchema } from './primitives';
import { SECRET_STATUSES, viewSchema } from './views';

/** A page of a list. `next` is the cursor to send as `after`; absent on the last page. */
export const pageAnswer = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), next: z.string().optional() });

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
/** A secret with its new value. No later answer has the value; in a replay after 15 minutes it is null. */
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
/** A policy, and the existing secrets that would get another expiry under it. */
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
 * Answer 202: accepted, but not yet visible in every view. Poll the outcome of `commandId`, or send `position` as
 * `Rekey-At-Least` with a read, which then waits for it.
 */
export const pendingAnswer = z.object({
  commandId: z.string(),
  position: z.string(),
  /** The id of the new resource. */
  id: z.string().optional(),
  /** Checks may not have applied the command yet. */
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
/** An application as of an instant. */
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
      /** The versions whose values authenticated at that instant. */
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
/** A build of a view: one collection of its documents. */
export const projectionAnswer = z.object({
  view: viewSchema,
  version: z.int(),
  build: z.string(),
  /** Reads of the view use this build. */
  active: z.boolean(),
  /** The build has caught up with where the event store was when the build started. */
  ready: z.boolean(),
  checkpoint: z.string(),
  /** Age of the oldest event that the build has not applied. */
  lagSeconds: z.number(),
  /** The process that holds the build's lease; absent if none does. */
  owner: z.string().optional(),
  parkedStreams: z.int(),
});
export const rebuildAnswer = z.object({ view: viewSchema, build: z.string() });
const replayResult = z.object({
  at: instant.optional(),
  /** Events that were applied. */
  events: z.int(),
  /** Events of the stream that are still parked; `cause` says why. */
  waiting: z.int(),
  cause: z.string().optional(),
});
/** An event that could not be applied. It and the later events of its stream are parked. */
export const failedEventAnswer = z.object({
  view: z.string(),
  build: z.string(),
  stream: z.string(),
  revision: z.int(),
  position: z.string(),
  type: z.string(),
  cause: z.string(),
  waiting: z.int(),
  /** The latest replay of the stream, and its result. */
  replay: z
    .object({ askedAt: instant, askedBy: z.string(), answered: z.boolean(), result: replayResult.optional() })
    .optional(),
});
/** The result of a replay in each build that had parked the stream. `result` is absent until the build has replayed it. */
export const replayAnswer = z.object({
  view: viewSchema,
  stream: z.string(),
  builds: z.array(z.object({ build: z.string(), result: replayResult.optional() })),
});
export const healthAnswer = z.object({
  status: z.enum(['live', 'ready', 'not ready']),
  probes: z.record(z.string(), z.object({ ready: z.boolean(), cause: z.string().optional() })).optional(),
});

/** The problem document of every error (RFC 9457). The members after `correlationId` come with some codes only. */
export const problemBody = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  detail: z.string(),
  /** Also in the log line of the request. */
  correlationId: z.string(),
  /** The field, parameter or header that is wrong. */
  field: z.string().optional(),
  /** `too_many_secrets`: the maximum. */
  limit: z.int().optional(),
  /** `lifetime_out_of_bounds`: the bound of the domain's policy, and its value. */
  bound: z.string().optional(),
  amount: z.int().optional(),
  unit: z.string().optional(),
  /** `revision_conflict`: the current revision of the resource, or the current version of the secret. */
  revision: z.int().optional(),
  version: z.int().optional(),
  /** `unavailable`: the view that cannot be read. */
  view: z.string().optional(),
  /** `timeout`, `unavailable`: the id to retry the command with, or to poll its outcome. */
  commandId: z.string().optional(),
});
