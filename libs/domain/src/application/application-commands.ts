import { unreachable } from '../decider';
import { DomainError, invalid } from '../errors';
import { checkApplicationPolicy, type ApplicationPolicy } from '../expiry-policy';
import { sameJson } from '../json';
import type { ApplicationContext, CommandOf, DataOf } from './commands';
import { CLIENT_ID_PATTERN, applicationIdOf, type ApplicationEvent } from './events';
import { requireEnabled, requireRevision, type ExistingDomain } from './rules';
import { addSecret } from './secret-commands';
import { newApplication, type ApplicationState, type RegisteredApplication } from './state';

/** The commands to an application as a whole. */
export type LifecycleCommand =
  | CommandOf<
      'RegisterApplication',
      {
        clientId: string;
        name: string;
        contacts?: readonly string[] | undefined;
        firstSecret?: { secretId: string; description: string } | undefined;
      }
    >
  | CommandOf<
      'UpdateApplication',
      { name?: string | undefined; contacts?: readonly string[] | undefined; enabled?: boolean | undefined }
    >
  | CommandOf<'ChangeApplicationPolicy', { policy: ApplicationPolicy }>
  | CommandOf<'DeleteApplication', object>;

type Data<Type extends LifecycleCommand['type']> = DataOf<LifecycleCommand, Type>;

/** Decides a command to a registered application. */
export const decideLifecycle = (
  command: Exclude<LifecycleCommand, { type: 'RegisterApplication' }>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent[] => {
  switch (command.type) {
    case 'UpdateApplication':
      return updateApplication(command.data, state, context);
    case 'ChangeApplicationPolicy':
      return changePolicy(command.data, state, context, domain);
    case 'DeleteApplication':
      return deleteApplication(command.data, state, context);
    default:
      return unreachable(command);
  }
};

export const registerApplication = (
  data: Data<'RegisterApplication'>,
  state: ApplicationState,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent[] => {
  const { applicationId, domainId, clientId, name, contacts, firstSecret } = data;
  if (!CLIENT_ID_PATTERN.test(clientId))
    throw invalid('clientId', 'A client id must have 1 to 255 printable ASCII characters.');
  if (applicationId !== applicationIdOf(domainId, clientId))
    throw invalid('applicationId', 'applicationId does not match this domain and client id.');
  requireEnabled(domain);
  if (state.status === 'active' || state.status === 'disabled')
    throw new DomainError('client_id_taken', `The client id "${clientId}" is already registered in this domain.`);
  const ids = { applicationId, domainId };
  const registered: ApplicationEvent = {
    type: 'ApplicationRegistered',
    data: { ...ids, clientId, name, contacts: contacts ?? [] },
  };
  if (!firstSecret) return [registered];
  const application = newApplication(registered.data, state, 0);
  return [registered, addSecret({ ...ids, ...firstSecret }, application, context, domain)];
};

const updateApplication = (
  { applicationId, domainId, name, contacts, enabled }: Data<'UpdateApplication'>,
  state: RegisteredApplication,
  context: ApplicationContext,
): ApplicationEvent[] => {
  requireRevision(context, state.resourceRevision);
  const ids = { applicationId, domainId };
  const events: ApplicationEvent[] = [];
  if (name !== undefined && name !== state.name) events.push({ type: 'ApplicationRenamed', data: { ...ids, name } });
  if (contacts !== undefined && !sameJson(contacts, state.contacts))
    events.push({ type: 'ContactsChanged', data: { ...ids, contacts } });
  if (enabled !== undefined && enabled !== (state.status === 'active'))
    events.push({ type: enabled ? 'ApplicationEnabled' : 'ApplicationDisabled', data: ids });
  return events;
};

const changePolicy = (
  { applicationId, domainId, policy }: Data<'ChangeApplicationPolicy'>,
  state: RegisteredApplication,
  context: ApplicationContext,
  domain: ExistingDomain,
): ApplicationEvent[] => {
  requireRevision(context, state.resourceRevision);
  if (sameJson(policy, state.policy)) return [];
  checkApplicationPolicy(policy, domain.policy, context.now);
  return [{ type: 'PolicyChanged', data: { applicationId, domainId, policy } }];
};

const deleteApplication = (
  { applicationId, domainId }: Data<'DeleteApplication'>,
  state: RegisteredApplication,
  context: ApplicationContext,
): ApplicationEvent[] => {
  requireRevision(context, state.resourceRevision);
  return [{ type: 'ApplicationDeleted', data: { applicationId, domainId } }];
};
