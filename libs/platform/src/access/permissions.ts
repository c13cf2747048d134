import {
  COMMANDS,
  PERMISSIONS,
  RekeyError,
  type Action,
  type Caller,
  type CommandEnvelope,
  type Permission,
} from '@rekey/contracts';
import { domainNotFound } from '@rekey/domain';

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
    throw new RekeyError('domain_not_found', domainNotFound(domainId));
  if (!caller.roles.some((role) => roles.includes(role)))
    throw new RekeyError('forbidden', `This needs the role ${roles.join(' or ')}.`);
  if (systemWide && caller.domains.length > 0)
    throw new RekeyError('forbidden', 'This needs a role that is not limited to domains.');
  if (action === 'expiry.record' && caller.type !== 'system' && caller.type !== 'service')
    throw new RekeyError('forbidden', 'Only services record expiries and notices.');
};

/** Lets a command pass whose sender may give it; throws as `permit` does. */
export const authoriseCommand = (caller: Caller, command: Pick<CommandEnvelope, 'type' | 'data'>): void =>
  permit(caller, COMMANDS[command.type].action, command.data.domainId);
