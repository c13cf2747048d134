import { z } from 'zod';

/** Roles. A role applies to all domains, or to those that the caller is limited to. */
export const ROLES = ['admin', 'manager', 'auditor', 'authenticator', 'viewer'] as const;
export type Role = (typeof ROLES)[number];
export const roleSchema = z.enum(ROLES);

/** A caller and its rights. Empty `domains` means all. */
export interface Caller {
  readonly type: 'token' | 'user' | 'service' | 'system';
  readonly name: string;
  readonly roles: Role[];
  readonly domains: string[];
}

/** Returns the unique name of a caller. Without its type, a token and a user could have the same name. */
export const senderOf = ({ type, name }: Pick<Caller, 'type' | 'name'>): string => `${type}:${name}`;

/** Caller of the expiry watcher, which expires secrets and records notices. */
export const SYSTEM_CALLER: Caller = { type: 'system', name: 'expiry-watcher', roles: ['admin'], domains: [] };
