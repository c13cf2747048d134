import { type CollectionName, EngineUnavailable, type Position } from '@rekey/ports';
import type { SqliteDatabase } from './sqlite-database';
import { CLOSED, ENGINE } from './sqlite-errors';

interface Waiter {
  readonly position: Position;
  readonly resolve: (reached: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Waits for checkpoints. Watches the store only while somebody waits. */
export class CheckpointWaiters {
  private readonly waiters = new Map<CollectionName, Set<Waiter>>();
  private unwatch: (() => void) | undefined;

  /** `checkpoint` returns the current checkpoint, null if the build is gone. */
  constructor(
    private readonly database: SqliteDatabase,
    private readonly checkpoint: (collection: CollectionName) => Position | null,
  ) {}

  /** See `ReadModels.reached`. */
  async reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    const checkpoint = this.checkpoint(collection);
    if (checkpoint === null) return false;
    if (checkpoint >= position) return true;
    if (timeoutMs <= 0) return false;
    const waiters = this.waiters.get(collection) ?? new Set();
    this.waiters.set(collection, waiters);
    this.unwatch ??= this.database.watch(() => this.check());
    let waiter: Waiter | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<boolean>((resolve, reject) => {
        timer = setTimeout(() => resolve(false), timeoutMs);
        waiters.add((waiter = { position, resolve, reject }));
      });
    } finally {
      clearTimeout(timer);
      if (waiter) waiters.delete(waiter);
      if (waiters.size === 0 && this.waiters.get(collection) === waiters) this.waiters.delete(collection);
      if (this.waiters.size === 0) this.stopWatching();
    }
  }

  /** Rejects all waiters with `EngineUnavailable`. */
  close(): void {
    for (const waiters of this.waiters.values())
      for (const { reject } of waiters) reject(new EngineUnavailable(ENGINE, { cause: new Error(CLOSED) }));
    this.stopWatching();
  }

  private check(): void {
    for (const [collection, waiters] of this.waiters)
      try {
        const checkpoint = this.checkpoint(collection);
        for (const { position, resolve } of waiters)
          if (checkpoint === null) resolve(false);
          else if (checkpoint >= position) resolve(true);
      } catch (error) {
        for (const { reject } of waiters) reject(error);
      }
  }

  private stopWatching(): void {
    this.unwatch?.();
    this.unwatch = undefined;
  }
}
