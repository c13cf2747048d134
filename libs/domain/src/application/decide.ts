import { DomainError } from '../errors';
import { decideLifecycle, registerApplication, type LifecycleCommand } from './application-commands';
import type { ApplicationContext } from './commands';
import type { ApplicationEvent } from './events';
import { decideNotice, isNoticeCommand, type NoticeCommand } from './notice-commands';
import { requireDomain } from './rules';
import { decideSecret, isSecretCommand, type SecretCommand } from './secret-commands';
import type { ApplicationState } from './state';

/** The commands of an application, its secrets and their expiry notices. */
export type ApplicationCommand = LifecycleCommand | SecretCommand | NoticeCommand;

/** Returns the events of a command; none where the state is already as requested. Throws `DomainError`. */
export const decide = (
  command: ApplicationCommand,
  state: ApplicationState,
  context: ApplicationContext,
): ApplicationEvent[] => {
  const { applicationId, domainId } = command.data;
  const domain = requireDomain(context.domain);
  if (command.type === 'RegisterApplication') return registerApplication(command.data, state, context, domain);
  if (state.status === 'none' || state.status === 'deleted' || state.domainId !== domainId)
    throw new DomainError('application_not_found', `No application ${applicationId} in this domain.`);
  if (isNoticeCommand(command)) return decideNotice(command, state);
  if (isSecretCommand(command)) return decideSecret(command, state, context, domain);
  return decideLifecycle(command, state, context, domain);
};
