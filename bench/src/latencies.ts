import { build } from 'hdr-histogram-js';

const US_PER_MS = 1_000;

/** Histogram of times. Percentiles are accurate to three significant digits, with a resolution of a microsecond. */
export class Latencies {
  private readonly histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 2,
    numberOfSignificantValueDigits: 3,
    autoResize: true,
  });

  add(milliseconds: number): void {
    this.histogram.recordValue(Math.round(milliseconds * US_PER_MS));
  }

  get count(): number {
    return this.histogram.totalCount;
  }

  /** Returns the smallest time, in milliseconds, that at least `percent` % of the times do not exceed; NaN if empty. */
  percentile(percent: number): number {
    return this.count === 0 ? NaN : this.histogram.getValueAtPercentile(percent) / US_PER_MS;
  }
}

/** Returns the median: the mean of the two middle numbers when their count is even, NaN when there are none. */
export const median = (numbers: readonly number[]): number => {
  const sorted = [...numbers].sort((left, right) => left - right);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
};
