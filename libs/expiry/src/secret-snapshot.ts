import { secretDocumentId } from '@rekey/contracts';
import {
  noticeId,
  present,
  type NoticeState,
  type RegisteredApplication,
  type Secret,
  type SecurityDomainState,
} from '@rekey/domain';
import { readApplication, readDomain } from '@rekey/platform';
import type { EventStore, ExpiryNotice } from '@rekey/ports';
import type { ExpiryFacts } from './due';

/** The secret that a job is about. */
export interface SecretKey {
  readonly domainId: string;
  readonly applicationId: string;
  readonly secretId: string;
}

/** Snapshot of a secret folded from its streams. Unlike a view, it is never behind. */
export interface SecretSnapshot {
  readonly value: ExpiryFacts;
  /** Facts for the text of a notice. */
  readonly facts: Omit<ExpiryNotice, 'messageId' | 'version' | 'expiresAt' | 'threshold'>;
  /** Returns the state of a notice of any version. */
  readonly noticeState: (notice: { version: number; threshold: number; channel: string }) => NoticeState | undefined;
}

/** Reads a secret from its streams. Returns null if the secret, its application or its domain is deleted. */
export const readSecretSnapshot = async (store: EventStore, key: SecretKey): Promise<SecretSnapshot | null> => {
  const [domain, registered] = await Promise.all([
    readDomain(store, key.domainId),
    readApplication(store, key.applicationId),
  ]);
  if (domain.status === 'none' || domain.status === 'deleted') return null;
  if (registered.status === 'none' || registered.status === 'deleted') return null;
  const secret = registered.secrets[key.secretId];
  if (!secret || registered.domainId !== key.domainId) return null;
  const { clientId, name, contacts } = registered;
  return {
    value: watched(key, secret, stateOf(secret, registered, domain)),
    facts: {
      ...key,
      domainName: domain.name,
      applicationName: name,
      clientId,
      description: secret.description,
      contacts: [...new Set([...contacts, ...domain.contacts])],
      ...present({ previousValidUntil: secret.previousValidUntil }),
    },
    noticeState: (notice) => secret.notices[noticeId(notice)],
  };
};

const stateOf = (
  secret: Secret,
  { status }: RegisteredApplication,
  domain: SecurityDomainState,
): ExpiryFacts['state'] => {
  if (secret.status === 'revoked') return 'revoked';
  if (status === 'disabled' || domain.status === 'disabled') return 'disabled';
  return secret.status;
};

const watched = (
  { domainId, applicationId, secretId }: SecretKey,
  secret: Secret,
  state: ExpiryFacts['state'],
): ExpiryFacts => {
  const { version, valueCreatedAt, expiresAt, expiredVersion } = secret;
  const ofVersion = `${version}.`;
  const notices = Object.entries(secret.notices).filter(([id]) => id.startsWith(ofVersion));
  return {
    _id: secretDocumentId(applicationId, secretId),
    domainId,
    applicationId,
    secretId,
    version,
    state,
    createdAt: valueCreatedAt,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(expiredVersion !== undefined && { expiredVersion }),
    notices: Object.fromEntries(notices.map(([id, known]) => [id.slice(ofVersion.length), known])),
  };
};
