import { z } from 'zod';

/** What somebody may do; each role counts for all domains, or for those that its holder is limited to. */
export const ROLES = ['admin', 'manager', 'auditor', 'authenticator', 'viewer'] as const;
export type Role = (typeof ROLES)[number];
export const roleSchema = z.enum(ROLES);

/** Who calls, and with what rights. `domains` empty: all. */
export const callerSchema = z.strictObject({
  type: z.enum(['token', 'user', 'service', 'system']),
  name: z.string().min(1).max(255),
  roles: z.array(roleSchema),
  domains: z.array(z.string()),
});
export type Caller = Readonly<z.infer<typeof callerSchema>>;

/** Names a sender: a token and a user may have one name. */
export const senderOf = ({ type, name }: Pick<Caller, 'type' | 'name'>): string => `${type}:${name}`;

/** Rekey's own watcher, which expires secrets and records notices. */
export const SYSTEM_CALLER: Caller = { type: 'system', name: 'expiry-watcher', roles: ['admin'], domains: [] };
