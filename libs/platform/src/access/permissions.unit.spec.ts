import {
  COMMANDS,
  PERMISSIONS,
  ROLES,
  SYSTEM_CALLER,
  type Action,
  type Caller,
  type CommandType,
  type Role,
} from '@rekey/contracts';
import { DOMAIN_NOT_FOUND } from '@rekey/domain';
import { authoriseCommand, permit, visibleDomains } from './permissions';

const caller = (roles: readonly Role[], domains: readonly string[] = [], type: Caller['type'] = 'token'): Caller => ({
  type,
  name: 'someone',
  roles: [...roles],
  domains: [...domains],
});

const outcome = (run: () => void): string => {
  try {
    run();
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

/** Written out once more, by role, so that a slip in the table shows. */
const READS: Action[] = ['domain.read', 'application.read', 'secret.read', 'notice.read', 'event.read', 'command.read'];
const ALLOWED: Record<Role, readonly Action[]> = {
  admin: (Object.keys(PERMISSIONS) as Action[]).filter((action) => action !== 'expiry.record'),
  manager: [...READS, 'policy.write', 'application.write', 'secret.write', 'notice.write'],
  auditor: [...READS, 'history.read', 'history.verify'],
  authenticator: ['check'],
  viewer: READS,
};
const SYSTEM_WIDE: readonly Action[] = ['domain.create', 'history.verify', 'projection.manage'];
const actions = Object.keys(PERMISSIONS) as Action[];

describe.each(ROLES)('a caller with the role %s', (role) => {
  it.each(actions)('may or may not %s in any domain', (action) => {
    const expected = ALLOWED[role].includes(action) ? 'ok' : 'forbidden';
    expect(outcome(() => permit(caller([role]), action))).toBe(expected);
    expect(outcome(() => permit(caller([role]), action, 'shop'))).toBe(expected);
  });

  it.each(actions)('limited to a domain may or may not %s there, and finds no other domain', (action) => {
    const limited = caller([role], ['shop', 'bank']);
    const expected = ALLOWED[role].includes(action) && !SYSTEM_WIDE.includes(action) ? 'ok' : 'forbidden';
    expect(outcome(() => permit(limited, action, 'shop'))).toBe(expected);
    expect(outcome(() => permit(limited, action))).toBe(expected);
    const elsewhere = SYSTEM_WIDE.includes(action) ? 'forbidden' : 'domain_not_found';
    expect(outcome(() => permit(limited, action, 'other'))).toBe(elsewhere);
  });
});

it('permits nothing to a caller without a role', () => {
  for (const action of actions) expect(outcome(() => permit(caller([]), action, 'shop'))).toBe('forbidden');
});

it('permits what one of several roles permits', () => {
  const both = caller(['viewer', 'authenticator']);
  expect(outcome(() => permit(both, 'check', 'shop'))).toBe('ok');
  expect(outcome(() => permit(both, 'secret.read', 'shop'))).toBe('ok');
  expect(outcome(() => permit(both, 'secret.write', 'shop'))).toBe('forbidden');
});

it('does not reveal whether another domain exists', () => {
  expect(() => permit(caller(['viewer'], ['shop']), 'secret.write', 'bank')).toThrow(
    expect.objectContaining({ code: 'domain_not_found', message: DOMAIN_NOT_FOUND, details: {} }),
  );
});

describe('commands', () => {
  const target = { domainId: 'shop', applicationId: 'an-application', secretId: 'a-secret' };
  const send = (who: Caller, type: CommandType) => outcome(() => authoriseCommand(who, { type, data: target }));
  const types = Object.keys(COMMANDS) as CommandType[];
  const WATCHERS: readonly CommandType[] = ['ExpireSecret', 'RecordNoticeSent', 'RecordNoticeFailed'];
  const ADMINS: readonly CommandType[] = ['CreateDomain', 'UpdateDomain', 'DeleteDomain'];

  it.each(types)('name an action: %s', (type) => {
    expect(PERMISSIONS).toHaveProperty([COMMANDS[type].action]);
  });

  it.each(types)('depend on the role of the sender: %s', (type) => {
    const watcher = WATCHERS.includes(type);
    expect(send(caller(['admin']), type)).toBe(watcher ? 'forbidden' : 'ok');
    expect(send(caller(['manager']), type)).toBe(watcher || ADMINS.includes(type) ? 'forbidden' : 'ok');
    for (const role of ['auditor', 'authenticator', 'viewer'] as const)
      expect(send(caller([role]), type)).toBe('forbidden');
  });

  it.each(types)('depend on the domains of the sender: %s', (type) => {
    const watcher = WATCHERS.includes(type);
    expect(send(caller(['admin'], ['shop']), type)).toBe(watcher || type === 'CreateDomain' ? 'forbidden' : 'ok');
    expect(send(caller(['admin'], ['bank']), type)).toBe(type === 'CreateDomain' ? 'forbidden' : 'domain_not_found');
  });

  it.each(WATCHERS)('of the watcher may be sent by it or by an admin service: %s', (type) => {
    expect(send(SYSTEM_CALLER, type)).toBe('ok');
    expect(send(caller(['admin'], [], 'service'), type)).toBe('ok');
    expect(send(caller(['manager'], [], 'service'), type)).toBe('forbidden');
    expect(send(caller(['admin'], [], 'user'), type)).toBe('forbidden');
  });
});

it('returns the domains that a caller is limited to', () => {
  expect(visibleDomains(caller(['viewer']))).toBeUndefined();
  expect(visibleDomains(caller(['viewer'], ['shop']))).toEqual(['shop']);
});
