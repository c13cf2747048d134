import {
  DURATION_UNITS,
  REVOCATION_REASONS,
  type ApplicationEvent,
  type EventMetadata,
  type Recorded,
  type SecurityDomainEvent,
} from '@rekey/domain';
import { z } from 'zod';

/** Schema version of new events. An incompatible change increments it and adds an upcast from the previous one. */
export const SCHEMA_VERSION = 1;

const text = z.string();
const instant = z.string().length(24);
const ofDomain = { domainId: text };
const ofApplication = { ...ofDomain, applicationId: text };
const ofSecret = { ...ofApplication, secretId: text };
const ofNotice = { ...ofSecret, version: z.int(), threshold: z.number(), channel: text };
const verifier = { verifier: text, lookupId: text, hint: text.optional() };
const source = z.enum(['command', 'secret', 'application', 'domain', 'none', 'domain-bound']);
const duration = z.object({ amount: z.int().min(1), unit: z.enum(DURATION_UNITS) });
const after = z.object({ mode: z.literal('after'), after: duration });
const never = z.object({ mode: z.literal('never') });
const applicationPolicy = z.discriminatedUnion('mode', [after, never, z.object({ mode: z.literal('inherit') })]);
const domainPolicy = z.object({
  expiry: z.discriminatedUnion('mode', [after, never]).optional(),
  minLifetime: duration.optional(),
  maxLifetime: duration.optional(),
});

/** Metadata of every event. Ignores fields of newer releases. */
const metadataSchema = z.object({
  commandId: text,
  correlationId: text,
  causationId: text,
  actor: z.object({ type: text, id: text }),
  occurredAt: instant,
  schemaVersion: z.int().min(1),
  previousHash: text,
  hash: text,
});

/** Stored data of the events of application streams. Drops unknown fields, which newer releases may write. */
const APPLICATION_EVENTS = {
  ApplicationRegistered: z.object({ ...ofApplication, clientId: text, name: text, contacts: z.array(text) }),
  SecretAdded: z.object({
    ...ofSecret,
    version: z.literal(1),
    description: text,
    ...verifier,
    expiresAt: instant.optional(),
    notBefore: instant.optional(),
    allowedCidrs: z.array(text).optional(),
    ownExpiresIn: duration.optional(),
    expirySource: source,
  }),
  SecretRenewed: z.object({
    ...ofSecret,
    version: z.int().min(2),
    ...verifier,
    expiresAt: instant.optional(),
    ownExpiresIn: duration.optional(),
    expirySource: source,
    previousValidUntil: instant.optional(),
  }),
  OverlapEnded: z.object({ ...ofSecret, version: z.int() }),
  SecretRevoked: z.object({ ...ofSecret, reason: z.enum(REVOCATION_REASONS) }),
  SecretSuspended: z.object({ ...ofSecret, reason: text.optional() }),
  SecretResumed: z.object({ ...ofSecret, reason: text.optional() }),
  SecretExpired: z.object({ ...ofSecret, version: z.int(), expiresAt: instant }),
  ExpiryNoticeSent: z.object({ ...ofNotice, recipients: z.int() }),
  ExpiryNoticeFailed: z.object({ ...ofNotice, cause: text }),
  ExpiryNoticeRetried: z.object(ofNotice),
  ExpiryNoticeAcknowledged: z.object(ofNotice),
  PolicyChanged: z.object({ ...ofApplication, policy: applicationPolicy }),
  SecretDescribed: z.object({ ...ofSecret, description: text }),
  SecretRestricted: z.object({ ...ofSecret, allowedCidrs: z.array(text), notBefore: instant.optional() }),
  ContactsChanged: z.object({ ...ofApplication, contacts: z.array(text) }),
  ApplicationRenamed: z.object({ ...ofApplication, name: text }),
  ApplicationDisabled: z.object(ofApplication),
  ApplicationEnabled: z.object(ofApplication),
  ApplicationDeleted: z.object(ofApplication),
} as const satisfies Record<ApplicationEvent['type'], z.ZodType>;

/** Stored data of the events of domain streams. */
const DOMAIN_EVENTS = {
  DomainCreated: z.object({ ...ofDomain, name: text, contacts: z.array(text) }),
  PolicyChanged: z.object({ ...ofDomain, policy: domainPolicy }),
  ContactsChanged: z.object({ ...ofDomain, contacts: z.array(text) }),
  DomainRenamed: z.object({ ...ofDomain, name: text }),
  DomainDisabled: z.object(ofDomain),
  DomainEnabled: z.object(ofDomain),
  DomainDeleted: z.object(ofDomain),
} as const satisfies Record<SecurityDomainEvent['type'], z.ZodType>;

/** An event of the feed in the current schema version. */
export type FeedEvent = (
  | ({ readonly aggregate: 'application' } & Recorded<ApplicationEvent>)
  | ({ readonly aggregate: 'domain' } & Recorded<SecurityDomainEvent>)
) & { readonly stream: string; readonly eventId: string; readonly position: string };

/** An event as stored. */
export interface EncodedEvent {
  readonly stream: string;
  readonly revision: number;
  readonly position: string;
  readonly eventId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: EventMetadata;
}

type Data = Readonly<Record<string, unknown>>;

/** Upcasts to the next schema version, by aggregate and type: `'application.SecretAdded': { 1: (data) => … }`. */
export type Upcasts = Readonly<Record<string, Readonly<Record<number, (data: Data) => Data>>>>;

/** All upcasts. */
const UPCASTS: Upcasts = {};

/** Upcasts data of an older schema version to the current one, version by version. */
export const upcast = (key: string, version: number, data: Data, upcasts: Upcasts = UPCASTS): Data => {
  const steps = upcasts[key] ?? {};
  const todo = Object.keys(steps)
    .map(Number)
    .filter((from) => from >= version)
    .sort((left, right) => left - right);
  return todo.reduce((current, from) => steps[from]?.(current) ?? current, data);
};

/** An event has an unknown type or schema version, or invalid data. */
export class UnreadableEvent extends Error {
  constructor(
    readonly stream: string,
    readonly revision: number,
    readonly eventType: string,
    cause: string,
  ) {
    super(`Event ${eventType} at ${stream}/${revision} cannot be read: ${cause}`);
    this.name = 'UnreadableEvent';
  }
}

/**
 * Decodes a stored event into the current schema version. Throws `UnreadableEvent`, whose message names fields and never
 * values, also for a newer schema version: its data may mean something else.
 */
export const decodeEvent = (event: EncodedEvent): FeedEvent => {
  const aggregate = event.stream.startsWith('domain-') ? 'domain' : 'application';
  const schemas: Readonly<Record<string, z.ZodType>> = aggregate === 'domain' ? DOMAIN_EVENTS : APPLICATION_EVENTS;
  const unreadable = (cause: string) => new UnreadableEvent(event.stream, event.revision, event.type, cause);
  const schema = Object.hasOwn(schemas, event.type) ? schemas[event.type] : undefined;
  if (!schema) throw unreadable('unknown type');
  const fieldsOf = (error: z.ZodError, prefix: string) =>
    error.issues.map((issue) => [prefix, ...issue.path].join('.')).join(', ');
  const metadata = metadataSchema.safeParse(event.metadata);
  if (!metadata.success) throw unreadable(fieldsOf(metadata.error, 'metadata'));
  if (metadata.data.schemaVersion > SCHEMA_VERSION)
    throw unreadable(`shape version ${metadata.data.schemaVersion} is newer than this code`);
  const data = upcast(`${aggregate}.${event.type}`, event.metadata.schemaVersion, event.data);
  const parsed = schema.safeParse(data);
  if (!parsed.success) throw unreadable(fieldsOf(parsed.error, 'data'));
  return { ...event, aggregate, data: parsed.data } as FeedEvent;
};
