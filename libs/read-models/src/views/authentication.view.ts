import {
  VIEW_VERSIONS,
  type ApplicationCredentials,
  type DomainCredentials,
  type FeedEvent,
  type SecretCredentials,
  type ValueCredentials,
} from '@rekey/contracts';
import type { Body, View } from './view';

type Document = ApplicationCredentials | DomainCredentials;
type ApplicationEvent = Extract<FeedEvent, { aggregate: 'application' }>;
type DomainEvent = Extract<FeedEvent, { aggregate: 'domain' }>;

const noApplication = (stream: string): Body<ApplicationCredentials> => ({
  _id: stream,
  domainId: '',
  clientId: '',
  state: 'deleted',
  secrets: [],
});

const noDomain = (stream: string): Body<DomainCredentials> => ({ _id: stream, state: 'deleted' });

/** Everything that a check needs: one document per application and one per domain, each with the stream name as its id. */
export const authenticationView: View<Document> = {
  name: 'authentication',
  version: VIEW_VERSIONS.authentication,
  indexes: [],
  streams: '',
  concerns: (event) => event.stream,
  evolve: (document, event) =>
    event.aggregate === 'domain'
      ? evolveDomain(document, event)
      : evolveApplication(document as ApplicationCredentials | null, event),
  ofStream: (stream) => (stream.startsWith('domain-') ? noDomain(stream) : noApplication(stream)),
};

const evolveDomain = (document: DomainCredentials | null, event: DomainEvent): Body<DomainCredentials> => {
  const before = document ?? noDomain(event.stream);
  switch (event.type) {
    case 'DomainCreated':
    case 'DomainEnabled':
      return { ...before, state: 'active' };
    case 'DomainDisabled':
      return { ...before, state: 'disabled' };
    case 'DomainDeleted':
      return { ...before, state: 'deleted' };
    case 'PolicyChanged':
    case 'ContactsChanged':
    case 'DomainRenamed':
      return before;
  }
};

const evolveApplication = (
  document: ApplicationCredentials | null,
  event: ApplicationEvent,
): Body<ApplicationCredentials> => {
  const before = document ?? noApplication(event.stream);
  if (event.type === 'ApplicationRegistered') {
    const { domainId, clientId } = event.data;
    return { ...before, domainId, clientId, state: 'active', secrets: [] };
  }
  // Later events may still refer to secrets of the deleted application.
  if (before.state === 'deleted') return before;
  const withSecret = (secretId: string, change: (secret: SecretCredentials) => SecretCredentials) => ({
    ...before,
    secrets: before.secrets.map((secret) => (secret.secretId === secretId ? change(secret) : secret)),
  });
  switch (event.type) {
    case 'SecretAdded': {
      const { secretId, notBefore, allowedCidrs } = event.data;
      const secret: SecretCredentials = {
        secretId,
        suspended: false,
        ...(notBefore !== undefined && { notBefore }),
        allowedCidrs: allowedCidrs ?? [],
        values: [valueOf(event)],
      };
      return { ...before, secrets: [...before.secrets.filter((other) => other.secretId !== secretId), secret] };
    }
    case 'SecretRenewed': {
      const { secretId, previousValidUntil } = event.data;
      return withSecret(secretId, (secret) => ({
        ...secret,
        values: [valueOf(event), ...overlapping(secret, previousValidUntil)],
      }));
    }
    case 'OverlapEnded':
      return withSecret(event.data.secretId, (secret) => ({ ...secret, values: secret.values.slice(0, 1) }));
    case 'SecretRevoked':
      return { ...before, secrets: before.secrets.filter((secret) => secret.secretId !== event.data.secretId) };
    case 'SecretSuspended':
      return withSecret(event.data.secretId, (secret) => ({ ...secret, suspended: true }));
    case 'SecretResumed':
      return withSecret(event.data.secretId, (secret) => ({ ...secret, suspended: false }));
    case 'SecretRestricted': {
      const { secretId, allowedCidrs, notBefore } = event.data;
      return withSecret(secretId, ({ notBefore: _before, ...secret }) => ({
        ...secret,
        ...(notBefore !== undefined && { notBefore }),
        allowedCidrs,
      }));
    }
    case 'ApplicationDisabled':
      return { ...before, state: 'disabled' };
    case 'ApplicationEnabled':
      return { ...before, state: 'active' };
    case 'ApplicationDeleted':
      return { ...before, state: 'deleted', secrets: [] };
    case 'SecretExpired':
    case 'SecretDescribed':
    case 'ExpiryNoticeSent':
    case 'ExpiryNoticeFailed':
    case 'ExpiryNoticeRetried':
    case 'ExpiryNoticeAcknowledged':
    case 'PolicyChanged':
    case 'ContactsChanged':
    case 'ApplicationRenamed':
      return before;
  }
};

const valueOf = ({ data }: Extract<ApplicationEvent, { type: 'SecretAdded' | 'SecretRenewed' }>): ValueCredentials => ({
  version: data.version,
  lookupId: data.lookupId,
  verifier: data.verifier,
  ...(data.expiresAt !== undefined && { validUntil: data.expiresAt }),
});

/** Returns the previous value with the end of its overlap; empty without an overlap. */
const overlapping = ({ values }: SecretCredentials, validUntil: string | undefined): ValueCredentials[] => {
  const [previous] = values;
  return previous && validUntil !== undefined ? [{ ...previous, validUntil }] : [];
};
