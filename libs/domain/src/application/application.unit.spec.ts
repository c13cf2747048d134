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

/** One command of every kind that needs an application. */
const others: ApplicationCommand[] = [
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

describe('the id of an application', () => {
  it('is uuid v5 of domain and client id, for ever the same', () => {
    expect(applicationIdOf('payments', 'shop')).toBe('5acde966-650c-5ff2-8657-03ac4959c380');
    expect(applicationStream(applicationId)).toBe(`application-${applicationId}`);
  });

  it('is another for another domain and for another case', () => {
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
  it('makes it, with an inherited policy and without secrets', () => {
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

  it('takes contacts along', () =>
    given()
      .when(register({ contacts }))
      .then({ type: 'ApplicationRegistered', data: { ...ids, clientId, name: 'Shop', contacts } }));

  it('adds the first secret with it', () =>
    given()
      .when(register({ firstSecret: { secretId: 's1', description: ' first ' } }))
      .then(registered, added('s1', { description: 'first' })));

  it("gives the first secret the domain's expiry", () =>
    given()
      .when(register({ firstSecret: { secretId: 's1', description: 's1' } }), {
        domain: domain({ policy: { expiry: { mode: 'after', after: days(90) } } }),
      })
      .then(registered, added('s1', { expiresAt: '2026-04-01T00:00:00.000Z', expirySource: 'domain' })));

  it('keeps no hint of a value that has none', () => {
    const { hint: _, ...imported } = verifier;
    const [, event] = given()
      .when(register({ firstSecret: { secretId: 's1', description: 's1' } }), { verifier: imported })
      .events();
    expect(event?.data).not.toHaveProperty('hint');
  });

  it('is refused where the client id is taken', () => {
    given(registered).when(register()).thenRefused('client_id_taken');
    given(registered, disabled).when(register()).thenRefused('client_id_taken');
  });

  it('is refused in a domain that is away or disabled', () => {
    for (const status of ['none', 'deleted'] as const)
      given().when(register(), { domain: { status } }).thenRefused('domain_not_found');
    given()
      .when(register(), { domain: domain({ status: 'disabled' }) })
      .thenRefused('domain_disabled');
  });

  it.each(['', 'x'.repeat(256), 'é', 'a\tb', 'a\nb', '\u007f', 'a\u0000'])('is refused for the client id %j', (id) =>
    given()
      .when(register({ clientId: id, applicationId: applicationIdOf(domainId, id) }))
      .thenRefused('invalid_request', { field: 'clientId' }),
  );

  it.each(['~', ' a b ', 'a:b/c?d#e%20', 'x'.repeat(255), '__proto__'])('takes the client id %j', (id) => {
    const data = { domainId, applicationId: applicationIdOf(domainId, id), clientId: id, name: 'Shop' };
    given()
      .when({ type: 'RegisterApplication', data })
      .then({ type: 'ApplicationRegistered', data: { ...data, contacts: [] } });
  });

  it('is refused under an id that belongs to another name', () =>
    given()
      .when(register({ clientId: 'other' }))
      .thenRefused('invalid_request', { field: 'applicationId' }));

  it('is refused with a first secret without a description', () =>
    given()
      .when(register({ firstSecret: { secretId: 's1', description: ' ' } }))
      .thenRefused('invalid_request', { field: 'description' }));

  it('fails loudly where no value was made for the first secret', () =>
    expect(
      refusalOf(() =>
        given()
          .when(register({ firstSecret: { secretId: 's1', description: 's1' } }), { verifier: undefined })
          .events(),
      ),
    ).not.toHaveProperty('code'));
});

describe('updating an application', () => {
  it('renames it, once', () => {
    given(registered)
      .when(update({ name: 'Store' }))
      .thenOnce({ type: 'ApplicationRenamed', data: { ...ids, name: 'Store' } });
    given(registered)
      .when(update({ name: 'Shop' }))
      .thenNothing();
  });

  it('changes its contacts, once', () =>
    given(registered)
      .when(update({ contacts }))
      .thenOnce({ type: 'ContactsChanged', data: { ...ids, contacts } }));

  it('disables and enables it, once', () => {
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

  it('does several at once, and nothing where nothing is said', () => {
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
  it.each<ApplicationPolicy>([{ mode: 'never' }, { mode: 'after', after: days(30) }])('to %j, once', (policy) =>
    given(registered).when(changePolicy(policy)).thenOnce(policyChanged(policy)),
  );

  it('back to inherit, once', () => {
    given(registered, policyChanged({ mode: 'never' }))
      .when(changePolicy({ mode: 'inherit' }))
      .thenOnce(policyChanged({ mode: 'inherit' }));
    given(registered)
      .when(changePolicy({ mode: 'inherit' }))
      .thenNothing();
  });

  it("is refused outside the domain's bounds, with the bound named", () => {
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

  it('the same again is nothing new, also where the domain has become stricter', () =>
    given(registered, policyChanged({ mode: 'never' }))
      .when(changePolicy({ mode: 'never' }), { domain: domain({ policy: { maxLifetime: days(20) } }) })
      .thenNothing());

  it('touches no existing secret', () => {
    const history = [registered, added('s1', { expiresAt: '2026-02-01T00:00:00.000Z' })];
    const secretsOf = (state: object) => ('secrets' in state ? state.secrets : undefined);
    for (const policy of [{ mode: 'never' }, { mode: 'inherit' }, { mode: 'after', after: days(300) }] as const)
      expect(secretsOf(given(...history, policyChanged(policy)).state())).toEqual(secretsOf(given(...history).state()));
  });
});

describe('deleting an application', () => {
  it('ends it, also a disabled one, and needs no force', () => {
    given(registered, added()).when(remove).then(deleted);
    given(registered, disabled).when(remove).then(deleted);
  });

  it.each(others)('leaves nothing for $type', (command) => {
    given(registered, added(), deleted).when(command).thenRefused('application_not_found');
    given().when(command).thenRefused('application_not_found');
  });

  it('is not undone by whatever the stream holds behind it', () => {
    const { state } = given(registered, deleted, added(), enabled, policyChanged({ mode: 'never' }));
    expect(state()).toEqual({ status: 'deleted', formerSecretIds: [] });
  });

  it('sets the client id free for a new life with nothing of the old one', () => {
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

  it('does not set the ids of its secrets free', () => {
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

describe('a domain that is not there', () => {
  it.each(others)('leaves nothing for $type', (command) => {
    for (const status of ['none', 'deleted'] as const)
      given(registered, added()).when(command, { domain: { status } }).thenRefused('domain_not_found');
  });

  it.each(others)('of which the application is none: $type', (command) =>
    given(registered, added())
      .when({ ...command, data: { ...command.data, domainId: 'other' } } as ApplicationCommand)
      .thenRefused('application_not_found'),
  );

  it('or is disabled: only new values are refused', () => {
    const away = { domain: domain({ status: 'disabled' }) };
    const history = [registered, added('s1'), added('s2')];
    given(...history)
      .when(add('s3'), away)
      .thenRefused('domain_disabled');
    given(...history)
      .when({ type: 'RenewSecret', data: { ...ids, secretId: 's1' } }, away)
      .thenRefused('domain_disabled');
    given(...history)
      .when({ type: 'RevokeSecret', data: { ...ids, secretId: 's1' } }, away)
      .thenOnce(revoked());
    given(...history)
      .when({ type: 'SuspendSecret', data: { ...ids, secretId: 's1' } }, away)
      .thenOnce(suspended());
  });
});

describe('If-Match', () => {
  const history = [registered, added('s1'), policyChanged({ mode: 'never' }), added('s2')];

  it.each(others.slice(0, 4))('of the application: $type', (command) => {
    given(...history)
      .when(command, { ifMatch: 1 })
      .thenRefused('revision_conflict', { revision: 2 });
  });

  it('is held against the last change of the application itself, not of its secrets', () =>
    expect(
      given(...history)
        .when(update({ name: 'x' }), { ifMatch: 2 })
        .events(),
    ).toHaveLength(1));

  it.each(others.slice(4, 10))('of the secret: $type', (command) =>
    given(...history)
      .when(command, { ifMatch: 3 })
      .thenRefused('revision_conflict', { revision: 1 }),
  );
});

describe('the decider', () => {
  it('begins with nothing', () => expect(application.initial).toEqual({ status: 'none' }));

  it('knows every kind of command of these specifications', () =>
    expect(new Set(others.map(({ type }) => type)).size).toBe(others.length));

  it('refuses before it needs a value', () =>
    given(registered, disabled).when(add(), { verifier: undefined }).thenRefused('application_disabled'));
});
