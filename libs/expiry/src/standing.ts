import { decodeEvent, secretDocumentId } from '@rekey/contracts';
import {
  application,
  applicationStream,
  domainStream,
  fold,
  noticeId,
  securityDomain,
  type ApplicationEvent,
  type NoticeState,
  type Recorded,
  type RegisteredApplication,
  type Secret,
  type SecurityDomainEvent,
  type SecurityDomainState,
} from '@rekey/domain';
import type { EventStore, ExpiryNotice } from '@rekey/ports';
import type { Watched } from './due';

/** Which secret a job is about. */
export interface SecretKey {
  readonly domainId: string;
  readonly applicationId: string;
  readonly secretId: string;
}

/** How a secret stands now by its own streams, which know of everything that a view may not know yet. */
export interface Standing {
  readonly value: Watched;
  /** What to tell of it. */
  readonly facts: Omit<ExpiryNotice, 'messageId' | 'version' | 'expiresAt' | 'threshold'>;
  /** State of a notice, of an earlier version too. */
  readonly noticeState: (notice: { version: number; threshold: number; channel: string }) => NoticeState | undefined;
}

/** Reads how a secret stands; null where it, its application or its domain is gone. */
export const standingOf = async (store: EventStore, key: SecretKey): Promise<Standing | null> => {
  const [domain, registered] = await Promise.all([
    domainStateOf(store, key.domainId),
    store.readStream(applicationStream(key.applicationId)).then((events) =>
      // What a stream holds is told by its name: an application's stream holds events of applications.
      fold(application, events.map(decodeEvent) as Recorded<ApplicationEvent>[]),
    ),
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
    },
    noticeState: (notice) => secret.notices[noticeId(notice)],
  };
};

/** State of a domain by its own stream. */
export const domainStateOf = async (store: EventStore, domainId: string): Promise<SecurityDomainState> => {
  const events = await store.readStream(domainStream(domainId));
  return fold(securityDomain, events.map(decodeEvent) as Recorded<SecurityDomainEvent>[]);
};

const stateOf = (secret: Secret, { status }: RegisteredApplication, domain: SecurityDomainState): Watched['state'] => {
  if (secret.status === 'revoked') return 'revoked';
  if (status === 'disabled' || domain.status === 'disabled') return 'disabled';
  return secret.status;
};

const watched = (
  { domainId, applicationId, secretId }: SecretKey,
  secret: Secret,
  state: Watched['state'],
): Watched => {
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
