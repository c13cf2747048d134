import {
  COMMANDS,
  PERMISSIONS,
  RekeyError,
  type Action,
  type Caller,
  type CommandEnvelope,
  type Permission,
} from '@rekey/contracts';
import { DOMAIN_NOT_FOUND } from '@rekey/domain';

/** Whether a caller may access a domain. */
export const seesDomain = (caller: Caller, domainId: string): boolean =>
  caller.domains.length === 0 || caller.domains.includes(domainId);

/** Returns the domains that a caller is limited to; undefined if all are visible. */
export const visibleDomains = (caller: Caller): readonly string[] | undefined =>
  caller.domains.length === 0 ? undefined : caller.domains;

/**
 * Checks that a caller may do something, in a domain if one is given. Throws `domain_not_found` outside the caller's
 * domains, whether the domain exists or not, and `forbidden` without the role. For an action on several domains, give
 * none and limit the answer to `visibleDomains`.
 */
export const permit = (caller: Caller, action: Action, domainId?: string): void => {
  const { roles, systemWide }: Permission = PERMISSIONS[action];
  if (domainId !== undefined && !systemWide && !seesDomain(caller, domainId))
    throw new RekeyError('domain_not_found', DOMAIN_NOT_FOUND);
  if (!caller.roles.some((role) => roles.includes(role)))
    throw new RekeyError('forbidden', `This needs the role ${roles.join(' or ')}.`);
  if (systemWide && caller.domains.length > 0)
    throw new RekeyError('forbidden', 'This needs a role for all domains; yours is limited to some.');
  if (action === 'expiry.record' && caller.type !== 'system' && caller.type !== 'service')
    throw new RekeyError('forbidden', 'Only services may record expiries and notices.');
};

/** Checks that a caller may send a command. Throws as `permit` does. */
export const authoriseCommand = (caller: Caller, command: Pick<CommandEnvelope, 'type' | 'data'>): void =>
  permit(caller, COMMANDS[command.type].action, command.data.domainId);
