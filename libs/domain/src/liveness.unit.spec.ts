import fc from 'fast-check';
import { hasEnded, isLive, liveVersions, statusAt, versionStateAt, type Lifecycle, type StatusAt } from './liveness';

const START_MS = Date.parse('2026-01-01T00:00:00.000Z');
const DAY_MS = 86_400_000;
const day = (days: number, offsetMs = 0): string => new Date(START_MS + days * DAY_MS + offsetMs).toISOString();

const secret = (more: Partial<Lifecycle> = {}): Lifecycle => ({ status: 'active', version: 2, ...more });

describe('liveVersions', () => {
  it.each<[string, Lifecycle, string, number[]]>([
    ['a secret without instants', secret(), day(0), [2]],
    ['before notBefore', secret({ notBefore: day(1) }), day(1, -1), []],
    ['from notBefore on', secret({ notBefore: day(1) }), day(1), [2]],
    ['before expiresAt', secret({ expiresAt: day(3) }), day(3, -1), [2]],
    ['at expiresAt', secret({ expiresAt: day(3) }), day(3), []],
    ['during an overlap', secret({ previousValidUntil: day(3) }), day(3, -1), [2, 1]],
    ['at the end of an overlap', secret({ previousValidUntil: day(3) }), day(3), [2]],
    ['a current version that expires first', secret({ expiresAt: day(1), previousValidUntil: day(3) }), day(1), [1]],
    ['after expiresAt and the overlap', secret({ expiresAt: day(1), previousValidUntil: day(3) }), day(3), []],
    ['an overlap before notBefore', secret({ notBefore: day(2), previousValidUntil: day(3) }), day(1), []],
    ['a suspended secret', secret({ status: 'suspended', previousValidUntil: day(3) }), day(0), []],
    ['a revoked secret', secret({ status: 'revoked', previousValidUntil: day(3) }), day(0), []],
  ])('%s', (_case, lifecycle, now, live) => {
    expect(liveVersions(lifecycle, now)).toEqual(live);
    expect(isLive(lifecycle, now)).toBe(live.length > 0);
  });
});

describe('statusAt', () => {
  it.each<[string, Lifecycle, string, StatusAt]>([
    ['no expiry', secret(), day(0), 'active'],
    ['an expiry after the window', secret({ expiresAt: day(11) }), day(1, -1), 'active'],
    ['an expiry at the end of the window', secret({ expiresAt: day(11) }), day(1), 'expiring'],
    ['at the expiry', secret({ expiresAt: day(1) }), day(1), 'expired'],
    ['expired during the overlap', secret({ expiresAt: day(1), previousValidUntil: day(3) }), day(2), 'expiring'],
    ['expired after the overlap', secret({ expiresAt: day(1), previousValidUntil: day(3) }), day(3), 'expired'],
    ['before notBefore', secret({ notBefore: day(2), expiresAt: day(3) }), day(1), 'pending'],
    ['suspended and expired', secret({ status: 'suspended', expiresAt: day(1) }), day(2), 'suspended'],
    ['revoked and expired', secret({ status: 'revoked', expiresAt: day(1) }), day(2), 'revoked'],
  ])('%s', (_case, lifecycle, now, status) => {
    expect(statusAt(lifecycle, now, 10)).toBe(status);
  });

  it('returns active instead of expiring without a window', () => {
    expect(statusAt(secret({ expiresAt: day(1) }), day(0))).toBe('active');
    expect(statusAt(secret({ expiresAt: day(1), previousValidUntil: day(3) }), day(2))).toBe('active');
  });

  it('does not return expiring before the expiry when the window is 0 days', () => {
    expect(statusAt(secret({ expiresAt: day(1) }), day(1, -1), 0)).toBe('active');
  });

  it('accepts a window that ends after the last instant', () => {
    expect(statusAt(secret({ expiresAt: day(1) }), day(0), 5_000_000)).toBe('expiring');
  });
});

describe('properties of liveness', () => {
  const instant = fc.integer({ min: 0, max: 12 }).map((days) => day(days));
  const optional = fc.option(instant, { nil: undefined });
  const lifecycle: fc.Arbitrary<Lifecycle> = fc.record({
    status: fc.constantFrom('active', 'suspended', 'revoked'),
    version: fc.integer({ min: 2, max: 9 }),
    notBefore: optional,
    expiresAt: optional,
    previousValidUntil: optional,
  });

  it('statusAt returns active or expiring if and only if a version is live', () =>
    fc.assert(
      fc.property(lifecycle, instant, fc.nat(20), (one, now, withinDays) => {
        const live = liveVersions(one, now).length > 0;
        expect(['active', 'expiring'].includes(statusAt(one, now, withinDays))).toBe(live);
        expect(statusAt(one, now) === 'active').toBe(live);
      }),
    ));

  it('statusAt without a window returns active instead of expiring, and otherwise the same status', () =>
    fc.assert(
      fc.property(lifecycle, instant, fc.nat(20), (one, now, withinDays) => {
        const status = statusAt(one, now, withinDays);
        expect(statusAt(one, now)).toBe(status === 'expiring' ? 'active' : status);
      }),
    ));

  it('liveVersions contains a version if and only if versionStateAt returns live', () =>
    fc.assert(
      fc.property(lifecycle, instant, (one, now) => {
        const { status, version, notBefore, expiresAt, previousValidUntil } = one;
        const live = liveVersions(one, now);
        expect(live.includes(version)).toBe(versionStateAt(status, notBefore, expiresAt, now) === 'live');
        if (previousValidUntil !== undefined)
          expect(live.includes(version - 1)).toBe(
            versionStateAt(status, notBefore, previousValidUntil, now) === 'live',
          );
      }),
    ));

  it('an expired secret stays expired', () =>
    fc.assert(
      fc.property(lifecycle, instant, instant, (one, now, later) => {
        if (now <= later && statusAt(one, now) === 'expired') expect(statusAt(one, later)).toBe('expired');
      }),
    ));
});

it('hasEnded treats the end as exclusive and an undefined end as never reached', () => {
  expect(hasEnded(day(1), day(1, -1))).toBe(false);
  expect(hasEnded(day(1), day(1))).toBe(true);
  expect(hasEnded(undefined, day(9))).toBe(false);
});
