import { publicErrorOf } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import { EngineUnavailable } from './event-store';

/** Something to do at an instant. The id is deterministic, so that the same job is not added twice. */
export interface Job {
  readonly id: string;
  readonly queue: string;
  readonly data: Readonly<Record<string, string | number>>;
  readonly runAt: Instant;
}

export interface JobOptions {
  /** How often a job is tried before it counts as dead. */
  readonly attempts: number;
  /** Wait before the second try, in milliseconds. Doubles with each try, up to `backoffMaxMs`. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  readonly concurrency: number;
}

/** A try of a job. `attempt` counts from 1. If a `last` one fails, the job is dead. */
export interface JobRun {
  readonly job: Job;
  readonly attempt: number;
  readonly last: boolean;
}

/** A job that has failed for good, kept until it is removed. */
export interface DeadJob extends Job {
  readonly cause: string;
  readonly failedAt: Instant;
}

/** Returns the cause to store with a failed job: only public text. Everything else goes to the log. */
export const storedCauseOf = (error: unknown): string =>
  publicErrorOf(error)?.message ?? (error instanceof EngineUnavailable ? error.message : 'Internal error');

export interface JobCounts {
  readonly waiting: number;
  readonly running: number;
  readonly dead: number;
}

/**
 * Runs jobs at an instant, at least once. Jobs survive a restart, unless the engine loses its data: the view
 * `expiry-schedule` is the source of truth, and the watcher schedules missing jobs again. Every method throws
 * `EngineUnavailable`.
 */
export abstract class Jobs {
  /** Adds jobs. Ignores those whose id is in their queue already, be they waiting, running or dead. */
  abstract schedule(jobs: readonly Job[]): Promise<void>;

  /** Removes jobs that have not started. Ignores unknown ids. */
  abstract cancel(queue: string, ids: readonly string[]): Promise<void>;

  /** Runs the jobs of a queue when they are due, and forgets those that succeed. One handler per queue and process. */
  abstract process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void>;

  abstract dead(queue: string): Promise<DeadJob[]>;

  /** Removes a dead job, so that its id can be scheduled again. */
  abstract removeDead(queue: string, id: string): Promise<void>;

  abstract counts(queue: string): Promise<JobCounts>;

  /** Starts no more jobs, and resolves when the running ones have finished. */
  abstract close(): Promise<void>;
}
