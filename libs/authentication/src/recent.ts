/**
 * What was used of late, by key: always the latest half of `max`, and never more than `max`. Unlike an exact LRU list, a
 * hit among those writes nothing, which on the path of every check is worth more than a place or two of order.
 */
export class Recent<V extends string | boolean | object> {
  private young = new Map<string, V>();
  private old = new Map<string, V>();
  private readonly half: number;

  constructor(max: number) {
    this.half = Math.ceil(max / 2);
  }

  get(key: string): V | undefined {
    const known = this.young.get(key);
    if (known !== undefined) return known;
    const older = this.old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: string, value: V): void {
    if (this.young.size >= this.half && !this.young.has(key)) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(key, value);
  }

  /** How many entries are held; one that was used again after a change of halves counts twice. */
  get size(): number {
    return this.young.size + this.old.size;
  }
}
