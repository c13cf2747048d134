import { type Job as EngineJob, Worker, WaitingError, type WorkerOptions } from 'bullmq';
import type { RedisLink } from './redis-link';

/**
 * For how long a job belongs to a process that is not heard of; half of it is how often it is heard of. What ran in a
 * process that died begins elsewhere after this and two looks at most.
 */
const LOCK_MS = 8_000;
/** How often it is looked for jobs that belong to nobody. */
const LOOK_MS = 2_000;
/** Wait before the server is asked again where it refused. */
const RETRY_MS = 1_000;
/** More than there will ever be; BullMQ has no word for "without end". */
export const UNLIMITED = 1_000_000_000;

export interface BullWorkerOptions {
  readonly link: RedisLink;
  readonly prefix: string;
  /** From its end on no job is begun. */
  readonly closing: AbortSignal;
}

type Settings = Pick<WorkerOptions, 'concurrency' | 'removeOnFail' | 'settings'>;

/** What is given to BullMQ's worker: resolves when a job is done, throws where it is not. */
export type Work<Data> = (job: EngineJob<Data, void>, token: string | undefined) => Promise<void>;

/** BullMQ's worker as we use it: done jobs are forgotten, and a job is never dead for the processes that died with it. */
export class BullWorker<Data> extends Worker<Data, void> {
  constructor(queue: string, work: Work<Data>, { link, prefix, closing }: BullWorkerOptions, settings: Settings) {
    const take: Work<Data> = async (job, token) => {
      if (!closing.aborted) return work(job, token);
      // It was on its way when the end began.
      await job.moveToWait(token);
      throw new WaitingError();
    };
    super(queue, take, {
      connection: link.workers,
      prefix,
      lockDuration: LOCK_MS,
      stalledInterval: LOOK_MS,
      maxStalledCount: UNLIMITED,
      runRetryDelay: RETRY_MS,
      removeOnComplete: { count: 0 },
      ...settings,
    });
  }

  /** Lets go of everything at once, as a process does that dies: what runs ends unheard. */
  async abandon(): Promise<void> {
    await this.lockManager.close();
    await this.backend.close(true);
  }

  /** The pause after the server refused something; BullMQ's own is 100 ms. */
  override delay(ms = RETRY_MS, aborted?: Parameters<Worker['delay']>[1]): Promise<void> {
    return super.delay(ms, aborted);
  }

  /** By itself, BullMQ makes no pause where it is refused a job. */
  protected override async moveToActive(token: string, name?: string): Promise<EngineJob<Data, void>> {
    try {
      return await super.moveToActive(token, name);
    } catch (error) {
      await this.delay();
      throw error;
    }
  }
}
