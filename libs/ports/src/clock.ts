import type { Instant } from '@rekey/domain';

/** Time as a dependency. */
export abstract class Clock {
  /** Milliseconds since 1970 UTC. */
  abstract nowMs(): number;

  /** Monotonic milliseconds from an arbitrary start. */
  abstract monotonicMs(): number;

  /** Calls `run` once, after a delay. Returns a function that cancels it. Does not keep the process alive. */
  abstract schedule(delayMs: number, run: () => void): () => void;

  now(): Instant {
    return new Date(this.nowMs()).toISOString();
  }

  /** Resolves after a delay, or as soon as the signal is aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        cancel();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.schedule(delayMs, done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }
}

/** The system time. */
export class SystemClock extends Clock {
  nowMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  schedule(delayMs: number, run: () => void): () => void {
    const timer = setTimeout(run, Math.min(delayMs, 2 ** 31 - 1));
    timer.unref();
    return () => clearTimeout(timer);
  }
}

/** A clock that moves only when told to: for tests and simulations. */
export class ManualClock extends Clock {
  private elapsedMs = 0;
  private readonly waiting = new Set<{ dueMs: number; run: () => void }>();

  constructor(private readonly startMs: number) {
    super();
  }

  nowMs(): number {
    return this.startMs + this.elapsedMs;
  }

  monotonicMs(): number {
    return this.elapsedMs;
  }

  schedule(delayMs: number, run: () => void): () => void {
    const entry = { dueMs: this.elapsedMs + delayMs, run };
    this.waiting.add(entry);
    return () => void this.waiting.delete(entry);
  }

  /** Moves the clock, and calls what becomes due on the way in order. */
  advance(byMs: number): void {
    const untilMs = this.elapsedMs + byMs;
    for (;;) {
      const due = [...this.waiting].filter((entry) => entry.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (!due) break;
      this.waiting.delete(due);
      this.elapsedMs = Math.max(this.elapsedMs, due.dueMs);
      due.run();
    }
    this.elapsedMs = untilMs;
  }
}
