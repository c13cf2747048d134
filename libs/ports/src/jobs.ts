import { publicErrorOf } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import { EngineUnavailable } from './event-store';

/** Something to do at an instant. The id is deterministic: a job that is known is not added again. */
export interface Job {
  readonly id: string;
  readonly queue: string;
  readonly data: Readonly<Record<string, string | number>>;
  readonly runAt: Instant;
}

export interface JobOptions {
  /** How often a job is tried before it is dead. */
  readonly attempts: number;
  /** Wait before the second try; doubles with each, up to `backoffMaxMs`. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  readonly concurrency: number;
}

/** A try of a job. `attempt` counts from 1; `last` is true where a failure makes the job dead. */
export interface JobRun {
  readonly job: Job;
  readonly attempt: number;
  readonly last: boolean;
}

/** A job that failed for good, kept until somebody looks. */
export interface DeadJob extends Job {
  readonly cause: string;
  readonly failedAt: Instant;
}

/** What a job's last error may leave with it: public text alone; the rest is in the log. */
export const storedCauseOf = (error: unknown): string =>
  publicErrorOf(error)?.message ?? (error instanceof EngineUnavailable ? error.message : 'Internal error');

export interface JobCounts {
  readonly waiting: number;
  readonly running: number;
  readonly dead: number;
}

/**
 * The clock of the watcher; never the truth, which is the expiry-schedule view. At least once; survives a restart
 * unless the engine loses its data. Throws `EngineUnavailable` where the engine is away.
 */
export abstract class Jobs {
  /** Adds jobs; those whose id is known in their queue (waiting, running or dead) are left as they are. */
  abstract schedule(jobs: readonly Job[]): Promise<void>;

  /** Takes back jobs that have not begun; unknown ids are ignored. */
  abstract cancel(queue: string, ids: readonly string[]): Promise<void>;

  /** Runs the jobs of a queue when they are due. A job that is done is forgotten. One handler a queue and process. */
  abstract process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void>;

  abstract dead(queue: string): Promise<DeadJob[]>;

  /** Forgets a dead job, so that its id can be scheduled again. */
  abstract removeDead(queue: string, id: string): Promise<void>;

  abstract counts(queue: string): Promise<JobCounts>;

  /** Finishes running jobs, starts no more. */
  abstract close(): Promise<void>;
}
