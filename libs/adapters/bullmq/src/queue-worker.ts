import type { Instant } from '@rekey/domain';
import { backoffMs, storedCauseOf, type Job, type JobOptions, type JobRun } from '@rekey/ports';
import { DelayedError, type Job as EngineJob, UnrecoverableError } from 'bullmq';
import type { ReportFailure } from './redis-link';
import { BullWorker, type BullWorkerOptions } from './bull-worker';

/** A job as it lies in Redis. */
export interface StoredJob {
  readonly id: string;
  readonly runAt: Instant;
  readonly data: Job['data'];
}

export interface QueueWorkerOptions extends BullWorkerOptions {
  readonly report: ReportFailure;
  /** When the engine is to wake a job that is due at an instant, in milliseconds since 1970 UTC. */
  readonly wakeMs: (dueMs: number) => number;
}

interface Running {
  /** What tells this run of the job from any other: its data and the number of the try. */
  readonly run: string;
  readonly done: Promise<void>;
}

/** Runs the jobs of a queue in this process. */
export class QueueWorker {
  private readonly running = new Map<string, Running>();
  readonly worker: BullWorker<StoredJob>;

  constructor(
    private readonly queue: string,
    engineQueue: string,
    private readonly jobOptions: JobOptions,
    private readonly handler: (run: JobRun) => Promise<void>,
    private readonly options: QueueWorkerOptions,
  ) {
    const { concurrency } = jobOptions;
    this.worker = new BullWorker<StoredJob>(engineQueue, (job, token) => this.take(job, token), options, {
      concurrency,
      settings: { backoffStrategy: (failures) => backoffMs(failures, jobOptions.backoffMs, jobOptions.backoffMaxMs) },
    });
    this.worker.on('error', (error) => options.link.tell(error, { queue }, 'Jobs cannot be taken, or kept.'));
  }

  /** Resolves when no handler runs. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.running.values()].map(({ done }) => done));
  }

  private async take(engineJob: EngineJob<StoredJob, void>, token: string | undefined): Promise<void> {
    const { data: stored, attemptsMade } = engineJob;
    const dueMs = Date.parse(stored.runAt);
    if (dueMs > Date.now()) {
      await engineJob.moveToDelayed(this.options.wakeMs(dueMs), token);
      throw new DelayedError();
    }
    // The job was lost to this process, for Redis was away for too long, and comes to it again: it is running here.
    const run = JSON.stringify([stored, attemptsMade]);
    const known = this.running.get(stored.id);
    if (known?.run === run) return known.done;
    const done = this.run(stored, attemptsMade + 1);
    this.running.set(stored.id, { run, done });
    try {
      await done;
    } finally {
      if (this.running.get(stored.id)?.done === done) this.running.delete(stored.id);
    }
  }

  private async run({ id, runAt, data }: StoredJob, attempt: number): Promise<void> {
    const { queue } = this;
    const last = attempt >= this.jobOptions.attempts;
    try {
      await this.handler({ job: { id, queue, data, runAt }, attempt, last });
    } catch (error) {
      this.options.report({ err: error, queue, job: id }, 'A job failed.');
      const cause = storedCauseOf(error);
      throw last ? new UnrecoverableError(cause) : new Error(cause);
    }
  }
}
