import type { Decider } from '../decider';
import type { ApplicationContext } from './commands';
import { decide, type ApplicationCommand } from './decide';
import type { ApplicationEvent } from './events';
import { evolve, type ApplicationState } from './state';

export type { ApplicationContext } from './commands';
export type { ApplicationCommand } from './decide';
export {
  CLIENT_ID_PATTERN,
  REVOCATION_REASONS,
  applicationIdOf,
  applicationStream,
  type ApplicationEvent,
  type NoticeKey,
  type RevocationReason,
  type Verifier,
} from './events';
export { noticeId, type ApplicationState, type NoticeState, type RegisteredApplication, type Secret } from './state';

/** Decides and folds the stream of one application with its secrets. */
export const application: Decider<ApplicationState, ApplicationCommand, ApplicationEvent, ApplicationContext> = {
  initial: { status: 'none' },
  evolve,
  decide,
};
