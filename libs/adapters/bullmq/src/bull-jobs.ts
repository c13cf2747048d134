import { type Instant, invalid } from '@rekey/domain';
import { type DeadJob, type Job, type JobCounts, type JobOptions, type JobRun, Jobs } from '@rekey/ports';
import { type BulkJobOptions, Queue, type QueueOptions } from 'bullmq';
import { engineName, jobQueue } from './names';
import { QueueWorker, type StoredJob } from './queue-worker';
import { RedisLink, type ReportFailure } from './redis-link';
import { REMOVE_DEAD, CANCEL } from './scripts';
import { UNLIMITED } from './bull-worker';

export interface BullJobsOptions {
  /** `redis://user:password@host:port/db`, or `rediss://` for TLS. */
  readonly url: string;
  /** Prefix of every key, so that several systems can share a Redis server. Default `rekey`. */
  readonly prefix?: string;
  readonly report: ReportFailure;
  /** Timeout of a call, or of each batch of 500 jobs, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number;
  /** A job that is due later than this is rescheduled once within this time, in milliseconds. Default 30 days. */
  readonly horizonMs?: number;
}

const PREFIX = 'rekey';
const TIMEOUT_MS = 5_000;
/** Timeout of a health check; shorter than that of its caller. */
const PROBE_MS = 1_500;
const HORIZON_MS = 30 * 86_400_000;
/** Jobs added or cancelled with one request. */
const JOBS_PER_CALL = 500;
/** BullMQ's delays start at 0. An earlier job is overdue anyway. */
const EARLIEST_MS = 1_000;
/** Length of BullMQ's event stream of each queue, which Rekey does not read. */
const EVENTS_MAX = 100;

/** A job as BullMQ takes it. */
interface EngineJob {
  readonly name: string;
  readonly data: StoredJob;
  readonly opts: BulkJobOptions;
}

/**
 * Jobs in Redis with BullMQ, for any number of processes. Due times follow the clocks of the machines. When a process
 * dies, another one restarts its jobs within seconds.
 */
export class BullJobs extends Jobs {
  private readonly link: RedisLink;
  private readonly prefix: string;
  private readonly queues = new Map<string, Queue>();
  private readonly workers = new Map<string, QueueWorker>();
  private readonly closing = new AbortController();
  private closed: Promise<void> | undefined;

  private constructor(private readonly options: BullJobsOptions) {
    super();
    this.prefix = options.prefix ?? PREFIX;
    if (!/^[\w.{}-]{1,64}$/.test(this.prefix))
      throw invalid('redis.prefix', 'Must have 1 to 64 letters, digits, dots, hyphens, underscores or braces.');
    this.link = new RedisLink({ ...options, timeoutMs: options.timeoutMs ?? TIMEOUT_MS });
  }

  /** Returns at once and connects in the background. Throws `invalid_request` if the URL or the prefix is invalid. */
  static open(options: BullJobsOptions): BullJobs {
    return new BullJobs(options);
  }

  /** Returns whether Redis answers now. */
  async status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    try {
      await this.link.run(() => this.link.calls.ping(), PROBE_MS);
      return this.link.isReady()
        ? { ready: true }
        : { ready: false, cause: 'The connection of the workers is not open.' };
    } catch {
      return { ready: false, cause: 'Redis does not answer.' };
    }
  }

  // ── Scheduling ────────────────────────────────────────────────────────────────────────────────────────

  async schedule(jobs: readonly Job[]): Promise<void> {
    const queues = new Map<string, EngineJob[]>();
    for (const job of jobs) {
      const known = queues.get(job.queue);
      if (known) known.push(this.engineJob(job));
      else queues.set(job.queue, [this.engineJob(job)]);
    }
    for (const [queue, added] of queues)
      for (const some of inBatches(added)) await this.link.run(() => this.queue(jobQueue(queue)).addBulk(some));
  }

  private engineJob({ id, queue, data, runAt }: Job): EngineJob {
    const dueMs = Date.parse(runAt);
    if (Number.isNaN(dueMs)) throw invalid('runAt', 'Must be an instant.');
    const wakeMs = this.wakeMs(dueMs);
    // Backdated, so that overdue jobs run in the order of their due times and not of their arrival.
    const timestamp = Math.min(Date.now(), wakeMs - 1);
    return {
      name: queue,
      data: { id, runAt, data },
      opts: {
        jobId: engineName(id),
        timestamp,
        delay: wakeMs - timestamp,
        // The number of attempts is set by the process that runs the queue, not by the one that schedules the job.
        attempts: UNLIMITED,
        backoff: { type: 'of the queue' },
        stackTraceLimit: 0,
      },
    };
  }

  /** BullMQ cannot order due times after 2039, so distant jobs are rescheduled until they are near. */
  private readonly wakeMs = (dueMs: number): number =>
    Math.max(Math.min(dueMs, Date.now() + (this.options.horizonMs ?? HORIZON_MS)), EARLIEST_MS);

  async cancel(queue: string, ids: readonly string[]): Promise<void> {
    for (const some of inBatches(ids)) {
      const { delayed, wait, own } = keysOf(this.queue(jobQueue(queue)));
      await this.link.run(() => this.link.calls.eval(CANCEL, 2, delayed, wait, own, ...some.map(engineName)));
    }
  }

  async dead(queue: string): Promise<DeadJob[]> {
    const jobs = await this.link.run(() => this.queue(jobQueue(queue)).getJobs(['failed'], 0, -1, true));
    return jobs.map(({ data, failedReason, finishedOn }) => ({
      ...(data as StoredJob),
      queue,
      cause: failedReason,
      failedAt: new Date(finishedOn ?? 0).toISOString() satisfies Instant,
    }));
  }

  async removeDead(queue: string, id: string): Promise<void> {
    const { failed, own } = keysOf(this.queue(jobQueue(queue)));
    await this.link.run(() => this.link.calls.eval(REMOVE_DEAD, 1, failed, own, engineName(id)));
  }

  async counts(queue: string): Promise<JobCounts> {
    const counts = await this.link.run(() =>
      this.queue(jobQueue(queue)).getJobCounts('wait', 'delayed', 'active', 'failed'),
    );
    const { wait = 0, delayed = 0, active = 0, failed = 0 } = counts;
    return { waiting: wait + delayed, running: active, dead: failed };
  }

  // ── Running ───────────────────────────────────────────────────────────────────────────────────────────────────

  async process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.workers.has(queue)) throw new Error(`The queue ${queue} has a handler already.`);
    if (this.closing.signal.aborted) return;
    const { wakeMs } = this;
    const worker = new QueueWorker(queue, jobQueue(queue), options, handler, { ...this.common(), wakeMs });
    this.workers.set(queue, worker);
  }

  /** Waits for running jobs, at most `timeoutMs`; other processes restart the rest. Default: no limit. */
  close(timeoutMs?: number): Promise<void> {
    this.closed ??= this.shutDown(timeoutMs);
    return this.closed;
  }

  private async shutDown(timeoutMs: number | undefined): Promise<void> {
    this.closing.abort();
    const queueWorkers = [...this.workers.values()];
    const bullWorkers = queueWorkers.map(({ worker }) => worker);
    const ended = Promise.all(bullWorkers.map((worker) => worker.close()));
    await within(Promise.all(queueWorkers.map((worker) => worker.idle())), timeoutMs);
    // If Redis is unavailable, finished jobs cannot be recorded and will run again.
    await within(ended, timeoutMs === undefined ? (this.options.timeoutMs ?? TIMEOUT_MS) : 0);
    await Promise.all(bullWorkers.map((worker) => worker.abandon()));
    this.link.close();
  }

  private common() {
    const { link, prefix } = this;
    return { link, prefix, report: this.options.report, closing: this.closing.signal };
  }

  private queue(name: string): Queue {
    const known = this.queues.get(name);
    if (known) return known;
    const options: QueueOptions = {
      connection: this.link.calls,
      prefix: this.prefix,
      streams: { events: { maxLen: EVENTS_MAX } },
    };
    const queue = new Queue(name, options);
    queue.on('error', () => undefined); // The caller gets the error, or the connection has reported it.
    // A queue whose first connection failed would fail forever.
    queue.waitUntilReady().catch(() => this.queues.delete(name));
    this.queues.set(name, queue);
    return queue;
  }
}

/** Redis keys of a queue. `own` with a job id is the key of the job. */
const keysOf = (queue: Queue) => ({
  delayed: queue.toKey('delayed'),
  wait: queue.toKey('wait'),
  failed: queue.toKey('failed'),
  own: queue.toKey(''),
});

const inBatches = <T>(all: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / JOBS_PER_CALL) }, (_, batch) =>
    all.slice(batch * JOBS_PER_CALL, (batch + 1) * JOBS_PER_CALL),
  );

/** Resolves when the work is done or the time is over. */
const within = async (work: Promise<unknown>, timeoutMs: number | undefined): Promise<void> => {
  if (timeoutMs === undefined) return void (await work);
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)));
  await Promise.race([work, timeout]);
  clearTimeout(timer);
};
