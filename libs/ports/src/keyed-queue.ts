type Work = () => Promise<void>;

/**
 * Runs work by key: work with the same key one at a time, in the order in which it was added; work with different keys
 * concurrently, up to a limit. Keys take turns, so that one with much work does not delay the others.
 */
export class KeyedQueue {
  /** Waiting work by key. A key whose work is running has an entry, which may be empty. */
  private readonly queues = new Map<string, Work[]>();
  /** Keys with waiting work of which none is running, in the order of their turns. */
  private readonly ready = new Set<string>();
  private readonly idleListeners: (() => void)[] = [];
  private running = 0;
  private waitingNow = 0;

  constructor(private readonly concurrency: number) {}

  /** How many pieces of work have not started. */
  get waiting(): number {
    return this.waitingNow;
  }

  /**
   * Adds work, which must not throw or reject. Returns a function that withdraws it: true if the work had not started,
   * and now never will.
   */
  add(key: string, work: Work): () => boolean {
    const queue = this.queues.get(key);
    if (queue) {
      queue.push(work);
    } else {
      this.queues.set(key, [work]);
      this.ready.add(key);
    }
    this.waitingNow++;
    this.startReady();
    return () => this.withdraw(key, work);
  }

  /** Resolves when no work is running or waiting. */
  async idle(): Promise<void> {
    if (this.queues.size > 0) await new Promise<void>((resolve) => this.idleListeners.push(resolve));
  }

  private withdraw(key: string, work: Work): boolean {
    const queue = this.queues.get(key);
    const index = queue?.indexOf(work) ?? -1;
    if (!queue || index < 0) return false;
    queue.splice(index, 1);
    this.waitingNow--;
    if (queue.length === 0 && this.ready.delete(key)) this.queues.delete(key);
    this.notifyIfIdle();
    return true;
  }

  private startReady(): void {
    for (const key of this.ready) {
      if (this.running >= this.concurrency) return;
      this.ready.delete(key);
      const work = this.queues.get(key)?.shift();
      if (work) void this.run(key, work);
    }
  }

  private async run(key: string, work: Work): Promise<void> {
    this.waitingNow--;
    this.running++;
    await work();
    this.running--;
    if (this.queues.get(key)?.length) this.ready.add(key);
    else this.queues.delete(key);
    this.startReady();
    this.notifyIfIdle();
  }

  private notifyIfIdle(): void {
    if (this.queues.size === 0) for (const notify of this.idleListeners.splice(0)) notify();
  }
}
