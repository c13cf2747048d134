import { RekeyError, type Caller, type CommandEnvelope, type CommandType } from '@rekey/contracts';
import { applicationIdOf, type Duration } from '@rekey/domain';
import type { CommandBus } from '@rekey/ports';
import type { JWK } from 'jose';
import { v5 as uuidV5 } from 'uuid';

const NAMESPACE = 'f6b0a6de-2a3f-4c0b-9b61-5a7d1f0a5a11';
const CALLER: Caller = { type: 'system', name: 'demo', roles: ['admin'], domains: [] };
const TIMEOUT_MS = 10_000;
const days = (amount: number): Duration => ({ amount, unit: 'days' });

interface DemoSecret {
  readonly description: string;
  readonly expiresIn?: Duration;
  readonly notBeforeDays?: number;
  readonly allowedCidrs?: readonly string[];
  readonly then?: 'revoke' | 'suspend' | 'renew';
}

const SECRETS: readonly DemoSecret[] = [
  { description: 'Production', expiresIn: days(80) },
  { description: 'Nightly jobs', expiresIn: days(4) },
  { description: 'Old pipeline', expiresIn: { amount: 1, unit: 'seconds' } },
  { description: 'Next quarter', notBeforeDays: 30, expiresIn: days(60) },
  { description: 'Leaked laptop', expiresIn: days(80), then: 'revoke' },
  { description: 'Under investigation', expiresIn: days(80), then: 'suspend' },
  { description: 'Rotating', expiresIn: days(80), then: 'renew' },
  { description: 'Office only', allowedCidrs: ['203.0.113.0/24', '2001:db8::/32'] },
];

const DOMAINS = [
  {
    id: 'acme',
    name: 'Acme',
    applications: [
      ['billing', 'Billing'],
      ['shop', 'Shop'],
      ['reports', 'Reports'],
    ],
  },
  {
    id: 'globex',
    name: 'Globex',
    applications: [
      ['portal', 'Portal'],
      ['sync', 'Directory sync'],
    ],
  },
] as const;

/**
 * Creates two domains with secrets in all states. Command ids are fixed, so a second run changes nothing. The generated
 * values are sealed to `recipientKey` and discarded.
 */
export const fillDemo = async (bus: CommandBus, recipientKey: JWK, nowMs: number): Promise<void> => {
  const send = async <Type extends CommandType>(
    name: string,
    type: Type,
    data: Extract<CommandEnvelope, { type: Type }>['data'],
  ): Promise<void> => {
    const command = { id: uuidV5(name, NAMESPACE), type, data, recipientKey } as unknown as CommandEnvelope;
    try {
      await bus.send({ command, caller: CALLER, correlationId: 'demo' }, TIMEOUT_MS);
    } catch (error) {
      // A second run sends other times under the same ids; the result of the first run stays.
      if (!(error instanceof RekeyError && error.code === 'idempotency_key_reused')) throw error;
    }
  };
  for (const { id: domainId, name, applications } of DOMAINS) {
    await send(`${domainId}.create`, 'CreateDomain', { domainId, name, contacts: [`security@${domainId}.example`] });
    await send(`${domainId}.policy`, 'ChangeDomainPolicy', {
      domainId,
      policy: { expiry: { mode: 'after', after: days(90) }, maxLifetime: { amount: 1, unit: 'years' } },
    });
    for (const [clientId, applicationName] of applications) {
      const applicationId = applicationIdOf(domainId, clientId);
      const ids = { domainId, applicationId };
      await send(`${applicationId}.register`, 'RegisterApplication', { ...ids, clientId, name: applicationName });
      for (const secret of SECRETS) {
        const { description, expiresIn, notBeforeDays, allowedCidrs, then } = secret;
        const secretId = uuidV5(description, applicationId);
        const notBefore = notBeforeDays && new Date(nowMs + notBeforeDays * 86_400_000).toISOString();
        await send(`${secretId}.add`, 'AddSecret', {
          ...ids,
          secretId,
          description,
          ...(expiresIn && { expiresIn }),
          ...(notBefore && { notBefore }),
          ...(allowedCidrs && { allowedCidrs: [...allowedCidrs] }),
        });
        if (then === 'revoke')
          await send(`${secretId}.then`, 'RevokeSecret', { ...ids, secretId, reason: 'keyCompromise' });
        if (then === 'suspend')
          await send(`${secretId}.then`, 'SuspendSecret', { ...ids, secretId, reason: 'Seen in a log' });
        if (then === 'renew') await send(`${secretId}.then`, 'RenewSecret', { ...ids, secretId, overlap: days(2) });
      }
    }
  }
};
