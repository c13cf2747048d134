import { publicErrorOf } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import { EngineUnavailable } from './event-store';

/** Work to run at an instant. Its id is unique in its queue: scheduling a known id has no effect. */
export interface Job {
  readonly id: string;
  readonly queue: string;
  readonly data: Readonly<Record<string, string | number>>;
  readonly runAt: Instant;
}

export interface JobOptions {
  /** Attempts before a job is dead. */
  readonly attempts: number;
  /** Wait before the second attempt. Doubles with each attempt, up to `backoffMaxMs`. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  readonly concurrency: number;
}

/** An attempt to run a job. `attempt` counts from 1. If `last` is true, a failure makes the job dead. */
export interface JobRun {
  readonly job: Job;
  readonly attempt: number;
  readonly last: boolean;
}

/** A job whose attempts have all failed. It is kept until `removeDead`. */
export interface DeadJob extends Job {
  readonly cause: string;
  readonly failedAt: Instant;
}

/** Returns the text of an error to store with a dead job: public text only. The log has the rest. */
export const storedCauseOf = (error: unknown): string =>
  publicErrorOf(error)?.message ?? (error instanceof EngineUnavailable ? error.message : 'Internal error');

export interface JobCounts {
  readonly waiting: number;
  readonly running: number;
  readonly dead: number;
}

/**
 * Schedules jobs and runs them at least once. Jobs survive a restart, but the engine may lose them with its data: the
 * source of truth is the view `expiry-schedule`, from which the watcher schedules missing jobs again. Methods throw
 * `EngineUnavailable` if the engine is unavailable.
 */
export abstract class Jobs {
  /** Adds jobs. Leaves a job unchanged whose id is waiting, running or dead in its queue. */
  abstract schedule(jobs: readonly Job[]): Promise<void>;

  /** Removes jobs that have not started. Ignores unknown ids. */
  abstract cancel(queue: string, ids: readonly string[]): Promise<void>;

  /** Runs the jobs of a queue when they are due and removes those that succeed. One handler per queue and process. */
  abstract process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void>;

  abstract dead(queue: string): Promise<DeadJob[]>;

  /** Removes a dead job, so that its id can be scheduled again. */
  abstract removeDead(queue: string, id: string): Promise<void>;

  abstract counts(queue: string): Promise<JobCounts>;

  /** Starts no more jobs and waits for the running ones. */
  abstract close(): Promise<void>;
}
