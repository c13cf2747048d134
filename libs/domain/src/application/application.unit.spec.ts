import { application, applicationIdOf, applicationStream, type ApplicationCommand } from '.';
import {
  added,
  applicationId,
  clientId,
  days,
  deleted,
  disabled,
  domain,
  domainId,
  enabled,
  given,
  ids,
  policyChanged,
  registered,
  revoked,
  suspended,
  verifier,
} from './application.testing';
import type { ApplicationPolicy } from '../expiry-policy';
import { refusalOf } from '../testing';

type Register = Extract<ApplicationCommand, { type: 'RegisterApplication' }>;
const register = (more: Partial<Register['data']> = {}): Register => ({
  type: 'RegisterApplication',
  data: { ...ids, clientId, name: 'Shop', ...more },
});
const update = (data: { name?: string; contacts?: string[]; enabled?: boolean }) =>
  ({ type: 'UpdateApplication', data: { ...ids, ...data } }) as const;
const changePolicy = (policy: ApplicationPolicy) =>
  ({ type: 'ChangeApplicationPolicy', data: { ...ids, policy } }) as const;
const remove = { type: 'DeleteApplication', data: ids } as const;
const add = (secretId = 's1') => ({ type: 'AddSecret', data: { ...ids, secretId, description: secretId } }) as const;
const contacts = ['shop@example.com'];

/** One command of every type that requires an application. */
const commands: ApplicationCommand[] = [
  update({ name: 'x' }),
  changePolicy({ mode: 'never' }),
  remove,
  add(),
  { type: 'RenewSecret', data: { ...ids, secretId: 's1' } },
  { type: 'EndOverlap', data: { ...ids, secretId: 's1' } },
  { type: 'RevokeSecret', data: { ...ids, secretId: 's1', force: true } },
  { type: 'SuspendSecret', data: { ...ids, secretId: 's1', force: true } },
  { type: 'ResumeSecret', data: { ...ids, secretId: 's1' } },
  { type: 'UpdateSecret', data: { ...ids, secretId: 's1', description: 'x' } },
  { type: 'ExpireSecret', data: { ...ids, secretId: 's1', version: 1 } },
  {
    type: 'RecordNoticeSent',
    data: { ...ids, secretId: 's1', version: 1, threshold: 1, channel: 'log', recipients: 1 },
  },
  {
    type: 'RecordNoticeFailed',
    data: { ...ids, secretId: 's1', version: 1, threshold: 1, channel: 'log', cause: 'x' },
  },
  { type: 'RetryNotice', data: { ...ids, secretId: 's1', version: 1, threshold: 1, channel: 'log' } },
  { type: 'AcknowledgeNotice', data: { ...ids, secretId: 's1', version: 1, threshold: 1, channel: 'log' } },
];

describe('applicationIdOf', () => {
  it('returns the UUID v5 of domain and client id', () => {
    expect(applicationIdOf('payments', 'shop')).toBe('5acde966-650c-5ff2-8657-03ac4959c380');
    expect(applicationStream(applicationId)).toBe(`application-${applicationId}`);
  });

  it('returns different ids for different domains and letter case', () => {
    const all = [
      ['a', 'b'],
      ['a', 'B'],
      ['b', 'b'],
      ['a', 'b:c'],
      ['a', ' b'],
    ] as const;
    expect(new Set(all.map(([inDomain, client]) => applicationIdOf(inDomain, client))).size).toBe(all.length);
  });
});

describe('registering an application', () => {
  it('creates it with an inherited policy and without secrets', () => {
    given().when(register()).then(registered);
    expect(given(registered).state()).toEqual({
      status: 'active',
      ...ids,
      clientId,
      name: 'Shop',
      contacts: [],
      policy: { mode: 'inherit' },
      secrets: {},
      formerSecretIds: [],
      resourceRevision: 0,
    });
  });

  it('stores the contacts', () =>
    given()
      .when(register({ contacts }))
      .then({ type: 'ApplicationRegistered', data: { ...ids, clientId, name: 'Shop', contacts } }));

  it('also adds the first secret', () =>
    given()
      .when(register({ firstSecret: { secretId: 's1', description: ' first ' } }))
      .then(registered, added('s1', { description: 'first' })));

  it("uses the domain's expiry for the first secret", () =>
    given()
      .when(register({ firstSecret: { secretId: 's1', description: 's1' } }), {
        domain: domain({ policy: { expiry: { mode: 'after', after: days(90) } } }),
      })
      .then(registered, added('s1', { expiresAt: '2026-04-01T00:00:00.000Z', expirySource: 'domain' })));

  it('stores no hint for a value without one', () => {
    const { hint: _, ...imported } = verifier;
    const [, event] = given()
      .when(register({ firstSecret: { secretId: 's1', description: 's1' } }), { verifier: imported })
      .events();
    expect(event?.data).not.toHaveProperty('hint');
  });

  it('rejects a client id that is in use', () => {
    given(registered).when(register()).thenRefused('client_id_taken');
    given(registered, disabled).when(register()).thenRefused('client_id_taken');
  });

  it('rejects a missing or disabled domain', () => {
    for (const status of ['none', 'deleted'] as const)
      given().when(register(), { domain: { status } }).thenRefused('domain_not_found');
    given()
      .when(register(), { domain: domain({ status: 'disabled' }) })
      .thenRefused('domain_disabled');
  });

  it.each(['', 'x'.repeat(256), 'é', 'a\tb', 'a\nb', '\u007f', 'a\u0000'])('rejects the client id %j', (id) =>
    given()
      .when(register({ clientId: id, applicationId: applicationIdOf(domainId, id) }))
      .thenRefused('invalid_request', { field: 'clientId' }),
  );

  it.each(['~', ' a b ', 'a:b/c?d#e%20', 'x'.repeat(255), '__proto__'])('accepts the client id %j', (id) => {
    const data = { domainId, applicationId: applicationIdOf(domainId, id), clientId: id, name: 'Shop' };
    given()
      .when({ type: 'RegisterApplication', data })
      .then({ type: 'ApplicationRegistered', data: { ...data, contacts: [] } });
  });

  it('rejects an application id that does not match the client id', () =>
    given()
      .when(register({ clientId: 'other' }))
      .thenRefused('invalid_request', { field: 'applicationId' }));

  it('rejects a first secret without a description', () =>
    given()
      .when(register({ firstSecret: { secretId: 's1', description: ' ' } }))
      .thenRefused('invalid_request', { field: 'description' }));

  it('throws if no value was generated for the first secret', () =>
    expect(
      refusalOf(() =>
        given()
          .when(register({ firstSecret: { secretId: 's1', description: 's1' } }), { verifier: undefined })
          .events(),
      ),
    ).not.toHaveProperty('code'));
});

describe('updating an application', () => {
  it('renames it, and does nothing when repeated', () => {
    given(registered)
      .when(update({ name: 'Store' }))
      .thenOnce({ type: 'ApplicationRenamed', data: { ...ids, name: 'Store' } });
    given(registered)
      .when(update({ name: 'Shop' }))
      .thenNothing();
  });

  it('changes its contacts, and does nothing when repeated', () =>
    given(registered)
      .when(update({ contacts }))
      .thenOnce({ type: 'ContactsChanged', data: { ...ids, contacts } }));

  it('disables and enables it, and does nothing when repeated', () => {
    given(registered)
      .when(update({ enabled: false }))
      .thenOnce(disabled);
    given(registered, disabled)
      .when(update({ enabled: true }))
      .thenOnce(enabled);
    given(registered)
      .when(update({ enabled: true }))
      .thenNothing();
  });

  it('applies several changes at once, and none for an empty update', () => {
    given(registered)
      .when(update({ name: 'Store', contacts, enabled: false }))
      .thenOnce(
        { type: 'ApplicationRenamed', data: { ...ids, name: 'Store' } },
        { type: 'ContactsChanged', data: { ...ids, contacts } },
        disabled,
      );
    given(registered).when(update({})).thenNothing();
  });
});

describe("changing an application's policy", () => {
  it.each<ApplicationPolicy>([{ mode: 'never' }, { mode: 'after', after: days(30) }])(
    'changes it to %j, and does nothing when repeated',
    (policy) => given(registered).when(changePolicy(policy)).thenOnce(policyChanged(policy)),
  );

  it('changes it back to inherit, and does nothing when repeated', () => {
    given(registered, policyChanged({ mode: 'never' }))
      .when(changePolicy({ mode: 'inherit' }))
      .thenOnce(policyChanged({ mode: 'inherit' }));
    given(registered)
      .when(changePolicy({ mode: 'inherit' }))
      .thenNothing();
  });

  it("rejects a policy outside the domain's bounds and names the bound", () => {
    const bounded = { domain: domain({ policy: { minLifetime: days(10), maxLifetime: days(20) } }) };
    given(registered)
      .when(changePolicy({ mode: 'after', after: days(9) }), bounded)
      .thenRefused('lifetime_out_of_bounds', { field: 'expiry.after', bound: 'minLifetime', amount: 10, unit: 'days' });
    given(registered)
      .when(changePolicy({ mode: 'after', after: days(21) }), bounded)
      .thenRefused('lifetime_out_of_bounds', { field: 'expiry.after', bound: 'maxLifetime', amount: 20, unit: 'days' });
    given(registered)
      .when(changePolicy({ mode: 'never' }), bounded)
      .thenRefused('lifetime_out_of_bounds', { field: 'expiry.mode', bound: 'maxLifetime' });
    given(registered)
      .when(changePolicy({ mode: 'after', after: days(20) }), bounded)
      .thenOnce(policyChanged({ mode: 'after', after: days(20) }));
  });

  it("accepts an unchanged policy, even if the domain's bounds are now stricter", () =>
    given(registered, policyChanged({ mode: 'never' }))
      .when(changePolicy({ mode: 'never' }), { domain: domain({ policy: { maxLifetime: days(20) } }) })
      .thenNothing());

  it('does not change existing secrets', () => {
    const history = [registered, added('s1', { expiresAt: '2026-02-01T00:00:00.000Z' })];
    const secretsOf = (state: object) => ('secrets' in state ? state.secrets : undefined);
    for (const policy of [{ mode: 'never' }, { mode: 'inherit' }, { mode: 'after', after: days(300) }] as const)
      expect(secretsOf(given(...history, policyChanged(policy)).state())).toEqual(secretsOf(given(...history).state()));
  });
});

describe('deleting an application', () => {
  it('deletes it without force, even if it is disabled', () => {
    given(registered, added()).when(remove).then(deleted);
    given(registered, disabled).when(remove).then(deleted);
  });

  it.each(commands)('rejects $type afterwards', (command) => {
    given(registered, added(), deleted).when(command).thenRefused('application_not_found');
    given().when(command).thenRefused('application_not_found');
  });

  it('is final: later events other than a registration do not undo it', () => {
    const { state } = given(registered, deleted, added(), enabled, policyChanged({ mode: 'never' }));
    expect(state()).toEqual({ status: 'deleted', formerSecretIds: [] });
  });

  it('frees the client id for a new application without the old data', () => {
    const old = [registered, added('s1'), policyChanged({ mode: 'never' }), disabled, deleted];
    given(...old)
      .when(register())
      .then(registered);
    expect(given(...old, registered).state()).toMatchObject({
      status: 'active',
      policy: { mode: 'inherit' },
      contacts: [],
      secrets: {},
      resourceRevision: 5,
    });
    given(...old, registered)
      .when({ type: 'RevokeSecret', data: { ...ids, secretId: 's1', force: true } })
      .thenRefused('secret_not_found');
  });

  it('does not free the ids of its secrets', () => {
    const old = [registered, added('s1'), revoked(), added('s2'), deleted];
    for (const secretId of ['s1', 's2']) {
      given(...old)
        .when(register({ firstSecret: { secretId, description: 'x' } }))
        .thenRefused('invalid_request', { field: 'secretId' });
      given(...old, registered)
        .when(add(secretId))
        .thenRefused('invalid_request', { field: 'secretId' });
      given(...old, registered, deleted, registered)
        .when(add(secretId))
        .thenRefused('invalid_request', { field: 'secretId' });
    }
  });
});

describe('an unavailable domain', () => {
  it.each(commands)('rejects $type if it does not exist', (command) => {
    for (const status of ['none', 'deleted'] as const)
      given(registered, added()).when(command, { domain: { status } }).thenRefused('domain_not_found');
  });

  it.each(commands)('rejects $type for an application of a different domain', (command) =>
    given(registered, added())
      .when({ ...command, data: { ...command.data, domainId: 'other' } } as ApplicationCommand)
      .thenRefused('application_not_found'),
  );

  it('rejects only new values if it is disabled', () => {
    const inDisabledDomain = { domain: domain({ status: 'disabled' }) };
    const history = [registered, added('s1'), added('s2')];
    given(...history)
      .when(add('s3'), inDisabledDomain)
      .thenRefused('domain_disabled');
    given(...history)
      .when({ type: 'RenewSecret', data: { ...ids, secretId: 's1' } }, inDisabledDomain)
      .thenRefused('domain_disabled');
    given(...history)
      .when({ type: 'RevokeSecret', data: { ...ids, secretId: 's1' } }, inDisabledDomain)
      .thenOnce(revoked());
    given(...history)
      .when({ type: 'SuspendSecret', data: { ...ids, secretId: 's1' } }, inDisabledDomain)
      .thenOnce(suspended());
  });
});

describe('If-Match', () => {
  const history = [registered, added('s1'), policyChanged({ mode: 'never' }), added('s2')];

  it.each(commands.slice(0, 4))('compares the revision of the application for $type', (command) => {
    given(...history)
      .when(command, { ifMatch: 1 })
      .thenRefused('revision_conflict', { revision: 2 });
  });

  it('compares with the last change of the application, not of its secrets', () =>
    expect(
      given(...history)
        .when(update({ name: 'x' }), { ifMatch: 2 })
        .events(),
    ).toHaveLength(1));

  it.each(commands.slice(4, 10))('compares the revision of the secret for $type', (command) =>
    given(...history)
      .when(command, { ifMatch: 3 })
      .thenRefused('revision_conflict', { revision: 1 }),
  );
});

describe('the application decider', () => {
  it('starts with status none', () => expect(application.initial).toEqual({ status: 'none' }));

  it('lists each type of command only once', () =>
    expect(new Set(commands.map(({ type }) => type)).size).toBe(commands.length));

  it('rejects a command before a value is generated', () =>
    given(registered, disabled).when(add(), { verifier: undefined }).thenRefused('application_disabled'));
});
