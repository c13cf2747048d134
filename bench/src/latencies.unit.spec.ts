import fc from 'fast-check';
import { Latencies, median } from './latencies';

const of = (values: readonly number[]): Latencies => {
  const latencies = new Latencies();
  for (const value of values) latencies.add(value);
  return latencies;
};

describe('Latencies', () => {
  it('returns the nearest rank', () => {
    const latencies = of([0.5, 0.1, 0.4, 0.2, 0.3, 1, 0.9, 0.8, 0.7, 0.6]);
    const percentiles = [0, 10, 50, 90, 99, 100].map((percent) => latencies.percentile(percent));
    expect(percentiles).toEqual([0.1, 0.1, 0.5, 0.9, 1, 1]);
  });

  it('returns NaN when it is empty', () => {
    expect(new Latencies().percentile(50)).toBeNaN();
  });

  it('accepts more times after a percentile was read', () => {
    const latencies = of([2, 1.5]);
    expect(latencies.percentile(100)).toBe(2);
    for (let index = 0; index < 100_000; index++) latencies.add(1);
    expect([latencies.count, latencies.percentile(99), latencies.percentile(100)]).toEqual([100_002, 1, 2]);
  });

  it('returns a time that was added, to three significant digits', () => {
    const times = fc.array(fc.integer({ min: 1, max: 3_600_000_000 }), { minLength: 1 });
    fc.assert(
      fc.property(times, fc.double({ min: 0, max: 100, noNaN: true }), (all, percent) => {
        const found = of(all.map((us) => us / 1_000)).percentile(percent) * 1_000;
        const distances = all.map((us) => Math.abs(found - us) / us);
        expect(Math.min(...distances)).toBeLessThanOrEqual(0.001);
      }),
    );
  });
});

describe('median', () => {
  it.each([
    [[3, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
    [[7], 7],
    [[], NaN],
  ])('of %j is %d', (numbers, expected) => {
    expect(median(numbers)).toBe(expected);
  });
});
