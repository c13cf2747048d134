import type { ApplicationCommand, ApplicationEvent } from '.';
import {
  added,
  day,
  days,
  disabled,
  domain,
  given,
  ids,
  of,
  policyChanged,
  registered,
  renewed,
  restricted,
  resumed,
  revoked,
  secretOf,
  suspended,
  verifier,
} from './application.testing';
import { LATEST } from '../expiry-policy';
import type { History } from '../testing';

type DataOf<Type extends ApplicationCommand['type']> = Partial<Extract<ApplicationCommand, { type: Type }>['data']>;
const add = (secretId = 's1', more: DataOf<'AddSecret'> = {}) =>
  ({ type: 'AddSecret', data: { ...ids, secretId, description: secretId, ...more } }) as const;
const revoke = (more: DataOf<'RevokeSecret'> = {}) =>
  ({ type: 'RevokeSecret', data: { ...ids, secretId: 's1', ...more } }) as const;
const suspend = (more: DataOf<'SuspendSecret'> = {}) =>
  ({ type: 'SuspendSecret', data: { ...ids, secretId: 's1', ...more } }) as const;
const resume = { type: 'ResumeSecret', data: { ...ids, secretId: 's1' } } as const;
const update = (data: DataOf<'UpdateSecret'>) =>
  ({ type: 'UpdateSecret', data: { ...ids, secretId: 's1', ...data } }) as const;
const described = (description: string) =>
  ({ type: 'SecretDescribed', data: { ...ids, secretId: 's1', description } }) as const;

describe('adding a secret', () => {
  it('creates version 1', () => {
    given(registered).when(add()).then(added());
    expect(secretOf(registered, day(3), added())).toEqual({
      secretId: 's1',
      version: 1,
      description: 's1',
      status: 'active',
      allowedCidrs: [],
      own: { kind: 'none' },
      valueCreatedAt: day(3),
      notices: {},
      resourceRevision: 1,
    });
  });

  it('stores notBefore and the networks', () => {
    const options = { notBefore: day(5), allowedCidrs: ['10.0.0.0/8'] };
    given(registered)
      .when(add('s1', { ...options, expiresIn: days(10) }))
      .then(added('s1', { ...options, ownExpiresIn: days(10), expiresAt: day(15), expirySource: 'command' }));
    given(registered)
      .when(add('s1', { expiresAt: day(10) }))
      .then(added('s1', { expiresAt: day(10), expirySource: 'command' }));
    given(registered)
      .when(add('s1', { expiresAt: null, allowedCidrs: [] }))
      .then(added('s1', { expirySource: 'command' }));
  });

  it('uses the policy of the application, or else of the domain', () => {
    const inDomain = { domain: domain({ policy: { expiry: { mode: 'after', after: of(1, 'months') } } }) };
    given(registered)
      .when(add(), inDomain)
      .then(added('s1', { expiresAt: '2026-02-01T00:00:00.000Z', expirySource: 'domain' }));
    given(registered, policyChanged({ mode: 'after', after: days(2) }))
      .when(add(), inDomain)
      .then(added('s1', { expiresAt: day(2), expirySource: 'application' }));
    given(registered, policyChanged({ mode: 'never' }))
      .when(add(), inDomain)
      .then(added('s1', { expirySource: 'application' }));
    given(registered, policyChanged({ mode: 'never' }))
      .when(add(), { domain: domain({ policy: { maxLifetime: days(7) } }) })
      .then(added('s1', { expiresAt: day(7), expirySource: 'domain-bound' }));
  });

  it('rejects two expiries and an expiry outside the bounds', () => {
    given(registered)
      .when(add('s1', { expiresIn: days(1), expiresAt: day(1) }))
      .thenRefused('invalid_request', { field: 'expiresAt' });
    given(registered)
      .when(add('s1', { expiresIn: days(1), expiresAt: null }))
      .thenRefused('invalid_request', { field: 'expiresAt' });
    given(registered)
      .when(add('s1', { expiresAt: null }), { domain: domain({ policy: { maxLifetime: days(7) } }) })
      .thenRefused('lifetime_out_of_bounds', { field: 'expiresAt', bound: 'maxLifetime' });
  });

  it('rejects a secret that would never be live', () => {
    given(registered)
      .when(add('s1', { notBefore: day(5), expiresAt: day(5) }))
      .thenRefused('invalid_request', { field: 'expiresAt' });
    given(registered, policyChanged({ mode: 'after', after: days(1) }))
      .when(add('s1', { notBefore: LATEST }))
      .thenRefused('invalid_request', { field: 'notBefore' });
  });

  it('trims the description and requires 1 to 128 characters', () => {
    given(registered)
      .when(add('s1', { description: '\t a  b \n' }))
      .then(added('s1', { description: 'a  b' }));
    given(registered)
      .when(add('s1', { description: 'x'.repeat(128) }))
      .then(added('s1', { description: 'x'.repeat(128) }));
    for (const description of ['', ' \n ', 'x'.repeat(129)])
      given(registered).when(add('s1', { description })).thenRefused('invalid_request', { field: 'description' });
  });

  it('rejects the trimmed, case-sensitive description of another unrevoked secret', () => {
    const history = [registered, added('s1', { description: 'blue' })];
    for (const description of ['blue', ' blue '])
      given(...history)
        .when(add('s2', { description }))
        .thenRefused('description_taken');
    given(...history, suspended())
      .when(add('s2', { description: 'blue' }))
      .thenRefused('description_taken');
    given(...history)
      .when(add('s2', { description: 'Blue' }))
      .then(added('s2', { description: 'Blue' }));
    given(...history, revoked())
      .when(add('s2', { description: 'blue' }))
      .then(added('s2', { description: 'blue' }));
    given(registered, added('s1', { description: 'blue', expiresAt: day(1) }), day(2))
      .when(add('s2', { description: 'blue' }))
      .thenRefused('description_taken');
  });

  it('rejects the id of a current or former secret', () => {
    for (const history of [[], [revoked()]])
      given(registered, added(), ...history)
        .when(add('s1', { description: 'other' }))
        .thenRefused('invalid_request', { field: 'secretId' });
  });

  it('rejects a secret above the limit, which counts expired and suspended but not revoked secrets', () => {
    const full = [registered, added('s1', { expiresAt: day(1) }), added('s2'), added('s3'), suspended('s2'), day(2)];
    given(...full)
      .when(add('s4'))
      .thenRefused('too_many_secrets', { limit: 3 });
    given(...full)
      .when(add('s4'), { secretsMax: 4 })
      .then(added('s4'));
    given(...full, revoked('s1'))
      .when(add('s4'))
      .then(added('s4'));
  });

  it('rejects a disabled application or domain', () => {
    given(registered, disabled).when(add()).thenRefused('application_disabled');
    given(registered)
      .when(add(), { domain: domain({ status: 'disabled' }) })
      .thenRefused('domain_disabled');
  });
});

describe('revoking a secret', () => {
  it('stores the reason, and does nothing when repeated', () => {
    given(registered, added(), added('s2')).when(revoke()).thenOnce(revoked());
    given(registered, added(), added('s2'))
      .when(revoke({ reason: 'keyCompromise' }))
      .thenOnce({ type: 'SecretRevoked', data: { ...ids, secretId: 's1', reason: 'keyCompromise' } });
    given(registered, added(), revoked())
      .when(revoke({ reason: 'superseded' }), { ifMatch: 1 })
      .thenNothing();
  });

  it('does not require force for a secret that is not live', () => {
    given(registered, added(), suspended()).when(revoke()).thenOnce(revoked());
    given(registered, added('s1', { expiresAt: day(1) }), day(1))
      .when(revoke())
      .thenOnce(revoked());
    given(registered, added('s1', { notBefore: day(1) }))
      .when(revoke())
      .thenOnce(revoked());
  });

  it('rejects an unknown secret', () => given(registered).when(revoke()).thenRefused('secret_not_found'));
});

describe('suspending and resuming a secret', () => {
  it('does nothing when repeated', () => {
    given(registered, added(), added('s2')).when(suspend()).thenOnce(suspended());
    given(registered, added(), suspended()).when(resume).thenOnce(resumed());
    given(registered, added()).when(resume).thenNothing();
  });

  it('stores the reason', () => {
    given(registered, added(), added('s2'))
      .when(suspend({ reason: 'leak?' }))
      .then({ type: 'SecretSuspended', data: { ...ids, secretId: 's1', reason: 'leak?' } });
    given(registered, added(), suspended())
      .when({ ...resume, data: { ...resume.data, reason: 'no leak' } })
      .then({ type: 'SecretResumed', data: { ...ids, secretId: 's1', reason: 'no leak' } });
  });

  it('rejects a revoked or unknown secret', () => {
    for (const command of [suspend({ force: true }), resume]) {
      given(registered, added(), revoked()).when(command).thenRefused('secret_revoked');
      given(registered).when(command).thenRefused('secret_not_found');
    }
  });

  it('does not extend the lifetime', () =>
    given(registered, added('s1', { expiresAt: day(2) }), suspended(), day(3))
      .when(resume)
      .thenOnce(resumed()));
});

describe('the last live secret', () => {
  const suspendAndRevoke = [revoke(), suspend()];
  const notLive: Record<string, History<ApplicationEvent>> = {
    none: [],
    revoked: [added('s2'), revoked('s2')],
    suspended: [added('s2'), suspended('s2')],
    expired: [added('s2', { expiresAt: day(1) })],
    'not yet valid': [added('s2', { notBefore: day(9) })],
  };

  it.each(Object.entries(notLive))('requires force when the other secret is: %s', (_, others) => {
    for (const command of suspendAndRevoke) {
      given(registered, added(), ...others, day(1))
        .when(command)
        .thenRefused('last_live_secret');
      const forced = { ...command, data: { ...command.data, force: true } } as ApplicationCommand;
      given(registered, added(), ...others, day(1))
        .when(forced)
        .thenOnce(command.type === 'RevokeSecret' ? revoked() : suspended());
    }
  });

  it('does not require force while another secret is live, even if only by its overlap', () => {
    const overlapping = [added('s2'), renewed(2, { secretId: 's2', expiresAt: day(1), previousValidUntil: day(3) })];
    for (const command of suspendAndRevoke) {
      expect(given(registered, added(), added('s2')).when(command).events()).toHaveLength(1);
      expect(
        given(registered, added(), ...overlapping, day(2))
          .when(command)
          .events(),
      ).toHaveLength(1);
    }
  });

  it('stays live through its overlap', () =>
    given(registered, added(), renewed(2, { expiresAt: day(1), previousValidUntil: day(3) }), day(2))
      .when(revoke())
      .thenRefused('last_live_secret'));
});

describe('updating a secret', () => {
  it('changes the description, and does nothing when repeated', () => {
    given(registered, added())
      .when(update({ description: ' blue ' }))
      .thenOnce(described('blue'));
    given(registered, added())
      .when(update({ description: ' s1 ' }))
      .thenNothing();
    given(registered, added(), added('s2'))
      .when(update({ description: 's2' }))
      .thenRefused('description_taken');
    given(registered, added())
      .when(update({ description: ' ' }))
      .thenRefused('invalid_request', { field: 'description' });
  });

  it('restricts its networks, and does nothing when repeated', () => {
    const history = [registered, added('s1', { notBefore: day(2) })];
    const open = restricted({ notBefore: day(2) });
    given(...history)
      .when(update({ allowedCidrs: ['10.0.0.0/8'] }))
      .thenOnce(restricted({ allowedCidrs: ['10.0.0.0/8'], notBefore: day(2) }));
    given(...history, restricted({ allowedCidrs: ['10.0.0.0/8'], notBefore: day(2) }))
      .when(update({ allowedCidrs: [] }))
      .thenOnce(open);
    given(...history)
      .when(update({ allowedCidrs: [] }))
      .thenNothing();
  });

  it('changes and removes notBefore, and does nothing when repeated', () => {
    const history = [registered, added('s1', { expiresAt: day(30), notBefore: day(2), allowedCidrs: ['10.0.0.0/8'] })];
    given(...history)
      .when(update({ notBefore: day(4) }))
      .thenOnce(restricted({ notBefore: day(4), allowedCidrs: ['10.0.0.0/8'] }));
    given(...history)
      .when(update({ notBefore: null }))
      .thenOnce(restricted({ allowedCidrs: ['10.0.0.0/8'] }));
    given(registered, added())
      .when(update({ notBefore: null }))
      .thenNothing();
    expect(secretOf(...history, restricted({}))).not.toHaveProperty('notBefore');
    expect(secretOf(...history, restricted({}))).toMatchObject({ expiresAt: day(30) });
  });

  it('applies both changes at once, and none for an empty update', () => {
    given(registered, added())
      .when(update({ description: 'blue', notBefore: day(1) }))
      .thenOnce(described('blue'), restricted({ notBefore: day(1) }));
    given(registered, added()).when(update({})).thenNothing();
  });

  it('rejects a notBefore that is not before the expiry', () =>
    given(registered, added('s1', { expiresAt: day(5) }))
      .when(update({ notBefore: day(5) }))
      .thenRefused('invalid_request', { field: 'notBefore' }));

  describe('with a maximum lifetime of the domain', () => {
    const bounded = { domain: domain({ policy: { maxLifetime: days(10) } }) };
    const history = [registered, added('s1', { notBefore: day(20), expiresAt: day(30), expirySource: 'domain-bound' })];

    it('rejects an earlier notBefore that makes the lifetime exceed the maximum', () => {
      for (const notBefore of [null, day(0), day(19)])
        given(...history)
          .when(update({ notBefore }), bounded)
          .thenRefused('lifetime_out_of_bounds', {
            field: 'notBefore',
            bound: 'maxLifetime',
            amount: 10,
            unit: 'days',
          });
    });

    it('accepts a later notBefore, one within the maximum, and any without an expiry', () => {
      given(...history)
        .when(update({ notBefore: day(25) }), bounded)
        .thenOnce(restricted({ notBefore: day(25) }));
      given(...history, restricted({ notBefore: day(25) }))
        .when(update({ notBefore: day(20) }), bounded)
        .thenOnce(restricted({ notBefore: day(20) }));
      given(registered, added('s1', { notBefore: day(20) }))
        .when(update({ notBefore: null }), bounded)
        .thenOnce(restricted({}));
    });

    it('accepts any earlier notBefore once the lifetime has begun, even under a stricter maximum', () =>
      given(...history, day(20))
        .when(update({ notBefore: null }), { domain: domain({ policy: { maxLifetime: days(5) } }) })
        .thenOnce(restricted({})));
  });

  it('rejects a revoked or unknown secret', () => {
    given(registered, added(), revoked())
      .when(update({ description: 'x' }))
      .thenRefused('secret_revoked');
    given(registered)
      .when(update({ description: 'x' }))
      .thenRefused('secret_not_found');
  });
});

it('the state does not contain the verifier of an event', () =>
  expect(JSON.stringify(given(registered, added(), renewed(2)).state())).not.toContain(verifier.verifier));
