import type { Decider, EventShape, Recorded } from './decider';
import { unreachable } from './decider';
import { DomainError, DOMAIN_NOT_FOUND, invalid, revisionConflict } from './errors';
import type { DomainPolicy, Instant } from './expiry-policy';
import { checkDomainPolicy } from './expiry-policy';
import { sameJson } from './json';

// ── Stream ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Returns the name of a domain's stream. The domain id is part of URLs and is never reused, not even after deletion. */
export const domainStream = (domainId: string): string => `domain-${domainId}`;

export const DOMAIN_ID_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** First path segments of Rekey's own URLs. They cannot be domain ids. */
export const RESERVED_DOMAIN_IDS: ReadonlySet<string> = new Set([
  'api',
  'management',
  'docs',
  'health',
  'metrics',
  'openapi',
  'console',
  'assets',
  'static',
  'admin',
  'login',
  'logout',
  'oidc',
  'oauth',
  'well-known',
  'favicon',
  'system',
  'rekey',
  'events',
  'commands',
  'history',
  'notifications',
  'secrets',
]);

/**
 * Derives a domain id from a display name: removes accents and replaces all other characters that are not allowed with
 * hyphens; `domain` if nothing is left. From `attempt` 2 on, appends the number of the attempt; a reserved name gets it
 * on attempt 1 too.
 */
export const domainIdFromName = (name: string, attempt = 1): string => {
  const slug =
    name
      .normalize('NFKD')
      .toLowerCase()
      .replace(/\p{Mark}+/gu, '')
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'domain';
  const suffix = attempt > 1 || RESERVED_DOMAIN_IDS.has(slug) ? `-${attempt}` : '';
  return slug.slice(0, 63 - suffix.length).replace(/-+$/, '') + suffix;
};

// ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────
// Names and shapes are the stored format: an incompatible change needs a new schema version and an upcast.

export type SecurityDomainEvent =
  | E<'DomainCreated', { domainId: string; name: string; contacts: readonly string[] }>
  | E<'PolicyChanged', { domainId: string; policy: DomainPolicy }>
  | E<'ContactsChanged', { domainId: string; contacts: readonly string[] }>
  | E<'DomainRenamed', { domainId: string; name: string }>
  | E<'DomainDisabled' | 'DomainEnabled' | 'DomainDeleted', { domainId: string }>;

interface E<Type extends string, Data extends object> extends EventShape {
  readonly type: Type;
  readonly data: Readonly<Data>;
}

// ── State ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type SecurityDomainState =
  | { readonly status: 'none' }
  | { readonly status: 'deleted' }
  | {
      readonly status: 'active' | 'disabled';
      readonly domainId: string;
      readonly name: string;
      readonly contacts: readonly string[];
      readonly policy: DomainPolicy;
      /** Revision of the last event that changed the domain. Its ETag. */
      readonly resourceRevision: number;
    };

const evolve = (state: SecurityDomainState, event: Recorded<SecurityDomainEvent>): SecurityDomainState => {
  if (event.type === 'DomainCreated')
    return {
      status: 'active',
      domainId: event.data.domainId,
      name: event.data.name,
      contacts: event.data.contacts,
      policy: {},
      resourceRevision: event.revision,
    };
  if (state.status === 'none' || state.status === 'deleted') return state;
  const changed = { ...state, resourceRevision: event.revision };
  switch (event.type) {
    case 'PolicyChanged':
      return { ...changed, policy: event.data.policy };
    case 'ContactsChanged':
      return { ...changed, contacts: event.data.contacts };
    case 'DomainRenamed':
      return { ...changed, name: event.data.name };
    case 'DomainDisabled':
      return { ...changed, status: 'disabled' };
    case 'DomainEnabled':
      return { ...changed, status: 'active' };
    case 'DomainDeleted':
      return { status: 'deleted' };
    default:
      return unreachable(event);
  }
};

// ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

export type SecurityDomainCommand =
  | C<'CreateDomain', { name: string; contacts?: readonly string[] | undefined }>
  | C<
      'UpdateDomain',
      { name?: string | undefined; contacts?: readonly string[] | undefined; enabled?: boolean | undefined }
    >
  | C<'ChangeDomainPolicy', { policy: DomainPolicy }>
  | C<'DeleteDomain', object>;

interface C<Type extends string, Data extends object> {
  readonly type: Type;
  readonly data: Readonly<Data & { domainId: string }>;
}

export interface SecurityDomainContext {
  readonly now: Instant;
  /** `If-Match`: the resource revision that the caller last read. */
  readonly ifMatch?: number | undefined;
}

// ── Decide ───────────────────────────────────────────────────────────────────────────────────────────────────────

const decide = (
  command: SecurityDomainCommand,
  state: SecurityDomainState,
  context: SecurityDomainContext,
): SecurityDomainEvent[] => {
  const { domainId } = command.data;
  if (command.type === 'CreateDomain') {
    if (!DOMAIN_ID_PATTERN.test(domainId) || RESERVED_DOMAIN_IDS.has(domainId))
      throw invalid(
        'id',
        `"${domainId}" cannot be a domain id: it is reserved or does not match [a-z0-9][a-z0-9-]{0,62}.`,
      );
    if (state.status !== 'none')
      throw new DomainError('domain_taken', `The domain id "${domainId}" has already been used.`);
    const { name, contacts } = command.data;
    return [{ type: 'DomainCreated', data: { domainId, name, contacts: contacts ?? [] } }];
  }
  if (state.status === 'none' || state.status === 'deleted')
    throw new DomainError('domain_not_found', DOMAIN_NOT_FOUND);
  if (context.ifMatch !== undefined && context.ifMatch !== state.resourceRevision)
    throw revisionConflict(context.ifMatch, state.resourceRevision);
  switch (command.type) {
    case 'UpdateDomain': {
      const { name, contacts, enabled } = command.data;
      const events: SecurityDomainEvent[] = [];
      if (name !== undefined && name !== state.name) events.push({ type: 'DomainRenamed', data: { domainId, name } });
      if (contacts !== undefined && !sameJson(contacts, state.contacts))
        events.push({ type: 'ContactsChanged', data: { domainId, contacts } });
      if (enabled !== undefined && enabled !== (state.status === 'active'))
        events.push({ type: enabled ? 'DomainEnabled' : 'DomainDisabled', data: { domainId } });
      return events;
    }
    case 'ChangeDomainPolicy': {
      const { policy } = command.data;
      if (sameJson(policy, state.policy)) return [];
      checkDomainPolicy(policy, context.now);
      return [{ type: 'PolicyChanged', data: { domainId, policy } }];
    }
    case 'DeleteDomain':
      return [{ type: 'DomainDeleted', data: { domainId } }];
    default:
      return unreachable(command);
  }
};

export const securityDomain: Decider<
  SecurityDomainState,
  SecurityDomainCommand,
  SecurityDomainEvent,
  SecurityDomainContext
> = { initial: { status: 'none' }, evolve, decide };
