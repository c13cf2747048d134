import fc from 'fast-check';
import {
  DURATION_UNITS,
  EARLIEST,
  LATEST,
  addDuration,
  checkApplicationPolicy,
  checkDomainPolicy,
  earlier,
  expiryOf,
  later,
  previewExpiry,
  subtractDuration,
  type ApplicationPolicy,
  type DomainPolicy,
  type Duration,
  type DurationUnit,
  type ExpiryQuestion,
  type Instant,
  type OwnExpiry,
  type PolicySubject,
} from './expiry-policy';
import { refusalOf } from './testing';

const of = (amount: number, unit: DurationUnit): Duration => ({ amount, unit });
const days = (amount: number): Duration => of(amount, 'days');
const NOW = '2026-01-31T12:00:00.000Z';
const inDays = (amount: number, from: Instant = NOW): Instant => addDuration(from, days(amount)) ?? LATEST;
const after = (duration: Duration) => ({ mode: 'after', after: duration }) as const;

const evaluate = (question: Partial<ExpiryQuestion>) =>
  expiryOf({
    now: NOW,
    stated: {},
    own: { kind: 'none' },
    applicationPolicy: { mode: 'inherit' },
    domainPolicy: {},
    ...question,
  });

const rejection = (question: Partial<ExpiryQuestion>) => refusalOf(() => evaluate(question));

const instants = fc
  .date({ min: new Date('1970-01-01'), max: new Date(LATEST), noInvalidDate: true })
  .map((date) => date.toISOString());
const durations = fc.record({ amount: fc.integer({ min: 1, max: 1e9 }), unit: fc.constantFrom(...DURATION_UNITS) });
const shortDurations = fc.record({ amount: fc.integer({ min: 1, max: 50 }), unit: fc.constantFrom(...DURATION_UNITS) });

describe('addDuration', () => {
  it.each<[string, Duration, string]>([
    ['2026-01-31T12:00:00.000Z', of(1, 'months'), '2026-02-28T12:00:00.000Z'],
    ['2028-01-31T12:00:00.000Z', of(1, 'months'), '2028-02-29T12:00:00.000Z'],
    ['2100-01-31T12:00:00.000Z', of(1, 'months'), '2100-02-28T12:00:00.000Z'],
    ['2000-01-31T12:00:00.000Z', of(1, 'months'), '2000-02-29T12:00:00.000Z'],
    ['2026-08-31T00:00:00.000Z', of(1, 'months'), '2026-09-30T00:00:00.000Z'],
    ['2026-11-30T23:59:59.999Z', of(3, 'months'), '2027-02-28T23:59:59.999Z'],
    ['2026-12-15T00:00:00.000Z', of(1, 'months'), '2027-01-15T00:00:00.000Z'],
    ['2028-02-29T00:00:00.000Z', of(1, 'years'), '2029-02-28T00:00:00.000Z'],
    ['2028-02-29T00:00:00.000Z', of(4, 'years'), '2032-02-29T00:00:00.000Z'],
    ['2028-02-28T00:00:00.000Z', days(1), '2028-02-29T00:00:00.000Z'],
    ['2026-02-28T00:00:00.000Z', days(1), '2026-03-01T00:00:00.000Z'],
    ['2026-12-28T00:00:00.000Z', of(1, 'weeks'), '2027-01-04T00:00:00.000Z'],
    // Daylight saving time begins in Europe on 29 March 2026; UTC is unaffected.
    ['2026-03-28T23:30:00.000Z', days(1), '2026-03-29T23:30:00.000Z'],
    ['2026-03-28T23:30:00.000Z', of(24, 'hours'), '2026-03-29T23:30:00.000Z'],
    ['2026-12-31T23:59:30.500Z', of(90, 'seconds'), '2027-01-01T00:01:00.500Z'],
    ['2026-12-31T23:59:30.500Z', of(90, 'minutes'), '2027-01-01T01:29:30.500Z'],
    ['9998-12-31T23:59:59.999Z', of(1, 'years'), LATEST],
  ])('returns for %s + %j: %s', (start, duration, end) => expect(addDuration(start, duration)).toBe(end));

  it.each<[string, Duration]>([
    [LATEST, of(1, 'seconds')],
    ['9999-01-01T00:00:00.000Z', of(1, 'years')],
    ['9999-12-01T00:00:00.000Z', of(1, 'months')],
    [NOW, of(1_000_000_000, 'years')],
    [NOW, of(1_000_000_000, 'weeks')],
  ])('returns undefined for %s + %j, which is after the last instant', (start, duration) =>
    expect(addDuration(start, duration)).toBeUndefined(),
  );

  it('returns a later instant in the same format, or undefined', () =>
    fc.assert(
      fc.property(instants, durations, (start, duration) => {
        const end = addDuration(start, duration);
        if (end === undefined) return;
        expect(end > start).toBe(true);
        expect(new Date(end).toISOString()).toBe(end);
      }),
    ));

  it('preserves the order of starts and of amounts', () =>
    fc.assert(
      fc.property(instants, instants, shortDurations, fc.nat(50), (one, other, duration, more) => {
        const [first, second] = one < other ? [one, other] : [other, one];
        const end = (start: Instant, amount: number) => addDuration(start, of(amount, duration.unit)) ?? '~';
        expect(end(first, duration.amount) <= end(second, duration.amount)).toBe(true);
        expect(end(first, duration.amount) <= end(first, duration.amount + more)).toBe(true);
      }),
    ));
});

describe('subtractDuration', () => {
  it.each<[string, Duration, string]>([
    ['2026-03-31T00:00:00.000Z', of(1, 'months'), '2026-02-28T00:00:00.000Z'],
    ['2028-02-29T00:00:00.000Z', of(1, 'years'), '2027-02-28T00:00:00.000Z'],
    ['2026-01-10T00:00:00.000Z', days(20), '2025-12-21T00:00:00.000Z'],
    [NOW, of(3000, 'years'), EARLIEST],
    [NOW, of(1_000_000_000, 'years'), EARLIEST],
  ])('returns for %s - %j: %s', (end, duration, start) => expect(subtractDuration(end, duration)).toBe(start));

  it('returns an earlier instant in the same format', () =>
    fc.assert(
      fc.property(instants, durations, (end, duration) => {
        const start = subtractDuration(end, duration);
        expect(start < end).toBe(true);
        expect(start).toHaveLength(24);
      }),
    ));
});

describe('earlier and later', () => {
  it('treat undefined as never, or as not given', () => {
    expect([later('a', 'b'), later('b', 'a'), later('a', undefined)]).toEqual(['b', 'b', 'a']);
    expect([earlier('a', 'b'), earlier('b', 'a'), earlier('a', undefined)]).toEqual(['a', 'a', 'a']);
    expect([earlier(undefined, 'a'), earlier(undefined, undefined)]).toEqual(['a', undefined]);
  });
});

describe('precedence of expiries', () => {
  const applicationPolicy = after(days(20));
  const domainPolicy: DomainPolicy = { expiry: after(days(30)) };
  const own: OwnExpiry = { kind: 'in', duration: days(10) };

  it('1: uses expiresIn of the command', () => {
    const stated = { expiresIn: days(5) };
    expect(evaluate({ stated, own, applicationPolicy, domainPolicy })).toEqual({
      expiresAt: inDays(5),
      source: 'command',
    });
  });

  it('1: uses expiresAt of the command', () => {
    const stated = { expiresAt: inDays(5) };
    expect(evaluate({ stated, own, applicationPolicy, domainPolicy })).toEqual({
      expiresAt: inDays(5),
      source: 'command',
    });
  });

  it('1: never expires when the command sets expiresAt to null', () =>
    expect(evaluate({ stated: { expiresAt: null }, own, applicationPolicy, domainPolicy })).toEqual({
      source: 'command',
    }));

  it("2: uses the secret's own expiresIn", () =>
    expect(evaluate({ own, applicationPolicy, domainPolicy })).toEqual({ expiresAt: inDays(10), source: 'secret' }));

  it("2: never expires when the secret's own expiry is never", () =>
    expect(evaluate({ own: { kind: 'never' }, applicationPolicy, domainPolicy })).toEqual({ source: 'secret' }));

  it("2: requires a new expiry when the secret's own expiry is an instant", () => {
    expect(rejection({ own: { kind: 'at' }, applicationPolicy, domainPolicy })).toMatchObject({
      code: 'expiry_required',
      details: { field: 'expiresAt' },
    });
    expect(evaluate({ own: { kind: 'at' }, stated: { expiresIn: days(5) } })).toEqual({
      expiresAt: inDays(5),
      source: 'command',
    });
  });

  it("3: uses the application's policy", () => {
    expect(evaluate({ applicationPolicy, domainPolicy })).toEqual({ expiresAt: inDays(20), source: 'application' });
    expect(evaluate({ applicationPolicy: { mode: 'never' }, domainPolicy })).toEqual({ source: 'application' });
  });

  it("4: uses the domain's policy", () => {
    expect(evaluate({ domainPolicy })).toEqual({ expiresAt: inDays(30), source: 'domain' });
    expect(evaluate({ domainPolicy: { expiry: { mode: 'never' } } })).toEqual({ source: 'domain' });
  });

  it('5: does not expire otherwise', () => expect(evaluate({})).toEqual({ source: 'none' }));
});

describe('start of the lifetime', () => {
  it('is notBefore if that is in the future, and now otherwise', () => {
    const notBefore = '2028-01-31T00:00:00.000Z';
    const domainPolicy = { expiry: after(of(1, 'months')) };
    expect(evaluate({ notBefore, domainPolicy }).expiresAt).toBe('2028-02-29T00:00:00.000Z');
    expect(evaluate({ notBefore, stated: { expiresIn: days(1) } }).expiresAt).toBe('2028-02-01T00:00:00.000Z');
    expect(evaluate({ notBefore: '2020-01-01T00:00:00.000Z', domainPolicy }).expiresAt).toBe(
      '2026-02-28T12:00:00.000Z',
    );
  });

  it('is also the start of the minimum and maximum lifetime', () => {
    const notBefore = inDays(100);
    const domainPolicy = { minLifetime: days(10), maxLifetime: days(20) };
    expect(evaluate({ notBefore, stated: { expiresAt: inDays(120) }, domainPolicy }).expiresAt).toBe(inDays(120));
    expect(rejection({ notBefore, stated: { expiresAt: inDays(109) }, domainPolicy })).toMatchObject({
      details: { bound: 'minLifetime' },
    });
  });

  it('must be before the last instant', () => {
    const [notBefore, field] = [LATEST, 'notBefore'];
    expect(rejection({ notBefore, domainPolicy: { expiry: after(days(1)) } })).toMatchObject({ details: { field } });
    expect(rejection({ notBefore, domainPolicy: { maxLifetime: days(1) } })).toMatchObject({ details: { field } });
    expect(evaluate({ notBefore })).toEqual({ source: 'none' });
  });
});

describe('an expiry given by the command is rejected', () => {
  it.each<[string, Partial<ExpiryQuestion>, string]>([
    ['now', { stated: { expiresAt: NOW } }, 'expiresAt'],
    ['in the past', { stated: { expiresAt: inDays(-1) } }, 'expiresAt'],
    ['at notBefore', { stated: { expiresAt: inDays(3) }, notBefore: inDays(3) }, 'expiresAt'],
    ['before notBefore', { stated: { expiresAt: inDays(2) }, notBefore: inDays(3) }, 'expiresAt'],
    ['after the last instant', { stated: { expiresIn: of(8000, 'years') } }, 'expiresIn'],
  ])('%s', (_, question, field) =>
    expect(rejection(question)).toMatchObject({ code: 'invalid_request', details: { field } }),
  );

  const domainPolicy: DomainPolicy = { minLifetime: of(1, 'days'), maxLifetime: of(1, 'months') };
  const latest = '2026-02-28T12:00:00.000Z';

  it.each<[string, ExpiryQuestion['stated'], object]>([
    [
      'never, despite a maximum',
      { expiresAt: null },
      { field: 'expiresAt', bound: 'maxLifetime', amount: 1, unit: 'months' },
    ],
    ['too late', { expiresAt: '2026-02-28T12:00:00.001Z' }, { field: 'expiresAt', bound: 'maxLifetime' }],
    ['too long', { expiresIn: days(29) }, { field: 'expiresIn', bound: 'maxLifetime' }],
    ['too early', { expiresAt: '2026-02-01T11:59:59.999Z' }, { field: 'expiresAt', bound: 'minLifetime' }],
    [
      'too short',
      { expiresIn: of(23, 'hours') },
      { field: 'expiresIn', bound: 'minLifetime', amount: 1, unit: 'days' },
    ],
  ])('outside the bounds, naming the bound: %s', (_, stated, details) =>
    expect(rejection({ stated, domainPolicy })).toMatchObject({ code: 'lifetime_out_of_bounds', details }),
  );

  it('unless it is exactly at a bound', () => {
    expect(evaluate({ stated: { expiresAt: latest }, domainPolicy })).toEqual({ expiresAt: latest, source: 'command' });
    expect(evaluate({ stated: { expiresIn: days(1) }, domainPolicy })).toEqual({
      expiresAt: inDays(1),
      source: 'command',
    });
  });

  it('unless it is never and only a minimum is set', () =>
    expect(evaluate({ stated: { expiresAt: null }, domainPolicy: { minLifetime: days(9) } })).toEqual({
      source: 'command',
    }));
});

describe("an inherited expiry outside the domain's bounds is moved to the bound", () => {
  const domainPolicy: DomainPolicy = { minLifetime: days(10), maxLifetime: days(20) };
  const long = { expiresAt: inDays(20), source: 'domain-bound' };
  const short = { expiresAt: inDays(10), source: 'domain-bound' };

  it.each<[string, Partial<ExpiryQuestion>, object]>([
    ["a policy of the application's, too long", { applicationPolicy: after(days(21)) }, long],
    ["a policy of the application's, too short", { applicationPolicy: after(days(9)) }, short],
    ['never, set by the application', { applicationPolicy: { mode: 'never' } }, long],
    ['an own lifetime that is too long', { own: { kind: 'in', duration: of(1, 'years') } }, long],
    ['an own lifetime that is too short', { own: { kind: 'in', duration: days(1) } }, short],
    ['never, set by the secret', { own: { kind: 'never' } }, long],
    ['none', {}, long],
    [
      'an expiry within the bounds (unchanged)',
      { applicationPolicy: after(days(15)) },
      { expiresAt: inDays(15), source: 'application' },
    ],
    [
      'an expiry exactly at the bound (unchanged)',
      { applicationPolicy: after(days(20)) },
      { expiresAt: inDays(20), source: 'application' },
    ],
  ])('%s', (_, question, expected) => expect(evaluate({ domainPolicy, ...question })).toEqual(expected));

  it("even if the domain's own expiry exceeds the maximum because months differ in length", () => {
    const policy: DomainPolicy = { expiry: after(of(1, 'months')), maxLifetime: days(30) };
    expect(evaluate({ domainPolicy: policy, now: '2026-02-01T00:00:00.000Z' }).source).toBe('domain');
    expect(evaluate({ domainPolicy: policy, now: '2026-03-01T00:00:00.000Z' })).toEqual({
      expiresAt: '2026-03-31T00:00:00.000Z',
      source: 'domain-bound',
    });
  });

  it('stays never when only a minimum is set', () =>
    expect(evaluate({ domainPolicy: { minLifetime: days(9) } })).toEqual({ source: 'none' }));

  it('is moved to the last instant if the bound is after it', () => {
    const now = '9999-06-01T00:00:00.000Z';
    expect(evaluate({ now, domainPolicy: { maxLifetime: of(1, 'years') } }).expiresAt).toBe(LATEST);
    expect(evaluate({ now, domainPolicy: { minLifetime: of(1, 'years'), expiry: after(days(1)) } })).toEqual({
      expiresAt: LATEST,
      source: 'domain-bound',
    });
    expect(evaluate({ now, domainPolicy: { expiry: after(of(1, 'years')) } })).toEqual({
      expiresAt: LATEST,
      source: 'domain',
    });
  });

  it('is moved to the maximum at an instant at which minimum and maximum cross', () => {
    const crossing: DomainPolicy = { minLifetime: of(1, 'months'), maxLifetime: days(30) };
    const now = '2026-03-01T00:00:00.000Z';
    const expiresAt = inDays(30, now);
    expect(evaluate({ now, domainPolicy: crossing })).toEqual({ expiresAt, source: 'domain-bound' });
    expect(evaluate({ now, domainPolicy: crossing, stated: { expiresAt } })).toEqual({ expiresAt, source: 'command' });
    expect(rejection({ now, domainPolicy: crossing, stated: { expiresIn: days(31) } })).toMatchObject({
      details: { bound: 'maxLifetime' },
    });
  });

  it('always ends within the bounds, after now and after notBefore', () =>
    fc.assert(
      fc.property(
        instants,
        fc.option(instants, { nil: undefined }),
        fc.oneof(
          fc.record({ expiresIn: shortDurations }),
          fc.record({ expiresAt: fc.option(instants) }),
          fc.constant({}),
        ),
        fc.oneof(
          fc.constantFrom<OwnExpiry[]>({ kind: 'none' }, { kind: 'never' }),
          durations.map((duration): OwnExpiry => ({ kind: 'in', duration })),
        ),
        fc.oneof(
          fc.constantFrom<ApplicationPolicy[]>({ mode: 'inherit' }, { mode: 'never' }),
          durations.map((duration): ApplicationPolicy => after(duration)),
        ),
        fc.record({ minLifetime: shortDurations, maxLifetime: shortDurations }, { requiredKeys: [] }),
        (now, notBefore, stated, own, applicationPolicy, domainPolicy) => {
          let expiry;
          try {
            expiry = expiryOf({ now, notBefore, stated, own, applicationPolicy, domainPolicy });
          } catch (error) {
            expect(error).toMatchObject({ name: 'DomainError' });
            return;
          }
          const { expiresAt } = expiry;
          const start = later(now, notBefore);
          const end = (duration: Duration | undefined) => duration && (addDuration(start, duration) ?? LATEST);
          const latest = end(domainPolicy.maxLifetime);
          if (latest !== undefined) expect(expiresAt !== undefined && expiresAt <= latest).toBe(true);
          if (expiresAt === undefined) return;
          expect(expiresAt > start && expiresAt <= LATEST).toBe(true);
          const earliest = end(domainPolicy.minLifetime) ?? start;
          expect(expiresAt >= earliest || expiresAt === latest).toBe(true);
        },
      ),
      { numRuns: 500 },
    ));
});

describe('a policy is rejected', () => {
  it.each<[string, DomainPolicy, string, string]>([
    ['with crossed bounds', { minLifetime: days(2), maxLifetime: days(1) }, 'invalid_request', 'minLifetime'],
    ['with a minimum after the last instant', { minLifetime: of(9000, 'years') }, 'invalid_request', 'minLifetime'],
    ['with a maximum after the last instant', { maxLifetime: of(9000, 'years') }, 'invalid_request', 'maxLifetime'],
    [
      'with a lifetime that ends after the last instant',
      { expiry: after(of(9000, 'years')) },
      'invalid_request',
      'expiry.after',
    ],
    ['too long', { expiry: after(days(3)), maxLifetime: days(2) }, 'lifetime_out_of_bounds', 'expiry.after'],
    ['too short', { expiry: after(days(1)), minLifetime: days(2) }, 'lifetime_out_of_bounds', 'expiry.after'],
    [
      'never, despite a maximum',
      { expiry: { mode: 'never' }, maxLifetime: days(2) },
      'lifetime_out_of_bounds',
      'expiry.mode',
    ],
  ])('of a domain: %s', (_, policy, code, field) =>
    expect(refusalOf(() => checkDomainPolicy(policy, NOW))).toMatchObject({ code, details: { field } }),
  );

  it('unless it is consistent', () => {
    const day = days(1);
    for (const policy of [
      {},
      { minLifetime: day, maxLifetime: day, expiry: after(day) },
      { expiry: { mode: 'never' } },
    ] as const)
      expect(refusalOf(() => checkDomainPolicy(policy, NOW))).toBeUndefined();
  });

  it.each<[ApplicationPolicy, string | undefined]>([
    [{ mode: 'inherit' }, undefined],
    [{ mode: 'never' }, 'maxLifetime'],
    [after(days(1)), 'minLifetime'],
    [after(days(2)), undefined],
    [after(days(4)), undefined],
    [after(days(5)), 'maxLifetime'],
  ])("of an application, outside the domain's bounds: %j", (policy, bound) => {
    const domain: DomainPolicy = { minLifetime: days(2), maxLifetime: days(4) };
    const refused = refusalOf(() => checkApplicationPolicy(policy, domain, NOW));
    if (bound === undefined) expect(refused).toBeUndefined();
    else expect(refused).toMatchObject({ code: 'lifetime_out_of_bounds', details: { bound } });
  });
});

describe('previewExpiry', () => {
  const inherit = { mode: 'inherit' } as const;
  const subject = (more: Partial<PolicySubject>): PolicySubject => ({
    valueCreatedAt: NOW,
    expiresAt: inDays(30),
    expirySource: 'domain',
    applicationPolicy: inherit,
    ...more,
  });

  it('evaluates an inherited expiry from the creation of the value', () => {
    expect(previewExpiry(subject({}), { expiry: after(days(90)) })).toEqual({
      expiresAt: inDays(90),
      source: 'domain',
      affected: true,
    });
    expect(previewExpiry(subject({}), { expiry: { mode: 'never' } })).toEqual({ source: 'domain', affected: true });
    expect(previewExpiry(subject({}), {})).toEqual({ source: 'none', affected: true });
  });

  it('does not report a value whose expiry stays the same under a different rule', () => {
    expect(previewExpiry(subject({}), { expiry: after(days(30)) }).affected).toBe(false);
    expect(previewExpiry(subject({ applicationPolicy: after(days(30)) }), { expiry: after(days(1)) })).toEqual({
      expiresAt: inDays(30),
      source: 'application',
      affected: false,
    });
    expect(previewExpiry(subject({ expiresAt: undefined, expirySource: 'none' }), {}).affected).toBe(false);
  });

  it('starts the lifetime at notBefore', () => {
    const notBefore = inDays(10);
    expect(previewExpiry(subject({ notBefore }), { expiry: after(days(20)) })).toMatchObject({
      expiresAt: inDays(30),
      affected: false,
    });
  });

  it("uses the application's new policy", () =>
    expect(previewExpiry(subject({ applicationPolicy: { mode: 'never' } }), {})).toEqual({
      source: 'application',
      affected: true,
    }));

  it("uses the secret's own lifetime if the expiry came from it or from a bound", () => {
    const renewed = subject({ expirySource: 'secret', ownExpiresIn: days(30) });
    expect(previewExpiry(renewed, { expiry: after(days(1)) })).toMatchObject({ source: 'secret', affected: false });
    expect(previewExpiry(renewed, { maxLifetime: days(7) })).toEqual({
      expiresAt: inDays(7),
      source: 'domain-bound',
      affected: true,
    });
    const bounded = subject({ expirySource: 'domain-bound', ownExpiresIn: days(60) });
    expect(previewExpiry(bounded, {})).toEqual({ expiresAt: inDays(60), source: 'secret', affected: true });
  });

  it("uses the secret's own never", () => {
    const never = subject({ expirySource: 'secret', expiresAt: undefined });
    expect(previewExpiry(never, { expiry: after(days(1)) })).toEqual({ source: 'secret', affected: false });
    const bounded = subject({ expirySource: 'domain-bound', ownNever: true });
    expect(previewExpiry(bounded, { expiry: after(days(1)) })).toEqual({ source: 'secret', affected: true });
  });

  it.each<[string, Partial<PolicySubject>, DomainPolicy, boolean]>([
    ['within the bounds', { ownExpiresIn: days(30) }, { expiry: after(days(1)), maxLifetime: days(30) }, false],
    ['above the maximum', { ownExpiresIn: days(30) }, { maxLifetime: days(29) }, true],
    ['below the minimum', {}, { minLifetime: days(31) }, true],
    ['never, with a maximum', { expiresAt: undefined }, { maxLifetime: days(31) }, true],
    ['never, without a maximum', { expiresAt: undefined, ownNever: true }, { expiry: after(days(1)) }, false],
  ])('compares an expiry given by a command only with the bounds: %s', (_, more, policy, affected) => {
    const stated = subject({ expirySource: 'command', ...more });
    const { expiresAt } = stated;
    expect(previewExpiry(stated, policy)).toEqual({ ...(expiresAt && { expiresAt }), source: 'command', affected });
  });

  it('reports no change for the current policies, and never throws', () =>
    fc.assert(
      fc.property(
        instants,
        fc.option(instants, { nil: undefined }),
        fc.option(durations, { nil: undefined }),
        fc.record({ minLifetime: shortDurations, maxLifetime: shortDurations }, { requiredKeys: [] }),
        (now, notBefore, ownExpiresIn, domainPolicy) => {
          const own: OwnExpiry = ownExpiresIn ? { kind: 'in', duration: ownExpiresIn } : { kind: 'none' };
          const question = { now, notBefore, own, stated: {}, applicationPolicy: inherit, domainPolicy };
          const refused = refusalOf(() => expiryOf(question));
          const { expiresAt, source: expirySource } = refused
            ? { expiresAt: LATEST, source: 'none' as const }
            : expiryOf(question);
          const valueSubject = {
            valueCreatedAt: now,
            notBefore,
            expiresAt,
            ownExpiresIn,
            expirySource,
            applicationPolicy: inherit,
          };
          const preview = previewExpiry(valueSubject, domainPolicy);
          if (!refused) expect(preview).toMatchObject({ source: expirySource, affected: false });
        },
      ),
    ));
});
