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
  /** Begins every key, so that several systems can share a Redis. Default `rekey`. */
  readonly prefix?: string;
  readonly report: ReportFailure;
  /** How long a call, or each 500 jobs of one, may take. Default 5,000. */
  readonly timeoutMs?: number;
  /** A job that is due later than in this time is looked at once in it. Default 30 days. */
  readonly horizonMs?: number;
}

const PREFIX = 'rekey';
const TIMEOUT_MS = 5_000;
/** How long a probe waits; less than who asks for it waits. */
const PROBE_MS = 1_500;
const HORIZON_MS = 30 * 86_400_000;
/** Jobs that are added, or taken back, in one go. */
const JOBS_PER_CALL = 500;
/** BullMQ's order by due time begins at 0. What is due earlier is due. */
const EARLIEST_MS = 1_000;
/** BullMQ tells of everything that happens in a stream for each queue, which nobody reads here. */
const EVENTS_MAX = 100;

/** A job as it is given to BullMQ. */
interface EngineJob {
  readonly name: string;
  readonly data: StoredJob;
  readonly opts: BulkJobOptions;
}

/**
 * Jobs in Redis, by BullMQ, for any number of processes. They live by the machines' time. What a process had in hand when
 * it died is begun by another within some seconds.
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

  /** Begins to connect, and waits for nobody. Throws `invalid_request` where the URL or the prefix cannot be one. */
  static open(options: BullJobsOptions): BullJobs {
    return new BullJobs(options);
  }

  /** Whether Redis answers now. */
  async status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    try {
      await this.link.run(() => this.link.calls.ping(), PROBE_MS);
      return this.link.isReady() ? { ready: true } : { ready: false, cause: 'Redis gives no work.' };
    } catch {
      return { ready: false, cause: 'Redis does not answer.' };
    }
  }

  // ── What there is to do ────────────────────────────────────────────────────────────────────────────────────────

  async schedule(jobs: readonly Job[]): Promise<void> {
    const queues = new Map<string, EngineJob[]>();
    for (const job of jobs) {
      const known = queues.get(job.queue);
      if (known) known.push(this.engineJob(job));
      else queues.set(job.queue, [this.engineJob(job)]);
    }
    for (const [queue, added] of queues)
      for (const some of inPieces(added)) await this.link.run(() => this.queue(jobQueue(queue)).addBulk(some));
  }

  private engineJob({ id, queue, data, runAt }: Job): EngineJob {
    const dueMs = Date.parse(runAt);
    if (Number.isNaN(dueMs)) throw invalid('runAt', 'Must be an instant.');
    const wakeMs = this.wakeMs(dueMs);
    // What is due by now waits for its turn among those that are; BullMQ would have it in the order of its coming.
    const timestamp = Math.min(Date.now(), wakeMs - 1);
    return {
      name: queue,
      data: { id, runAt, data },
      opts: {
        jobId: engineName(id),
        timestamp,
        delay: wakeMs - timestamp,
        // How often a job is tried is known to who works on its queue, not to who adds it.
        attempts: UNLIMITED,
        backoff: { type: 'of the queue' },
        stackTraceLimit: 0,
      },
    };
  }

  /** BullMQ's order by due time holds until 2039: who is due long after that is put off again and again. */
  private readonly wakeMs = (dueMs: number): number =>
    Math.max(Math.min(dueMs, Date.now() + (this.options.horizonMs ?? HORIZON_MS)), EARLIEST_MS);

  async cancel(queue: string, ids: readonly string[]): Promise<void> {
    for (const some of inPieces(ids)) {
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

  // ── Doing it ───────────────────────────────────────────────────────────────────────────────────────────────────

  async process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.workers.has(queue)) throw new Error(`The queue ${queue} has a handler already.`);
    if (this.closing.signal.aborted) return;
    const { wakeMs } = this;
    const worker = new QueueWorker(queue, jobQueue(queue), options, handler, { ...this.common(), wakeMs });
    this.workers.set(queue, worker);
  }

  /** `patienceMs`: for how long running jobs are waited for at most; what is left begins elsewhere. Default: no limit. */
  close(patienceMs?: number): Promise<void> {
    this.closed ??= this.end(patienceMs);
    return this.closed;
  }

  private async end(patienceMs: number | undefined): Promise<void> {
    this.closing.abort();
    const parts = [...this.workers.values()];
    const bullWorkers = parts.map(({ worker }) => worker);
    const ended = Promise.all(bullWorkers.map((worker) => worker.close()));
    await within(Promise.all(parts.map((part) => part.idle())), patienceMs);
    // With Redis away, what is done cannot be recorded now: it will be done again.
    await within(ended, patienceMs === undefined ? (this.options.timeoutMs ?? TIMEOUT_MS) : 0);
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
    queue.on('error', () => undefined); // The caller is told, or the connection has told it.
    // One whose first words with Redis went wrong would fail for ever.
    queue.waitUntilReady().catch(() => this.queues.delete(name));
    this.queues.set(name, queue);
    return queue;
  }
}

/** Redis keys of a queue; a job's own is `own` and its id. */
const keysOf = (queue: Queue) => ({
  delayed: queue.toKey('delayed'),
  wait: queue.toKey('wait'),
  failed: queue.toKey('failed'),
  own: queue.toKey(''),
});

const inPieces = <T>(all: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / JOBS_PER_CALL) }, (_, piece) =>
    all.slice(piece * JOBS_PER_CALL, (piece + 1) * JOBS_PER_CALL),
  );

/** Resolves with the work, or when the time is over. */
const within = async (work: Promise<unknown>, timeoutMs: number | undefined): Promise<void> => {
  if (timeoutMs === undefined) return void (await work);
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)));
  await Promise.race([work, timeout]);
  clearTimeout(timer);
};
