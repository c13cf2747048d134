import type { Instant } from '@rekey/domain';
import { backoffMs, storedCauseOf, type Job, type JobOptions, type JobRun } from '@rekey/ports';
import { DelayedError, type Job as EngineJob, UnrecoverableError } from 'bullmq';
import type { ReportFailure } from './redis-link';
import { BullWorker, type BullWorkerOptions } from './bull-worker';

/** Data of a job in Redis. */
export interface StoredJob {
  readonly id: string;
  readonly runAt: Instant;
  readonly data: Job['data'];
}

export interface QueueWorkerOptions extends BullWorkerOptions {
  readonly report: ReportFailure;
  /** Returns when BullMQ is to start a job that is due at an instant, both in milliseconds since 1970 UTC. */
  readonly wakeMs: (dueMs: number) => number;
}

interface Running {
  /** Identifies this attempt: data and number of attempts so far. */
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
    this.worker = new BullWorker<StoredJob>(engineQueue, (job, token) => this.process(job, token), options, {
      concurrency,
      settings: { backoffStrategy: (failures) => backoffMs(failures, jobOptions.backoffMs, jobOptions.backoffMaxMs) },
    });
    this.worker.on('error', (error) =>
      options.link.report(error, { queue }, 'Jobs cannot be fetched or their results stored.'),
    );
  }

  /** Resolves when no handler is running. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.running.values()].map(({ done }) => done));
  }

  private async process(engineJob: EngineJob<StoredJob, void>, token: string | undefined): Promise<void> {
    const { data: stored, attemptsMade } = engineJob;
    const dueMs = Date.parse(stored.runAt);
    if (dueMs > Date.now()) {
      await engineJob.moveToDelayed(this.options.wakeMs(dueMs), token);
      throw new DelayedError();
    }
    // This process lost the lock while Redis was unavailable and gets the job again: the first attempt is still running.
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
