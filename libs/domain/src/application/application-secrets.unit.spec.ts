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
  it('makes version 1 of it', () => {
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

  it('keeps what it was given', () => {
    const given1 = { notBefore: day(5), allowedCidrs: ['10.0.0.0/8'] };
    given(registered)
      .when(add('s1', { ...given1, expiresIn: days(10) }))
      .then(added('s1', { ...given1, ownExpiresIn: days(10), expiresAt: day(15), expirySource: 'command' }));
    given(registered)
      .when(add('s1', { expiresAt: day(10) }))
      .then(added('s1', { expiresAt: day(10), expirySource: 'command' }));
    given(registered)
      .when(add('s1', { expiresAt: null, allowedCidrs: [] }))
      .then(added('s1', { expirySource: 'command' }));
  });

  it("takes the application's policy, else the domain's", () => {
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

  it('is refused with two expiries, or one outside the bounds', () => {
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

  it('is refused where it would never live', () => {
    given(registered)
      .when(add('s1', { notBefore: day(5), expiresAt: day(5) }))
      .thenRefused('invalid_request', { field: 'expiresAt' });
    given(registered, policyChanged({ mode: 'after', after: days(1) }))
      .when(add('s1', { notBefore: LATEST }))
      .thenRefused('invalid_request', { field: 'notBefore' });
  });

  it('trims the description, and wants 1 to 128 characters of it', () => {
    given(registered)
      .when(add('s1', { description: '\t a  b \n' }))
      .then(added('s1', { description: 'a  b' }));
    given(registered)
      .when(add('s1', { description: 'x'.repeat(128) }))
      .then(added('s1', { description: 'x'.repeat(128) }));
    for (const description of ['', ' \n ', 'x'.repeat(129)])
      given(registered).when(add('s1', { description })).thenRefused('invalid_request', { field: 'description' });
  });

  it('wants another description than every unrevoked secret has, exact case, trimmed', () => {
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

  it('is refused under an id that a secret has or had', () => {
    for (const history of [[], [revoked()]])
      given(registered, added(), ...history)
        .when(add('s1', { description: 'other' }))
        .thenRefused('invalid_request', { field: 'secretId' });
  });

  it('is refused above the cap: expired and suspended ones count, revoked ones do not', () => {
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

  it('is refused in a disabled application or domain', () => {
    given(registered, disabled).when(add()).thenRefused('application_disabled');
    given(registered)
      .when(add(), { domain: domain({ status: 'disabled' }) })
      .thenRefused('domain_disabled');
  });
});

describe('revoking a secret', () => {
  it('is done once, for a reason', () => {
    given(registered, added(), added('s2')).when(revoke()).thenOnce(revoked());
    given(registered, added(), added('s2'))
      .when(revoke({ reason: 'keyCompromise' }))
      .thenOnce({ type: 'SecretRevoked', data: { ...ids, secretId: 's1', reason: 'keyCompromise' } });
    given(registered, added(), revoked())
      .when(revoke({ reason: 'superseded' }), { ifMatch: 1 })
      .thenNothing();
  });

  it('needs no force where the secret is not live anyhow', () => {
    given(registered, added(), suspended()).when(revoke()).thenOnce(revoked());
    given(registered, added('s1', { expiresAt: day(1) }), day(1))
      .when(revoke())
      .thenOnce(revoked());
    given(registered, added('s1', { notBefore: day(1) }))
      .when(revoke())
      .thenOnce(revoked());
  });

  it('is refused for an unknown secret', () => given(registered).when(revoke()).thenRefused('secret_not_found'));
});

describe('suspending and resuming a secret', () => {
  it('is done once each', () => {
    given(registered, added(), added('s2')).when(suspend()).thenOnce(suspended());
    given(registered, added(), suspended()).when(resume).thenOnce(resumed());
    given(registered, added()).when(resume).thenNothing();
  });

  it('keeps the reason', () => {
    given(registered, added(), added('s2'))
      .when(suspend({ reason: 'leak?' }))
      .then({ type: 'SecretSuspended', data: { ...ids, secretId: 's1', reason: 'leak?' } });
    given(registered, added(), suspended())
      .when({ ...resume, data: { ...resume.data, reason: 'no leak' } })
      .then({ type: 'SecretResumed', data: { ...ids, secretId: 's1', reason: 'no leak' } });
  });

  it('is refused for a revoked or unknown secret', () => {
    for (const command of [suspend({ force: true }), resume]) {
      given(registered, added(), revoked()).when(command).thenRefused('secret_revoked');
      given(registered).when(command).thenRefused('secret_not_found');
    }
  });

  it('does not hold up the end of the life', () =>
    given(registered, added('s1', { expiresAt: day(2) }), suspended(), day(3))
      .when(resume)
      .thenOnce(resumed()));
});

describe('the last live secret', () => {
  const suspendAndRevoke = [revoke(), suspend()];
  const dead: Record<string, History<ApplicationEvent>> = {
    'no other': [],
    'one revoked': [added('s2'), revoked('s2')],
    'one suspended': [added('s2'), suspended('s2')],
    'one expired': [added('s2', { expiresAt: day(1) })],
    'one not valid yet': [added('s2', { notBefore: day(9) })],
  };

  it.each(Object.entries(dead))('is kept where beside it is %s', (_, others) => {
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

  it('is not the last where another one lives, be it by its overlap', () => {
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

  it('lives on by its overlap', () =>
    given(registered, added(), renewed(2, { expiresAt: day(1), previousValidUntil: day(3) }), day(2))
      .when(revoke())
      .thenRefused('last_live_secret'));
});

describe('updating a secret', () => {
  it('describes it, once', () => {
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

  it('restricts its networks, once', () => {
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

  it('moves and removes notBefore, once', () => {
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

  it('does both at once, and nothing where nothing is said', () => {
    given(registered, added())
      .when(update({ description: 'blue', notBefore: day(1) }))
      .thenOnce(described('blue'), restricted({ notBefore: day(1) }));
    given(registered, added()).when(update({})).thenNothing();
  });

  it('refuses a start that leaves no life', () =>
    given(registered, added('s1', { expiresAt: day(5) }))
      .when(update({ notBefore: day(5) }))
      .thenRefused('invalid_request', { field: 'notBefore' }));

  describe("and the domain's longest life", () => {
    const bounded = { domain: domain({ policy: { maxLifetime: days(10) } }) };
    const history = [registered, added('s1', { notBefore: day(20), expiresAt: day(30), expirySource: 'domain-bound' })];

    it('refuses an earlier start that would stretch the life past it', () => {
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

    it('takes a later start, one from which it fits, and every one where there is no expiry', () => {
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

    it('takes every earlier start of a life that has begun, be the bound stricter meanwhile', () =>
      given(...history, day(20))
        .when(update({ notBefore: null }), { domain: domain({ policy: { maxLifetime: days(5) } }) })
        .thenOnce(restricted({})));
  });

  it('is refused for a revoked or unknown secret', () => {
    given(registered, added(), revoked())
      .when(update({ description: 'x' }))
      .thenRefused('secret_revoked');
    given(registered)
      .when(update({ description: 'x' }))
      .thenRefused('secret_not_found');
  });
});

it('a verifier stands in an event only, never in the state', () =>
  expect(JSON.stringify(given(registered, added(), renewed(2)).state())).not.toContain(verifier.verifier));
