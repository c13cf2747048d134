import { invalid } from '@rekey/domain';
import {
  backoffMs,
  type Clock,
  type DeadJob,
  storedCauseOf,
  type Job,
  type JobCounts,
  type JobOptions,
  type JobRun,
  Jobs,
} from '@rekey/ports';
import type { SqliteDatabase } from './sqlite-database';
import type { Step } from './sqlite-statement';

const SCHEMA = [
  [
    // A dead job is one without a due time.
    `CREATE TABLE jobs (
       queue TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, run_at TEXT NOT NULL,
       due_ms INTEGER, tries INTEGER NOT NULL DEFAULT 0, cause TEXT, failed_at TEXT,
       PRIMARY KEY (queue, id)
     ) STRICT, WITHOUT ROWID`,
    'CREATE INDEX jobs_due ON jobs (queue, due_ms, id) WHERE due_ms IS NOT NULL',
    'CREATE INDEX jobs_dead ON jobs (queue, failed_at, id) WHERE due_ms IS NULL',
  ],
];

/** The longest sleep, so that a wall clock that was set or a machine that was suspended is noticed. */
const SLEEP_MS_MAX = 600_000;
/** Wait before the store is asked again after it was away. */
const RETRY_MS = 1_000;
/** Jobs a write. */
const JOBS_PER_STEP = 500;

/** Where failures are told; the same shape as a logger's method. */
export type ReportFailure = (facts: { err: unknown; queue?: string; job?: string }, message: string) => void;

export interface SqliteJobsOptions {
  readonly database: SqliteDatabase;
  readonly clock: Clock;
  readonly report: ReportFailure;
}

interface JobRow {
  readonly id: string;
  readonly data: string;
  readonly run_at: string;
  readonly due_ms: number;
  readonly tries: number;
}

interface Queue {
  readonly name: string;
  readonly options: JobOptions;
  readonly handler: (run: JobRun) => Promise<void>;
  /** Ids whose handler runs, or whose end is being stored. */
  readonly running: Map<string, Promise<void>>;
  /** Takes back the wake-up that is set. */
  sleeping: () => void;
}

/**
 * Jobs in the embedded store, for one process a folder. What waits lies in the file, in order of its due time, and is
 * read when it falls due; what runs is known by this process alone, so what ran when it died is due when it is back.
 */
export class SqliteJobs extends Jobs {
  private readonly queues = new Map<string, Queue>();
  /** Ids that are being taken back; they must not begin meanwhile. */
  private readonly cancelling = new Map<string, number>();
  private readonly closing = new AbortController();

  private constructor(private readonly options: SqliteJobsOptions) {
    super();
  }

  /** Makes its tables where they are missing. The database stays the caller's to close, after these jobs. */
  static async open(options: SqliteJobsOptions): Promise<SqliteJobs> {
    await options.database.migrate('jobs', SCHEMA);
    return new SqliteJobs(options);
  }

  // ── What there is to do ────────────────────────────────────────────────────────────────────────────────────────

  async schedule(jobs: readonly Job[]): Promise<void> {
    const steps: Step[] = [];
    for (let from = 0; from < jobs.length; from += JOBS_PER_STEP) {
      const rows = jobs.slice(from, from + JOBS_PER_STEP);
      steps.push({
        kind: 'run',
        sql:
          `INSERT INTO jobs (queue, id, data, run_at, due_ms) VALUES ${rows.map(() => '(?, ?, ?, ?, ?)').join(', ')} ` +
          'ON CONFLICT (queue, id) DO NOTHING',
        params: rows.flatMap(({ queue, id, data, runAt }) => [queue, id, JSON.stringify(data), runAt, dueMsOf(runAt)]),
      });
    }
    if (steps.length === 0) return;
    await this.options.database.write(steps);
    for (const queue of new Set(jobs.map((job) => job.queue))) this.wake(queue);
  }

  async cancel(queue: string, ids: readonly string[]): Promise<void> {
    const waiting = ids.filter((id) => !this.queues.get(queue)?.running.has(id));
    if (waiting.length === 0) return;
    const keys = waiting.map((id) => keyOf(queue, id));
    for (const key of keys) this.cancelling.set(key, (this.cancelling.get(key) ?? 0) + 1);
    try {
      const sql = 'DELETE FROM jobs WHERE queue = ? AND due_ms IS NOT NULL AND id IN (SELECT value FROM json_each(?))';
      await this.options.database.write([{ kind: 'run', sql, params: [queue, JSON.stringify(waiting)] }]);
    } finally {
      for (const key of keys) {
        const count = (this.cancelling.get(key) ?? 1) - 1;
        if (count > 0) this.cancelling.set(key, count);
        else this.cancelling.delete(key);
      }
      this.wake(queue);
    }
  }

  async dead(queue: string): Promise<DeadJob[]> {
    return this.options.database
      .prepare<{ id: string; data: string; run_at: string; cause: string; failed_at: string }>(
        'SELECT id, data, run_at, cause, failed_at FROM jobs WHERE queue = ? AND due_ms IS NULL ORDER BY failed_at, id',
      )
      .all([queue])
      .map(({ id, data, run_at, cause, failed_at }) => ({
        id,
        queue,
        data: JSON.parse(data) as Job['data'],
        runAt: run_at,
        cause,
        failedAt: failed_at,
      }));
  }

  async removeDead(queue: string, id: string): Promise<void> {
    const sql = 'DELETE FROM jobs WHERE queue = ? AND id = ? AND due_ms IS NULL';
    await this.options.database.write([{ kind: 'run', sql, params: [queue, id] }]);
  }

  async counts(queue: string): Promise<JobCounts> {
    // A job that has just been done may still be in hand when its row is gone.
    const running = [...(this.queues.get(queue)?.running.keys() ?? [])];
    const row = this.options.database
      .prepare<{ waiting: number; dead: number }>(
        `SELECT (SELECT count(*) FROM jobs WHERE queue = ?1 AND due_ms IS NOT NULL
                   AND id NOT IN (SELECT value FROM json_each(?2))) AS waiting,
                (SELECT count(*) FROM jobs WHERE queue = ?1 AND due_ms IS NULL) AS dead`,
      )
      .get([queue, JSON.stringify(running)]) ?? { waiting: 0, dead: 0 };
    return { ...row, running: running.length };
  }

  // ── Doing it ───────────────────────────────────────────────────────────────────────────────────────────────────

  async process(name: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.queues.has(name)) throw new Error(`The queue ${name} has a handler already.`);
    this.queues.set(name, { name, options, handler, running: new Map(), sleeping: () => undefined });
    this.wake(name);
  }

  /** Begins what is due, as far as the queue's concurrency allows, and sleeps until the next is. */
  private wake(name: string): void {
    const queue = this.queues.get(name);
    if (!queue || this.closing.signal.aborted) return;
    queue.sleeping();
    const { clock } = this.options;
    try {
      const free = queue.options.concurrency - queue.running.size;
      if (free <= 0) return;
      const isFree = ({ id }: JobRow): boolean => !queue.running.has(id) && !this.cancelling.has(keyOf(name, id));
      // As many more as run already, so that all that may begin are among them, and the one after them. What is being
      // taken back may stand in their way; `cancel` wakes the queue again.
      const rows = this.next(name, free + queue.running.size + 1).filter(isFree);
      const due = rows.filter((row) => row.due_ms <= clock.nowMs()).slice(0, free);
      for (const row of due) queue.running.set(row.id, this.run(queue, row));
      const next = rows[due.length];
      if (!next || queue.running.size >= queue.options.concurrency) return;
      this.sleep(queue, next.due_ms - clock.nowMs());
    } catch (error) {
      this.options.report({ err: error, queue: name }, 'Jobs cannot be read.');
      this.sleep(queue, RETRY_MS);
    }
  }

  private sleep(queue: Queue, delayMs: number): void {
    const ms = Math.min(Math.max(delayMs, 0), SLEEP_MS_MAX);
    queue.sleeping = this.options.clock.schedule(ms, () => this.wake(queue.name));
  }

  private next(queue: string, limit: number): JobRow[] {
    return this.options.database
      .prepare<JobRow & Record<string, unknown>>(
        'SELECT id, data, run_at, due_ms, tries FROM jobs WHERE queue = ? AND due_ms IS NOT NULL ORDER BY due_ms, id LIMIT ?',
      )
      .all([queue, limit]);
  }

  private async run(queue: Queue, row: JobRow): Promise<void> {
    const { name, options, handler } = queue;
    const attempt = row.tries + 1;
    let end: Step = { kind: 'run', sql: 'DELETE FROM jobs WHERE queue = ? AND id = ?', params: [name, row.id] };
    try {
      // Not before the caller has noted that it runs.
      await Promise.resolve();
      const job: Job = { id: row.id, queue: name, data: JSON.parse(row.data) as Job['data'], runAt: row.run_at };
      await handler({ job, attempt, last: attempt >= options.attempts });
    } catch (error) {
      this.options.report({ err: error, queue: name, job: row.id }, 'A job failed.');
      end = this.failed(queue, row, attempt, error);
    }
    await this.store(end, { queue: name, job: row.id });
    queue.running.delete(row.id);
    this.wake(name);
  }

  private failed({ name, options }: Queue, row: JobRow, attempt: number, error: unknown): Step {
    const { clock } = this.options;
    if (attempt >= options.attempts)
      return {
        kind: 'run',
        sql: 'UPDATE jobs SET due_ms = NULL, tries = ?, cause = ?, failed_at = ? WHERE queue = ? AND id = ?',
        params: [attempt, storedCauseOf(error), clock.now(), name, row.id],
      };
    const waitMs = backoffMs(attempt, options.backoffMs, options.backoffMaxMs);
    return {
      kind: 'run',
      sql: 'UPDATE jobs SET due_ms = ?, tries = ? WHERE queue = ? AND id = ?',
      params: [clock.nowMs() + waitMs, attempt, name, row.id],
    };
  }

  /** Stores how a job ended, as soon as the store can; a job is not begun again before. */
  private async store(step: Step, of: { queue: string; job: string }): Promise<void> {
    for (;;)
      try {
        await this.options.database.write([step]);
        return;
      } catch (error) {
        this.options.report({ err: error, ...of }, 'The end of a job cannot be stored.');
        if (this.closing.signal.aborted) return;
        await this.options.clock.sleep(RETRY_MS, this.closing.signal);
      }
  }

  async close(): Promise<void> {
    this.closing.abort();
    for (const queue of this.queues.values()) queue.sleeping();
    const running = [...this.queues.values()].flatMap((queue) => [...queue.running.values()]);
    await Promise.all(running);
  }
}

const keyOf = (queue: string, id: string): string => JSON.stringify([queue, id]);

const dueMsOf = (runAt: string): number => {
  const dueMs = Date.parse(runAt);
  if (Number.isNaN(dueMs)) throw invalid('runAt', 'Must be an instant.');
  return dueMs;
};
