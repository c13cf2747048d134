import { type CollectionName, EngineUnavailable, type Position } from '@rekey/ports';

/** How long a checkpoint is left alone between two looks at it. */
const LOOK_EVERY_MS = 5;

interface Waiter {
  readonly position: Position;
  readonly settle: (reached: boolean) => void;
  readonly fail: (error: unknown) => void;
}

/** Waits for checkpoints by looking at them again and again, once for all who wait for one of a collection. */
export class Waiting {
  private readonly waiters = new Map<CollectionName, Set<Waiter>>();

  /** `checkpoint`: as it is now; null where the build is gone. */
  constructor(private readonly checkpoint: (collection: CollectionName) => Promise<Position | null>) {}

  /** See `ReadModels.reached`. */
  async reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    const now = await this.checkpoint(collection);
    if (now === null) return false;
    if (now >= position) return true;
    if (timeoutMs <= 0) return false;
    let timer: NodeJS.Timeout | undefined;
    let waiter: Waiter | undefined;
    try {
      return await new Promise<boolean>((settle, fail) => {
        timer = setTimeout(() => settle(false), timeoutMs);
        this.add(collection, (waiter = { position, settle, fail }));
      });
    } finally {
      clearTimeout(timer);
      if (waiter) this.waiters.get(collection)?.delete(waiter);
    }
  }

  /** Answers all who wait that the store is away. */
  close(): void {
    for (const waiters of this.waiters.values())
      for (const { fail } of waiters) fail(new EngineUnavailable('view store'));
  }

  private add(collection: CollectionName, waiter: Waiter): void {
    const waiters = this.waiters.get(collection);
    if (waiters) {
      waiters.add(waiter);
      return;
    }
    const first = new Set([waiter]);
    this.waiters.set(collection, first);
    void this.look(collection, first);
  }

  /** Looks until nobody waits. */
  private async look(collection: CollectionName, waiters: Set<Waiter>): Promise<void> {
    while (waiters.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      const asking = [...waiters];
      try {
        const checkpoint = asking.length > 0 ? await this.checkpoint(collection) : null;
        for (const { position, settle } of asking)
          if (checkpoint === null) settle(false);
          else if (checkpoint >= position) settle(true);
      } catch (error) {
        for (const { fail } of asking) fail(error);
      }
      // Who was answered takes itself out, in a turn of its own.
      await new Promise(setImmediate);
    }
    this.waiters.delete(collection);
  }
}
