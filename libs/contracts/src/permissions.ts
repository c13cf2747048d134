import type { Role } from './access';

export interface Permission {
  /** The roles that permit the action; one of them is enough. */
  readonly roles: readonly Role[];
  /** Needs a role that is not limited to domains. */
  readonly systemWide?: true;
}

const READERS: readonly Role[] = ['admin', 'manager', 'auditor', 'viewer'];
const MANAGERS: readonly Role[] = ['admin', 'manager'];
const AUDITORS: readonly Role[] = ['admin', 'auditor'];
const ADMINS: readonly Role[] = ['admin'];

/** Every action that needs a permission. Routes and commands name one of these. */
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
  /** The stream of live changes. */
  'event.read': { roles: READERS },
  /** The outcomes of the caller's own commands. */
  'command.read': { roles: READERS },
  /** Stored events, and state as of an instant. */
  'history.read': { roles: AUDITORS },
  /** Verify the hash chains of all streams. */
  'history.verify': { roles: AUDITORS, systemWide: true },
  /** Check client credentials. */
  check: { roles: ['admin', 'authenticator'] },
  /** List and rebuild projections, replay parked streams. */
  'projection.manage': { roles: ADMINS, systemWide: true },
  /** Record expiries and notices: for the expiry watcher, or a service in its place. */
  'expiry.record': { roles: ADMINS },
} as const satisfies Record<string, Permission>;

export type Action = keyof typeof PERMISSIONS;
