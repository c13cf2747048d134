import fc from 'fast-check';
import { DateTime } from 'luxon';
import { Ticks } from './ticks';

const DAILY = '0 0 5 * * *';

describe('Ticks.atOrAfter', () => {
  it.each([
    // expression, zone, asked for, first tick at or after it
    [DAILY, 'UTC', '2027-01-01T04:59:59.999Z', '2027-01-01T05:00:00.000Z'],
    [DAILY, 'UTC', '2027-01-01T05:00:00.000Z', '2027-01-01T05:00:00.000Z'],
    [DAILY, 'UTC', '2027-01-01T05:00:00.001Z', '2027-01-02T05:00:00.000Z'],
    ['* * * * * *', 'UTC', '2027-01-01T05:00:00.000Z', '2027-01-01T05:00:00.000Z'],
    ['* * * * * *', 'UTC', '2027-01-01T05:00:00.001Z', '2027-01-01T05:00:01.000Z'],
    [DAILY, 'America/New_York', '2027-01-01T05:00:00.000Z', '2027-01-01T10:00:00.000Z'],
    [DAILY, 'America/New_York', '2027-07-01T05:00:00.000Z', '2027-07-01T09:00:00.000Z'],
    [DAILY, 'Asia/Kathmandu', '2027-01-01T05:00:00.000Z', '2027-01-01T23:15:00.000Z'],
    ['0 0 5 29 2 *', 'Europe/Berlin', '2025-01-01T00:00:00.000Z', '2028-02-29T04:00:00.000Z'],
    ['0 0 5 * * 1', 'UTC', '2027-01-01T00:00:00.000Z', '2027-01-04T05:00:00.000Z'],
  ])('of %s in %s from %s is %s', (expression, zone, from, tick) => {
    expect(new Ticks(expression, zone).atOrAfter(from)).toBe(tick);
  });

  it.each([
    // The clocks of Berlin go forward at 2027-03-28T01:00Z, 02:00 to 03:00.
    ['0 30 1 * * *', '2027-03-27T12:00:00.000Z', '2027-03-28T00:30:00.000Z'],
    ['0 30 2 * * *', '2027-03-27T12:00:00.000Z', '2027-03-28T01:30:00.000Z'],
    ['0 30 2 * * *', '2027-03-28T01:15:00.000Z', '2027-03-28T01:30:00.000Z'],
    ['0 30 2 * * *', '2027-03-28T01:30:00.000Z', '2027-03-28T01:30:00.000Z'],
    ['0 30 2 * * *', '2027-03-28T01:30:00.001Z', '2027-03-29T00:30:00.000Z'],
    ['0 30 3 * * *', '2027-03-27T12:00:00.000Z', '2027-03-28T01:30:00.000Z'],
    ['0 0 5 * * *', '2027-03-27T12:00:00.000Z', '2027-03-28T03:00:00.000Z'],
    ['* * * * * *', '2027-03-28T00:59:59.500Z', '2027-03-28T01:00:00.000Z'],
    ['* * * * * *', '2027-03-28T01:20:00.000Z', '2027-03-28T01:20:00.000Z'],
  ])('of %s when an hour is skipped, from %s, is %s', (expression, from, tick) => {
    expect(new Ticks(expression, 'Europe/Berlin').atOrAfter(from)).toBe(tick);
  });

  it.each([
    // The clocks of Berlin go back at 2027-10-31T01:00Z, 03:00 to 02:00.
    ['0 30 2 * * *', '2027-10-30T12:00:00.000Z', '2027-10-31T00:30:00.000Z'],
    ['0 30 2 * * *', '2027-10-31T00:30:00.001Z', '2027-10-31T01:30:00.000Z'],
    ['0 30 2 * * *', '2027-10-31T01:30:00.001Z', '2027-11-01T01:30:00.000Z'],
    ['0 0 5 * * *', '2027-10-30T12:00:00.000Z', '2027-10-31T04:00:00.000Z'],
    ['* * * * * *', '2027-10-31T00:59:59.999Z', '2027-10-31T01:00:00.000Z'],
    ['* * * * * *', '2027-10-31T01:29:59.001Z', '2027-10-31T01:30:00.000Z'],
    ['0 */10 * * * *', '2027-10-31T00:59:00.000Z', '2027-10-31T01:00:00.000Z'],
    ['0 */10 * * * *', '2027-10-31T01:21:00.000Z', '2027-10-31T01:30:00.000Z'],
  ])('of %s when an hour is repeated, from %s, is %s', (expression, from, tick) => {
    expect(new Ticks(expression, 'Europe/Berlin').atOrAfter(from)).toBe(tick);
  });

  it('returns undefined for a date that does not exist', () => {
    const ticks = new Ticks('0 0 5 30 2 *', 'UTC');
    expect(ticks.atOrAfter('2027-01-01T00:00:00.000Z')).toBeUndefined();
    expect(ticks.atOrAfter('2028-01-01T00:00:00.000Z')).toBeUndefined();
  });

  it('refuses an invalid setting and names its field', () => {
    expect(() => new Ticks('0 5 * * *', 'UTC')).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { field: 'notifications.cronExpression' } }),
    );
    expect(() => new Ticks(DAILY, 'Mars/Base')).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { field: 'notifications.timezone' } }),
    );
  });
});

describe('ticks', () => {
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia'];
  const expressions = [
    '* * * * * *',
    '0 */10 * * * *',
    '0 30 2 * * *',
    '0 0 5 * * *',
    '0 15 1,2,3 * * 0',
    '30 59 23 1 * *',
  ];
  const instants = fc
    .integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2030, 0, 1) })
    .map((ms) => new Date(ms).toISOString());
  /** Around the changes of clocks of Berlin, New York and Lord Howe. */
  const nearChanges = fc
    .tuple(
      fc.constantFrom(
        '2027-03-28T01:00',
        '2027-10-31T01:00',
        '2027-03-14T07:00',
        '2027-11-07T06:00',
        '2027-04-03T15:00',
        '2027-10-02T15:30',
      ),
      fc.integer({ min: -3 * 3_600_000, max: 3 * 3_600_000 }),
    )
    .map(([at, by]) => new Date(Date.parse(`${at}:00.000Z`) + by).toISOString());
  const asked = fc.tuple(fc.constantFrom(...zones), fc.constantFrom(...expressions), fc.oneof(instants, nearChanges));

  it('are never before the given instant, and are their own first tick', () => {
    fc.assert(
      fc.property(asked, ([zone, expression, from]) => {
        const tick = new Ticks(expression, zone).atOrAfter(from) ?? '';
        expect(tick >= from).toBe(true);
        expect(new Ticks(expression, zone).atOrAfter(tick)).toBe(tick);
      }),
    );
  });

  it('do not depend on earlier calls', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.constantFrom(...expressions),
        fc.array(fc.oneof(instants, nearChanges)),
        (zone, expression, all) => {
          const ticks = new Ticks(expression, zone);
          for (const from of all) expect(ticks.atOrAfter(from)).toBe(new Ticks(expression, zone).atOrAfter(from));
        },
      ),
    );
  });

  it('are complete: no minute between the instant and its tick matches', () => {
    fc.assert(
      fc.property(fc.constantFrom(...zones), nearChanges, (zone, from) => {
        const tick = new Ticks('0 30 2 * * *', zone).atOrAfter(from) ?? '';
        const first = DateTime.fromISO(from, { zone: 'utc' });
        for (let at = first.startOf('minute'); at.toMillis() < Date.parse(tick); at = at.plus({ minutes: 1 })) {
          const local = at.setZone(zone);
          if (at >= first && local.hour === 2) expect(local.minute).not.toBe(30);
        }
      }),
      { numRuns: 20 },
    );
  });
});
