/** Returns the wait before a retry, in milliseconds: `firstMs` after the first failure, doubled with each, up to `maxMs`. */
export const backoffMs = (failures: number, firstMs: number, maxMs: number): number =>
  Math.min(firstMs * 2 ** (failures - 1), maxMs);
