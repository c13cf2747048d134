import fc from 'fast-check';
import { Latencies, median } from './latencies';

const of = (values: readonly number[]): Latencies => {
  const latencies = new Latencies();
  for (const value of values) latencies.add(value);
  return latencies;
};

describe('Latencies', () => {
  it('gives the nearest rank', () => {
    const latencies = of([5, 1, 4, 2, 3, 10, 9, 8, 7, 6]);
    expect([0, 10, 50, 90, 99, 100].map((percent) => latencies.percentile(percent))).toEqual([1, 1, 5, 9, 10, 10]);
  });

  it('is NaN where nothing was added', () => {
    expect(new Latencies().percentile(50)).toBeNaN();
  });

  it('takes more after it was asked, and more than it first has room for', () => {
    const latencies = of([3, 2]);
    expect(latencies.percentile(100)).toBe(3);
    for (let index = 0; index < 100_000; index++) latencies.add(1);
    expect([latencies.count, latencies.percentile(99), latencies.percentile(100)]).toEqual([100_002, 1, 3]);
  });

  it('never gives a value that was not added', () => {
    const values = fc.array(fc.double({ noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 100, noNaN: true }), (all, percent) => {
        expect(all).toContain(of(all).percentile(percent));
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
