import { RekeyError, type Caller, type CommandEnvelope, type CommandType, type Role } from '@rekey/contracts';

interface Permission {
  readonly roles: readonly Role[];
  /** Concerns the whole system: nobody who is limited to domains may do it, whatever their role. */
  readonly systemWide?: true;
}

const READERS: readonly Role[] = ['admin', 'manager', 'auditor', 'viewer'];
const MANAGERS: readonly Role[] = ['admin', 'manager'];
const AUDITORS: readonly Role[] = ['admin', 'auditor'];
const ADMINS: readonly Role[] = ['admin'];

/** Everything that a caller can ask for, and the roles of which one is needed. The only such table. */
export const PERMISSIONS = {
  'domain.create': { roles: ADMINS, systemWide: true },
  'domain.read': { roles: READERS },
  'domain.update': { roles: ADMINS },
  'domain.delete': { roles: ADMINS },
  'policy.write': { roles: MANAGERS },
  'application.read': { roles: READERS },
  'application.write': { roles: MANAGERS },
  'secret.read': { roles: READERS },
  'secret.write': { roles: MANAGERS },
  'notice.read': { roles: READERS },
  'notice.write': { roles: MANAGERS },
  /** Live changes. */
  'event.read': { roles: READERS },
  /** Outcome of a command of the caller's own. */
  'command.read': { roles: READERS },
  /** Events as they happened, and state as of an instant. */
  'history.read': { roles: AUDITORS },
  /** The hash chains of all streams. */
  'history.verify': { roles: AUDITORS, systemWide: true },
  /** The authentication check. */
  check: { roles: ['admin', 'authenticator'] },
  /** How views are kept: to see it, to build one anew, to replay what could not be taken in. */
  'projection.manage': { roles: ADMINS, systemWide: true },
  /** What only the watcher, or a service that stands in for it, records. */
  'expiry.record': { roles: ADMINS },
} as const satisfies Record<string, Permission>;

export type Action = keyof typeof PERMISSIONS;

/** What a caller must be permitted to do to send a command. */
export const COMMAND_ACTIONS: Readonly<Record<CommandType, Action>> = {
  CreateDomain: 'domain.create',
  UpdateDomain: 'domain.update',
  ChangeDomainPolicy: 'policy.write',
  DeleteDomain: 'domain.delete',
  RegisterApplication: 'application.write',
  UpdateApplication: 'application.write',
  ChangeApplicationPolicy: 'policy.write',
  DeleteApplication: 'application.write',
  AddSecret: 'secret.write',
  RenewSecret: 'secret.write',
  EndOverlap: 'secret.write',
  RevokeSecret: 'secret.write',
  SuspendSecret: 'secret.write',
  ResumeSecret: 'secret.write',
  UpdateSecret: 'secret.write',
  ExpireSecret: 'expiry.record',
  RecordNoticeSent: 'expiry.record',
  RecordNoticeFailed: 'expiry.record',
  RetryNotice: 'notice.write',
  AcknowledgeNotice: 'notice.write',
};

/** Whether a domain exists for a caller at all. */
export const seesDomain = (caller: Caller, domainId: string): boolean =>
  caller.domains.length === 0 || caller.domains.includes(domainId);

/** The domains that a caller is limited to; undefined: none, all are visible. */
export const visibleDomains = (caller: Caller): readonly string[] | undefined =>
  caller.domains.length === 0 ? undefined : caller.domains;

/**
 * Lets a caller pass who may do something, in a domain where one is given. Throws `domain_not_found` outside the
 * caller's domains, whether the domain exists or not, and `forbidden` inside without the role. Where an action reaches
 * over several domains, none is given, and what is answered must be cut down to `visibleDomains`.
 */
export const permit = (caller: Caller, action: Action, domainId?: string): void => {
  const { roles, systemWide }: Permission = PERMISSIONS[action];
  if (domainId !== undefined && !systemWide && !seesDomain(caller, domainId))
    throw new RekeyError('domain_not_found', 'There is no such domain.');
  if (!caller.roles.some((role) => roles.includes(role)))
    throw new RekeyError('forbidden', `This needs the role ${roles.join(' or ')}.`);
  if (systemWide && caller.domains.length > 0)
    throw new RekeyError('forbidden', 'This needs a role that is not limited to domains.');
  if (action === 'expiry.record' && caller.type !== 'system' && caller.type !== 'service')
    throw new RekeyError('forbidden', 'Only services record expiries and notices.');
};

/** Lets a command pass whose sender may give it; throws as `permit` does. */
export const authoriseCommand = (caller: Caller, command: Pick<CommandEnvelope, 'type' | 'data'>): void =>
  permit(caller, COMMAND_ACTIONS[command.type], command.data.domainId);
