import { ticksOf } from './cron-ticks';

const next = (expression: string, timezone: string, from: string): string | undefined => {
  const tickMs = ticksOf(expression, timezone)(Date.parse(from));
  return tickMs === undefined ? undefined : new Date(tickMs).toISOString();
};

describe('ticks', () => {
  it.each([
    ['0 0 5 * * *', 'UTC', '2027-01-01T00:00:00.000Z', '2027-01-01T05:00:00.000Z'],
    ['0 0 5 * * *', 'UTC', '2027-01-01T05:00:00.000Z', '2027-01-02T05:00:00.000Z'],
    ['30 * * * * *', 'UTC', '2027-01-01T00:00:29.999Z', '2027-01-01T00:00:30.000Z'],
    ['0 0 5 * * *', 'Europe/Zurich', '2027-03-27T00:00:00.000Z', '2027-03-27T04:00:00.000Z'],
    ['0 0 5 * * *', 'Europe/Zurich', '2027-03-27T04:00:00.000Z', '2027-03-28T03:00:00.000Z'],
    ['0 30 2 * * *', 'Europe/Zurich', '2027-03-27T12:00:00.000Z', '2027-03-28T01:30:00.000Z'],
    ['0 0 0 29 2 *', 'UTC', '2027-01-01T00:00:00.000Z', '2028-02-29T00:00:00.000Z'],
  ])('of "%s" in %s come after %s at %s', (expression, timezone, from, tick) => {
    expect(next(expression, timezone, from)).toBe(tick);
  });

  it.each(['0 */15 * * * *', '*/20 * * * * *', '0 30 2 * * *', '0 0 * * * *'])(
    'of "%s" always lie ahead, also in an hour that comes twice',
    (expression) => {
      const nextTick = ticksOf(expression, 'Europe/Zurich');
      const endMs = Date.parse('2026-10-25T04:00:00.000Z');
      for (let ms = Date.parse('2026-10-24T23:00:00.000Z'); ms < endMs; ms += 77_000)
        expect(nextTick(ms)).toBeGreaterThan(ms);
    },
  );

  it('may have no end, or none at all', () => {
    expect(next('0 0 0 30 2 *', 'UTC', '2027-01-01T00:00:00.000Z')).toBeUndefined();
  });

  it.each([
    ['', 'UTC', 'cronExpression'],
    ['* * * * *', 'UTC', 'cronExpression'],
    ['* * * * * * *', 'UTC', 'cronExpression'],
    ['61 * * * * *', 'UTC', 'cronExpression'],
    ['* * * * * *', 'Mars/Olympus', 'timezone'],
    ['* * * * * *', '', 'timezone'],
  ])('of "%s" in "%s" are refused', (expression, timezone, field) => {
    expect(() => ticksOf(expression, timezone)).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { field } }),
    );
  });
});
