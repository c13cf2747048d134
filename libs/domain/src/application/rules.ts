import { DomainError, DOMAIN_NOT_FOUND, invalid, revisionConflict } from '../errors';
import type { Duration, Instant, StatedExpiry } from '../expiry-policy';
import { present } from '../json';
import type { SecurityDomainState } from '../security-domain';
import type { ApplicationContext } from './commands';
import type { Verifier } from './events';
import type { RegisteredApplication, Secret } from './state';

/** Checks that several commands share. Each throws the `DomainError` that its name suggests. */

export type ExistingDomain = Extract<SecurityDomainState, { status: 'active' | 'disabled' }>;

const DESCRIPTION_LENGTH_MAX = 128;

export const requireDomain = (domain: SecurityDomainState): ExistingDomain => {
  if (domain.status === 'none' || domain.status === 'deleted')
    throw new DomainError('domain_not_found', DOMAIN_NOT_FOUND);
  return domain;
};

/** Throws `revision_conflict` where the caller sent `If-Match` with another revision than the current one. */
export const requireRevision = ({ ifMatch }: ApplicationContext, revision: number): void => {
  if (ifMatch !== undefined && ifMatch !== revision) throw revisionConflict(ifMatch, revision);
};

export const requireSecret = (secretId: string, state: RegisteredApplication): Secret => {
  const secret = state.secrets[secretId];
  if (!secret) throw new DomainError('secret_not_found', `No secret ${secretId} in ${state.clientId}.`);
  return secret;
};

/** Returns a secret that a command may change: it exists, is not revoked, and is at the revision in `If-Match`. */
export const requireChangeable = (
  secretId: string,
  state: RegisteredApplication,
  context: ApplicationContext,
): Secret => {
  const secret = requireSecret(secretId, state);
  if (secret.status === 'revoked') throw new DomainError('secret_revoked', 'A revoked secret cannot be changed.');
  requireRevision(context, secret.resourceRevision);
  return secret;
};

/** New values are created only where they can be used: in an enabled domain and an enabled application. */
export const requireEnabled = (domain: ExistingDomain, state?: RegisteredApplication): void => {
  if (domain.status === 'disabled')
    throw new DomainError('domain_disabled', 'The domain is disabled; enable it first.');
  if (state?.status === 'disabled')
    throw new DomainError('application_disabled', 'The application is disabled; enable it first.');
};

/** Returns the verifier of the generated value. A command handler that forgot to generate one is a bug. */
export const requireVerifier = ({ verifier }: ApplicationContext): Verifier => {
  if (!verifier) throw new Error('This command creates a value, but the context has no verifier.');
  return present({ verifier: verifier.verifier, lookupId: verifier.lookupId, hint: verifier.hint });
};

/** Returns the trimmed description; it must be unique among the unrevoked secrets, `exceptSecretId` aside. */
export const requireFreeDescription = (text: string, state: RegisteredApplication, exceptSecretId?: string): string => {
  const description = text.trim();
  if (description.length === 0 || description.length > DESCRIPTION_LENGTH_MAX)
    throw invalid('description', `A description must have 1 to ${DESCRIPTION_LENGTH_MAX} characters.`);
  const isTaken = Object.values(state.secrets).some(
    (secret) => secret.status !== 'revoked' && secret.description === description && secret.secretId !== exceptSecretId,
  );
  if (isTaken) throw new DomainError('description_taken', `This application already has a secret "${description}".`);
  return description;
};

/** The expiry that a caller asks for: a lifetime, an instant, or `expiresAt: null` for never. */
export type ExpiryInput = { expiresIn?: Duration | undefined; expiresAt?: Instant | null | undefined };

export const statedExpiry = ({ expiresIn, expiresAt }: ExpiryInput): StatedExpiry => {
  if (expiresIn !== undefined && expiresAt !== undefined)
    throw invalid('expiresAt', 'Give either expiresIn or expiresAt, not both.');
  return present({ expiresIn, expiresAt });
};
