import { unreachable } from '../decider';
import { DomainError, invalid } from '../errors';
import {
  LATEST,
  addDuration,
  earlier,
  expiryOf,
  later,
  outOfBounds,
  type Duration,
  type Instant,
} from '../expiry-policy';
import { present, sameJson } from '../json';
import { hasEnded, isLive } from '../liveness';
import type { ApplicationContext, CommandOf, DataOf } from './commands';
import type { ApplicationEvent, RevocationReason } from './events';
import {
  requireChangeable,
  requireEnabled,
  requireFreeDescription,
  requireRevision,
  requireSecret,
  requireVerifier,
  statedExpiry,
  type ExistingDomain,
  type ExpiryInput,
} from './rules';
import type { RegisteredApplication, Secret } from './state';

type SecretId = { secretId: string };

export type SecretCommand =
  | CommandOf<
      'AddSecret',
      SecretId & {
        description: string;
        notBefore?: Instant | undefined;
        allowedCidrs?: readonly string[] | undefined;
      } & ExpiryInput
    >
  | CommandOf<'RenewSecret', SecretId & { overlap?: Duration | undefined; version?: number | undefined } & ExpiryInput>
  | CommandOf<'EndOverlap', SecretId>
  | CommandOf<'RevokeSecret', SecretId & { reason?: RevocationReason | undefined; force?: boolean | undefined }>
  | CommandOf<'SuspendSecret', SecretId & { reason?: string | undefined; force?: boolean | undefined }>
  | CommandOf<'ResumeSecret', SecretId & { reason?: string | undefined }>
  | CommandOf<
      'UpdateSecret',
      SecretId & {
        description?: string | undefined;
        allowedCidrs?: readonly string[] | undefined;
        /** `null` removes it. */
        notBefore?: Instant | null | undefined;
      }
    >
  | CommandOf<'ExpireSecret', SecretId & { version: number }>;

type Data<Type extends SecretCommand['type']> = DataOf<SecretCommand, Type>;

export const isSecretCommand = (command: CommandOf<string, object>): command is SecretCommand =>
  'secretId' in command.data && !('channel' in command.data);

/** Decides a command about one secret. */
export const decideSecret = (
  command: SecretCommand,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent[] => {
  switch (command.type) {
    case 'AddSecret':
      requireRevision(context, state.resourceRevision);
      return [addSecret(command.data, state, context, domain)];
    case 'RenewSecret':
      return [renewSecret(command.data, state, context, domain)];
    case 'EndOverlap':
      return endOverlap(command.data, state, context);
    case 'RevokeSecret':
      return revokeSecret(command.data, state, context);
    case 'SuspendSecret':
      return suspendSecret(command.data, state, context);
    case 'ResumeSecret':
      return resumeSecret(command.data, state, context);
    case 'UpdateSecret':
      return updateSecret(command.data, state, context, domain);
    case 'ExpireSecret':
      return expireSecret(command.data, state, context);
    default:
      return unreachable(command);
  }
};

export const addSecret = (
  data: Data<'AddSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent => {
  const { applicationId, domainId, secretId, notBefore, allowedCidrs } = data;
  requireEnabled(domain, state);
  if (state.secrets[secretId] || state.formerSecretIds.includes(secretId))
    throw invalid('secretId', 'This secret id has already been used.');
  const description = requireFreeDescription(data.description, state);
  const { secretsMax } = context;
  const unrevoked = Object.values(state.secrets).filter((secret) => secret.status !== 'revoked').length;
  if (unrevoked >= secretsMax)
    throw new DomainError(
      'too_many_secrets',
      `An application can have at most ${secretsMax} unrevoked secrets; revoke one first.`,
      { limit: secretsMax },
    );
  const stated = statedExpiry(data);
  const { expiresAt, source } = expiryOf({
    now: context.now,
    notBefore,
    stated,
    own: { kind: 'none' },
    applicationPolicy: state.policy,
    domainPolicy: domain.policy,
  });
  return {
    type: 'SecretAdded',
    data: {
      applicationId,
      domainId,
      secretId,
      version: 1,
      description,
      ...requireVerifier(context),
      ...present({ expiresAt, notBefore, ownExpiresIn: stated.expiresIn }),
      ...(allowedCidrs?.length ? { allowedCidrs } : {}),
      expirySource: source,
    },
  };
};

const renewSecret = (
  data: Data<'RenewSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent => {
  const { applicationId, domainId, secretId, overlap } = data;
  const secret = requireSecret(secretId, state);
  if (secret.status === 'revoked') throw new DomainError('not_renewable', 'A revoked secret cannot be renewed.');
  requireRevision(context, secret.resourceRevision);
  if (data.version !== undefined && data.version !== secret.version)
    throw new DomainError('revision_conflict', `The current version is ${secret.version}, not ${data.version}.`, {
      version: secret.version,
    });
  requireEnabled(domain, state);
  const { now } = context;
  const stated = statedExpiry(data);
  const { expiresAt, source } = expiryOf({
    now,
    notBefore: secret.notBefore,
    stated,
    own: secret.own,
    applicationPolicy: state.policy,
    domainPolicy: domain.policy,
  });
  const overlapEnd = overlap && addDuration(now, overlap);
  if (overlap && overlapEnd === undefined) throw invalid('overlap', `The overlap would end after ${LATEST}.`);
  // A renewal never extends the life of the value that it replaces.
  const overlaps = overlapEnd !== undefined && !hasEnded(secret.expiresAt, now);
  const previousValidUntil = overlaps ? earlier(overlapEnd, secret.expiresAt) : undefined;
  return {
    type: 'SecretRenewed',
    data: {
      applicationId,
      domainId,
      secretId,
      version: secret.version + 1,
      ...requireVerifier(context),
      ...present({ expiresAt, ownExpiresIn: stated.expiresIn, previousValidUntil }),
      expirySource: source,
    },
  };
};

const endOverlap = (
  { applicationId, domainId, secretId }: Data<'EndOverlap'>,
  state: RegisteredApplication,
  context: ApplicationContext,
): ApplicationEvent[] => {
  const { version, previousValidUntil } = requireChangeable(secretId, state, context);
  if (previousValidUntil === undefined || hasEnded(previousValidUntil, context.now)) return [];
  return [{ type: 'OverlapEnded', data: { applicationId, domainId, secretId, version: version - 1 } }];
};

const revokeSecret = (
  { applicationId, domainId, secretId, reason, force }: Data<'RevokeSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
): ApplicationEvent[] => {
  const secret = requireSecret(secretId, state);
  if (secret.status === 'revoked') return [];
  requireRevision(context, secret.resourceRevision);
  if (!force) protectLastLive(secret, state, context.now);
  return [{ type: 'SecretRevoked', data: { applicationId, domainId, secretId, reason: reason ?? 'unspecified' } }];
};

const suspendSecret = (
  { applicationId, domainId, secretId, reason, force }: Data<'SuspendSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
): ApplicationEvent[] => {
  const secret = requireChangeable(secretId, state, context);
  if (secret.status === 'suspended') return [];
  if (!force) protectLastLive(secret, state, context.now);
  return [{ type: 'SecretSuspended', data: { applicationId, domainId, secretId, ...present({ reason }) } }];
};

const resumeSecret = (
  { applicationId, domainId, secretId, reason }: Data<'ResumeSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
): ApplicationEvent[] => {
  if (requireChangeable(secretId, state, context).status === 'active') return [];
  return [{ type: 'SecretResumed', data: { applicationId, domainId, secretId, ...present({ reason }) } }];
};

const updateSecret = (
  data: Data<'UpdateSecret'>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent[] => {
  const { applicationId, domainId, secretId } = data;
  const secret = requireChangeable(secretId, state, context);
  const ids = { applicationId, domainId, secretId };
  const events: ApplicationEvent[] = [];
  if (data.description !== undefined) {
    const description = requireFreeDescription(data.description, state, secretId);
    if (description !== secret.description) events.push({ type: 'SecretDescribed', data: { ...ids, description } });
  }
  const allowedCidrs = data.allowedCidrs ?? secret.allowedCidrs;
  const notBefore = data.notBefore === undefined ? secret.notBefore : (data.notBefore ?? undefined);
  if (sameJson(allowedCidrs, secret.allowedCidrs) && notBefore === secret.notBefore) return events;
  if (notBefore !== secret.notBefore) checkStart(notBefore, secret, context.now, domain);
  return [...events, { type: 'SecretRestricted', data: { ...ids, allowedCidrs, ...present({ notBefore }) } }];
};

const expireSecret = (
  { applicationId, domainId, secretId, version }: Data<'ExpireSecret'>,
  state: RegisteredApplication,
  { now }: ApplicationContext,
): ApplicationEvent[] => {
  const { expiresAt, ...secret } = requireSecret(secretId, state);
  if (secret.status === 'revoked' || secret.version !== version || secret.expiredVersion === version) return [];
  if (expiresAt === undefined || !hasEnded(expiresAt, now)) return [];
  return [{ type: 'SecretExpired', data: { applicationId, domainId, secretId, version, expiresAt } }];
};

/** Checks a new `notBefore`: it must be before the expiry, and must not make the life longer than the domain allows. */
const checkStart = (
  notBefore: Instant | undefined,
  secret: Secret,
  now: Instant,
  { policy: { maxLifetime } }: ExistingDomain,
): void => {
  const { expiresAt } = secret;
  if (expiresAt === undefined) return;
  if (notBefore !== undefined && notBefore >= expiresAt)
    throw invalid('notBefore', 'notBefore must be before expiresAt.');
  const start = later(now, notBefore);
  if (maxLifetime === undefined || start >= later(now, secret.notBefore)) return;
  const latest = addDuration(start, maxLifetime);
  if (latest !== undefined && expiresAt > latest) throw outOfBounds('notBefore', 'maxLifetime', maxLifetime);
};

/** Throws `last_live_secret` where no other secret of the application can authenticate now. */
const protectLastLive = (secret: Secret, state: RegisteredApplication, now: Instant): void => {
  if (!isLive(secret, now)) return;
  const others = Object.values(state.secrets).filter((other) => other.secretId !== secret.secretId);
  if (!others.some((other) => isLive(other, now)))
    throw new DomainError(
      'last_live_secret',
      'No other secret of this application can authenticate now; set force to cut the application off.',
    );
};
