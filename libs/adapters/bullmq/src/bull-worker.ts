import { type Job as EngineJob, Worker, WaitingError, type WorkerOptions } from 'bullmq';
import type { RedisLink } from './redis-link';

/**
 * How long a process holds a job without renewing its lock; it renews after half of this. When a process dies, another
 * one takes its jobs after this time and two checks for stalled jobs at most.
 */
const LOCK_MS = 8_000;
/** Interval of the check for jobs whose lock has expired. */
const STALLED_CHECK_MS = 2_000;
/** Wait before the next request after the server refused one. */
const RETRY_MS = 1_000;
/** BullMQ has no setting for "unlimited". */
export const UNLIMITED = 1_000_000_000;

export interface BullWorkerOptions {
  readonly link: RedisLink;
  readonly prefix: string;
  /** Once aborted, no job is started. */
  readonly closing: AbortSignal;
}

type Settings = Pick<WorkerOptions, 'concurrency' | 'removeOnFail' | 'settings'>;

/** Processes a job; throws if it fails. */
export type Work<Data> = (job: EngineJob<Data, void>, token: string | undefined) => Promise<void>;

/** BullMQ's worker with our settings: finished jobs are removed, and a job may stall any number of times. */
export class BullWorker<Data> extends Worker<Data, void> {
  constructor(queue: string, work: Work<Data>, { link, prefix, closing }: BullWorkerOptions, settings: Settings) {
    const process: Work<Data> = async (job, token) => {
      if (!closing.aborted) return work(job, token);
      // Fetched while the worker was closing: put it back.
      await job.moveToWait(token);
      throw new WaitingError();
    };
    super(queue, process, {
      connection: link.workers,
      prefix,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: UNLIMITED,
      runRetryDelay: RETRY_MS,
      removeOnComplete: { count: 0 },
      ...settings,
    });
  }

  /** Releases the connections at once, as a killed process does. The results of running jobs are lost. */
  async abandon(): Promise<void> {
    await this.lockManager.close();
    await this.backend.close(true);
  }

  /** The pause after the server refused a request. BullMQ's default is 100 ms. */
  override delay(ms = RETRY_MS, aborted?: Parameters<Worker['delay']>[1]): Promise<void> {
    return super.delay(ms, aborted);
  }

  /** Pauses when the server refuses to hand out a job. Without this, BullMQ retries without a pause. */
  protected override async moveToActive(token: string, name?: string): Promise<EngineJob<Data, void>> {
    try {
      return await super.moveToActive(token, name);
    } catch (error) {
      await this.delay();
      throw error;
    }
  }
}
