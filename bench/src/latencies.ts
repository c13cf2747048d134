/** Times in milliseconds, kept one by one, so that percentiles are exact. */
export class Latencies {
  private values = new Float64Array(1 << 16);
  private length = 0;
  private sorted = true;

  add(milliseconds: number): void {
    if (this.length === this.values.length) {
      const wider = new Float64Array(this.length * 2);
      wider.set(this.values);
      this.values = wider;
    }
    this.values[this.length++] = milliseconds;
    this.sorted = false;
  }

  get count(): number {
    return this.length;
  }

  /** The smallest value that at least so many of 100 values do not exceed; NaN where there is none. */
  percentile(percent: number): number {
    if (!this.sorted) this.values.subarray(0, this.length).sort();
    this.sorted = true;
    const rank = Math.ceil((percent / 100) * this.length);
    return this.length === 0 ? NaN : (this.values[Math.max(0, rank - 1)] ?? NaN);
  }
}

/** The middle of some numbers, the mean of the two in the middle where they are even; NaN of none. */
export const median = (numbers: readonly number[]): number => {
  const sorted = [...numbers].sort((left, right) => left - right);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
};
