import type { ApplicationCommand } from '.';
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
  revoked,
  secretOf,
  suspended,
} from './application.testing';

type Renew = Extract<ApplicationCommand, { type: 'RenewSecret' }>;
const renew = (more: Partial<Renew['data']> = {}) =>
  ({ type: 'RenewSecret', data: { ...ids, secretId: 's1', ...more } }) as const;
const endOverlap = { type: 'EndOverlap', data: { ...ids, secretId: 's1' } } as const;

describe('renewing a secret', () => {
  it('creates a new value and ends the old one', () => {
    given(registered, added()).when(renew()).then(renewed(2));
    given(registered, added(), renewed(2)).when(renew()).then(renewed(3));
    expect(secretOf(registered, added(), day(1), renewed(2))).toMatchObject({ version: 2, valueCreatedAt: day(1) });
  });

  it('preserves id, description, notBefore, networks and suspension', () => {
    const notBefore = day(30);
    const history = [registered, added('s1', { notBefore, allowedCidrs: ['10.0.0.0/8'] }), suspended()];
    expect(secretOf(...history, renewed(2))).toMatchObject({
      secretId: 's1',
      description: 's1',
      notBefore,
      allowedCidrs: ['10.0.0.0/8'],
      status: 'suspended',
    });
    given(...history)
      .when(renew({ expiresIn: days(10) }))
      .then(renewed(2, { expiresAt: day(40), ownExpiresIn: days(10), expirySource: 'command' }));
  });

  it('accepts an expired secret', () =>
    given(registered, added('s1', { expiresAt: day(1), expirySource: 'domain' }), day(2))
      .when(renew({ overlap: days(3) }))
      .then(renewed(2)));

  it('rejects a revoked secret, an unknown secret and a disabled application', () => {
    given(registered, added(), revoked()).when(renew()).thenRefused('not_renewable');
    given(registered, added(), revoked(), disabled).when(renew()).thenRefused('not_renewable');
    given(registered).when(renew()).thenRefused('secret_not_found');
    given(registered, added(), disabled).when(renew()).thenRefused('application_disabled');
  });

  it('rejects a version other than the current one', () => {
    const history = [registered, added(), renewed(2)];
    for (const version of [1, 3])
      given(...history)
        .when(renew({ version }))
        .thenRefused('revision_conflict', { version: 2 });
    given(...history)
      .when(renew({ version: 2 }))
      .then(renewed(3));
  });

  describe('with an overlap', () => {
    it('keeps the old value live until the overlap ends', () =>
      given(registered, added(), day(1))
        .when(renew({ overlap: days(7) }))
        .then(renewed(2, { previousValidUntil: day(8) })));

    it('ends the old value no later than its own expiry', () =>
      given(registered, added('s1', { expiresAt: day(5), expirySource: 'domain' }), day(1))
        .when(renew({ overlap: days(7) }))
        .then(renewed(2, { previousValidUntil: day(5) })));

    it('creates no overlap from the expiry of the old value on', () =>
      given(registered, added('s1', { expiresAt: day(1), expirySource: 'domain' }), day(1))
        .when(renew({ overlap: days(7) }))
        .then(renewed(2)));

    it('ends the oldest value at a second renewal', () => {
      const history = [registered, added(), renewed(2, { previousValidUntil: day(20) }), day(1)];
      given(...history)
        .when(renew())
        .then(renewed(3));
      given(...history)
        .when(renew({ overlap: days(2) }))
        .then(renewed(3, { previousValidUntil: day(3) }));
      expect(secretOf(...history, renewed(3))).not.toHaveProperty('previousValidUntil');
    });

    it('uses calendar arithmetic', () =>
      given(registered, added(), '2028-01-31T00:00:00.000Z')
        .when(renew({ overlap: of(1, 'months') }))
        .then(renewed(2, { previousValidUntil: '2028-02-29T00:00:00.000Z' })));

    it('rejects an overlap that ends after the last instant', () =>
      given(registered, added())
        .when(renew({ overlap: of(9000, 'years') }))
        .thenRefused('invalid_request', { field: 'overlap' }));
  });

  describe('sets a new expiry', () => {
    const own = added('s1', { ownExpiresIn: days(10), expiresAt: day(10), expirySource: 'command' });

    it("from the secret's own expiresIn", () =>
      given(registered, own, policyChanged({ mode: 'never' }), day(5))
        .when(renew())
        .then(renewed(2, { expiresAt: day(15), expirySource: 'secret' })));

    it("from the secret's own expiresIn at every renewal", () =>
      given(registered, own, day(5), renewed(2, { expiresAt: day(15), expirySource: 'secret' }), day(6))
        .when(renew())
        .then(renewed(3, { expiresAt: day(16), expirySource: 'secret' })));

    it("from a new expiresIn, which becomes the secret's own", () => {
      const second = renewed(2, { ownExpiresIn: days(2), expiresAt: day(7), expirySource: 'command' });
      given(registered, own, day(5))
        .when(renew({ expiresIn: days(2) }))
        .then(second);
      given(registered, own, day(5), second, day(6))
        .when(renew())
        .then(renewed(3, { expiresAt: day(8), expirySource: 'secret' }));
    });

    it("at the domain's bound, and keeps the secret's own expiresIn", () => {
      const second = renewed(2, { expiresAt: day(8), expirySource: 'domain-bound' });
      given(registered, own, day(5))
        .when(renew(), { domain: domain({ policy: { maxLifetime: days(3) } }) })
        .then(second);
      given(registered, own, day(5), second, day(6))
        .when(renew())
        .then(renewed(3, { expiresAt: day(16), expirySource: 'secret' }));
    });

    it("and requires one if the secret's own expiry is an instant", () => {
      const at = added('s1', { expiresAt: day(10), expirySource: 'command' });
      given(registered, at).when(renew()).thenRefused('expiry_required', { field: 'expiresAt' });
      given(registered, at, day(20)).when(renew()).thenRefused('expiry_required');
      const second = renewed(2, { expiresAt: day(20), expirySource: 'command' });
      given(registered, at)
        .when(renew({ expiresAt: day(20) }))
        .then(second);
      given(registered, at, second).when(renew()).thenRefused('expiry_required');
      given(registered, at, renewed(2, { ownExpiresIn: days(9), expiresAt: day(9), expirySource: 'command' }))
        .when(renew())
        .then(renewed(3, { expiresAt: day(9), expirySource: 'secret' }));
    });

    it("but stays never if the secret's own expiry is never", () => {
      const never = added('s1', { expirySource: 'command' });
      given(registered, never, policyChanged({ mode: 'after', after: days(1) }))
        .when(renew())
        .then(renewed(2, { expirySource: 'secret' }));
      given(registered, own, renewed(2, { expirySource: 'command' }))
        .when(renew())
        .then(renewed(3, { expirySource: 'secret' }));
    });

    it('from the current policy if the secret has no own expiry', () =>
      given(
        registered,
        added('s1', { expiresAt: day(2), expirySource: 'domain' }),
        policyChanged({ mode: 'after', after: days(4) }),
      )
        .when(renew())
        .then(renewed(2, { expiresAt: day(4), expirySource: 'application' })));
  });
});

describe('ending an overlap', () => {
  const overlapping = [registered, added(), renewed(2, { previousValidUntil: day(5) })];
  const ended = { type: 'OverlapEnded', data: { ...ids, secretId: 's1', version: 1 } } as const;

  it('ends the previous value, and does nothing when repeated', () => {
    given(...overlapping)
      .when(endOverlap)
      .thenOnce(ended);
    expect(secretOf(...overlapping, ended)).not.toHaveProperty('previousValidUntil');
  });

  it('does nothing if there is no overlap or it has ended', () => {
    given(registered, added()).when(endOverlap).thenNothing();
    given(...overlapping, day(5))
      .when(endOverlap)
      .thenNothing();
  });

  it('rejects a revoked or unknown secret', () => {
    given(...overlapping, revoked())
      .when(endOverlap)
      .thenRefused('secret_revoked');
    given(registered).when(endOverlap).thenRefused('secret_not_found');
  });
});
