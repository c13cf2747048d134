import { unreachable } from '../decider';
import { DomainError } from '../errors';
import type { ApplicationCommand, ApplicationContext } from './commands';
import { changePolicy, deleteApplication, registerApplication, updateApplication } from './decide-application';
import { decideNotice } from './decide-notice';
import {
  addSecret,
  endOverlap,
  expireSecret,
  renewSecret,
  resumeSecret,
  revokeSecret,
  suspendSecret,
  updateSecret,
} from './decide-secret';
import type { ApplicationEvent } from './events';
import { requireDomain, requireRevision } from './rules';
import type { ApplicationState } from './state';

/** Returns the events of a command; none where the state is already as requested. Throws `DomainError`. */
export const decide = (
  command: ApplicationCommand,
  state: ApplicationState,
  context: ApplicationContext,
): ApplicationEvent[] => {
  const { applicationId, domainId } = command.data;
  const domain = requireDomain(context.domain, domainId);
  if (command.type === 'RegisterApplication') return registerApplication(command.data, state, context, domain);
  if (state.status === 'none' || state.status === 'deleted' || state.domainId !== domainId)
    throw new DomainError('application_not_found', `No application ${applicationId} in ${domainId}.`);
  switch (command.type) {
    case 'UpdateApplication':
      return updateApplication(command.data, state, context);
    case 'ChangeApplicationPolicy':
      return changePolicy(command.data, state, context, domain);
    case 'DeleteApplication':
      return deleteApplication(command.data, state, context);
    case 'AddSecret':
      requireRevision(context, state.resourceRevision);
      return [addSecret(command.data, state, context, domain)];
    case 'RenewSecret':
      return [renewSecret(command.data, state, context, domain)];
    case 'EndOverlap':
      return endOverlap(command.data, state, context);
    case 'RevokeSecret':
      return revokeSecret(command.data, state, context);
    case 'SuspendSecret':
      return suspendSecret(command.data, state, context);
    case 'ResumeSecret':
      return resumeSecret(command.data, state, context);
    case 'UpdateSecret':
      return updateSecret(command.data, state, context, domain);
    case 'ExpireSecret':
      return expireSecret(command.data, state, context);
    case 'RecordNoticeSent':
    case 'RecordNoticeFailed':
    case 'RetryNotice':
    case 'AcknowledgeNotice':
      return decideNotice(command, state);
    default:
      return unreachable(command);
  }
};
