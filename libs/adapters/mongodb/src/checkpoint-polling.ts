import type { CollectionName, Position } from '@rekey/ports';
import { viewsClosed } from './view-collections';

/** Pause between two reads of a checkpoint. */
const POLL_MS = 5;

interface Waiter {
  readonly position: Position;
  readonly resolve: (reached: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Waits for checkpoints by polling them, once per collection for all its waiters. */
export class CheckpointPolling {
  private readonly waiters = new Map<CollectionName, Set<Waiter>>();

  /** `checkpoint` reads the current checkpoint, null if the build is gone. */
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
      return await new Promise<boolean>((resolve, reject) => {
        timer = setTimeout(() => resolve(false), timeoutMs);
        this.add(collection, (waiter = { position, resolve, reject }));
      });
    } finally {
      clearTimeout(timer);
      if (waiter) this.waiters.get(collection)?.delete(waiter);
    }
  }

  /** Rejects all waiters with `EngineUnavailable`. */
  close(): void {
    for (const waiters of this.waiters.values()) for (const { reject } of waiters) reject(viewsClosed());
  }

  private add(collection: CollectionName, waiter: Waiter): void {
    const waiters = this.waiters.get(collection);
    if (waiters) {
      waiters.add(waiter);
      return;
    }
    const first = new Set([waiter]);
    this.waiters.set(collection, first);
    void this.poll(collection, first);
  }

  /** Polls until the last waiter has gone. */
  private async poll(collection: CollectionName, waiters: Set<Waiter>): Promise<void> {
    while (waiters.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      // Waiters added while the checkpoint is being read are answered by the next read.
      const current = [...waiters];
      try {
        const checkpoint = current.length > 0 ? await this.checkpoint(collection) : null;
        for (const { position, resolve } of current)
          if (checkpoint === null) resolve(false);
          else if (checkpoint >= position) resolve(true);
      } catch (error) {
        for (const { reject } of current) reject(error);
      }
      // Settled waiters remove themselves in a later microtask.
      await new Promise(setImmediate);
    }
    this.waiters.delete(collection);
  }
}
