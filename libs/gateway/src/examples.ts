import { pendingAnswer } from '@rekey/contracts';
import type { AnswerHeader } from './route';

/** Examples for the API documentation. A test validates each against its schema. */

export const IDS = {
  application: '5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10',
  secret: '0a8f1f0e-3b0e-5d3c-8f5e-1f2f3f4f5f6f',
  command: 'c2a0f4d2-7a51-4d1e-8a3e-5b8d1f6c7e90',
} as const;
const POSITION = '00000000000000000042';

export const DOMAIN = {
  id: 'acme',
  name: 'Acme',
  contacts: ['security@acme.example'],
  enabled: true,
  policy: { expiry: { mode: 'after', after: { amount: 90, unit: 'days' } } },
  createdAt: '2026-12-01T09:00:00.000Z',
  updatedAt: '2026-12-01T09:00:00.000Z',
  applications: 1,
};

export const APPLICATION = {
  id: IDS.application,
  domainId: 'acme',
  clientId: 'billing',
  name: 'Billing',
  contacts: [],
  enabled: true,
  policy: { expiry: { mode: 'inherit' } },
  createdAt: '2026-12-01T09:00:00.000Z',
  updatedAt: '2026-12-01T09:00:00.000Z',
  secrets: 1,
};

export const SECRET = {
  id: IDS.secret,
  applicationId: IDS.application,
  domainId: 'acme',
  clientId: 'billing',
  applicationName: 'Billing',
  version: 1,
  description: 'CI',
  status: 'active',
  hint: 'x7Qa',
  createdAt: '2026-12-01T09:00:00.000Z',
  createdBy: { type: 'token', id: 'admin' },
  expiresAt: '2027-03-01T09:00:00.000Z',
  expirySource: 'domain',
  allowedCidrs: [],
};

/** Stands for a secret value. Scanners would report one that looks real as a leak. */
export const VALUE = '<secret value>';

export const RECEIPT = { position: POSITION, effectiveAt: '2026-12-01T09:00:00.000Z' };

export const NOTIFICATION = {
  id: `${IDS.application}.${IDS.secret}.1.5.ui`,
  domainId: 'acme',
  applicationId: IDS.application,
  secretId: IDS.secret,
  clientId: 'billing',
  applicationName: 'Billing',
  description: 'CI',
  version: 1,
  threshold: 5,
  channel: 'ui',
  state: 'sent',
  sentAt: '2027-02-24T05:00:00.000Z',
  recipients: 1,
};

export const AFFECTED = {
  count: 1,
  items: [
    {
      applicationId: IDS.application,
      secretId: IDS.secret,
      description: 'CI',
      expiresAt: null,
      wouldExpireAt: '2027-03-01T09:00:00.000Z',
      wouldSource: 'domain',
    },
  ],
};

export const HISTORY = {
  items: [
    {
      stream: 'domain-acme',
      revision: 0,
      position: '00000000000000000002',
      eventId: '7a2f6c1e-0d3b-4d7e-9d0e-2b1f5c6d7e8f',
      type: 'DomainCreated',
      data: { domainId: 'acme', name: 'Acme', contacts: [] },
      metadata: {
        actor: { type: 'token', id: 'admin' },
        occurredAt: '2026-12-01T09:00:00.000Z',
        hash: '…',
        previousHash: '',
      },
    },
  ],
};

/** Headers of every response to a command. */
export const WRITE_HEADERS: readonly AnswerHeader[] = ['rekey-command-id', 'rekey-position', 'rekey-replayed'];

/** Headers of a response to a command that shows the changed resource. */
export const RESOURCE_HEADERS: readonly AnswerHeader[] = ['etag', ...WRITE_HEADERS];

/** The response to a command that was accepted but is not yet visible. */
export const PENDING = {
  description: 'Accepted; not yet visible in every view. Poll `Location`.',
  body: pendingAnswer,
  example: { commandId: IDS.command, position: POSITION },
  headers: ['location', ...WRITE_HEADERS] as readonly AnswerHeader[],
};
