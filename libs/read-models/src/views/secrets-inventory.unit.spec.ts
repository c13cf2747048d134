import { SECRET_STATUSES } from '@rekey/contracts';
import { addDuration, isLive } from '@rekey/domain';
import type { Filter } from '@rekey/ports';
import fc from 'fast-check';
import { secretStatus, statusFilter } from './secrets-inventory';

type Fields = Readonly<Record<string, unknown>>;

/** A condition, evaluated as the port describes it. */
const fits = (document: Fields, filter: Filter): boolean => {
  if ('and' in filter) return filter.and.every((part) => fits(document, part));
  if ('or' in filter) return filter.or.some((part) => fits(document, part));
  const value = (document[filter.field] ?? null) as string | null;
  if (filter.op === 'in') return filter.value.includes(value);
  if (filter.op === 'eq') return value === filter.value;
  if (filter.op === 'ne') return value !== filter.value;
  if (value === null || typeof filter.value !== 'string') return false;
  if (filter.op === 'contains') return value.includes(filter.value);
  const order = value < filter.value ? -1 : value > filter.value ? 1 : 0;
  return { lt: order < 0, lte: order <= 0, gt: order > 0, gte: order >= 0 }[filter.op];
};

const NOW = '2026-06-15T12:00:00.000Z';
const day = (days: number): string => new Date(Date.parse(NOW) + days * 86_400_000).toISOString();
const secret = (more: object = {}) => ({ state: 'active' as const, ...more });

describe('secretStatus', () => {
  it.each([
    ['active', secret()],
    ['active', secret({ expiresAt: day(21) })],
    ['expiring', secret({ expiresAt: day(20) })],
    ['expiring', secret({ expiresAt: new Date(Date.parse(NOW) + 1).toISOString() })],
    ['expired', secret({ expiresAt: NOW })],
    ['expired', secret({ expiresAt: day(-1), notBefore: day(1) })],
    ['expiring', secret({ expiresAt: day(-1), previousValidUntil: day(1) })],
    ['expired', secret({ expiresAt: day(-1), previousValidUntil: NOW })],
    ['pending', secret({ expiresAt: day(5), notBefore: day(1) })],
    ['active', secret({ notBefore: NOW })],
    ['suspended', { state: 'suspended' as const, expiresAt: day(-1) }],
    ['revoked', { state: 'revoked' as const }],
  ])('is %s', (status, dated) => {
    expect(secretStatus(dated, NOW, 20)).toBe(status);
  });

  it('knows nothing of expiring without thresholds', () => {
    expect(secretStatus(secret({ expiresAt: day(1) }), NOW, 0)).toBe('active');
  });

  it('adds days by the calendar', () => {
    expect(secretStatus(secret({ expiresAt: addDuration(NOW, { amount: 20, unit: 'days' }) }), NOW, 20)).toBe(
      'expiring',
    );
  });

  it('is the one status whose condition a secret fits', () => {
    const instant = fc.option(fc.integer({ min: -25, max: 25 }).map(day), { nil: undefined });
    const dated = fc.record({
      state: fc.constantFrom('active' as const, 'suspended' as const, 'revoked' as const),
      expiresAt: instant,
      notBefore: instant,
      previousValidUntil: instant,
    });
    fc.assert(
      fc.property(dated, fc.integer({ min: 0, max: 22 }), (drawn, within) => {
        const known = Object.fromEntries(
          Object.entries(drawn).filter(([, value]) => value !== undefined),
        ) as typeof drawn;
        const fitting = SECRET_STATUSES.filter((status) => fits(known, statusFilter(status, NOW, within)));
        expect(fitting).toEqual([secretStatus(known as never, NOW, within)]);
        const live = isLive({ ...known, status: known.state }, NOW);
        expect(fitting.some((status) => status === 'active' || status === 'expiring')).toBe(live);
      }),
      { numRuns: 2_000 },
    );
  });
});
