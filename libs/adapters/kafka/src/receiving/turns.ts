/**
 * Work by keys: what has the same key is done one after the other, in the order in which it came; what has another, side
 * by side, up to a limit. Work never throws.
 */
export class Turns {
  private readonly queues = new Map<string, (() => Promise<void>)[]>();
  /** Keys with work to begin and none in hand, in the order in which their turn comes. */
  private readonly ready = new Set<string>();
  private running = 0;
  private readonly idleListeners: (() => void)[] = [];

  constructor(private readonly concurrency: number) {}

  add(key: string, work: () => Promise<void>): void {
    const queue = this.queues.get(key);
    if (queue) {
      queue.push(work);
    } else {
      this.queues.set(key, [work]);
      this.ready.add(key);
    }
    this.beginAll();
  }

  /** Resolves as soon as nothing is in hand or waiting. */
  async idle(): Promise<void> {
    if (this.queues.size > 0) await new Promise<void>((resolve) => this.idleListeners.push(resolve));
  }

  private beginAll(): void {
    for (const key of this.ready) {
      if (this.running >= this.concurrency) return;
      this.ready.delete(key);
      const work = this.queues.get(key)?.shift();
      if (work) void this.run(key, work);
    }
  }

  private async run(key: string, work: () => Promise<void>): Promise<void> {
    this.running++;
    await work();
    this.running--;
    if (this.queues.get(key)?.length) this.ready.add(key);
    else this.queues.delete(key);
    this.beginAll();
    if (this.queues.size === 0) for (const tell of this.idleListeners.splice(0)) tell();
  }
}
