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
    // A dead job has no due time.
    `CREATE TABLE jobs (
       queue TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, run_at TEXT NOT NULL,
       due_ms INTEGER, tries INTEGER NOT NULL DEFAULT 0, cause TEXT, failed_at TEXT,
       PRIMARY KEY (queue, id)
     ) STRICT, WITHOUT ROWID`,
    'CREATE INDEX jobs_due ON jobs (queue, due_ms, id) WHERE due_ms IS NOT NULL',
    'CREATE INDEX jobs_dead ON jobs (queue, failed_at, id) WHERE due_ms IS NULL',
  ],
];

/** Maximum sleep, so that a changed clock or a resumed machine is noticed. */
const SLEEP_MS_MAX = 600_000;
/** Pause before a failed read or write of the store is retried. */
const RETRY_MS = 1_000;
/** Jobs per insert statement. */
const JOBS_PER_STEP = 500;

/** Reports a failure; has the shape of a logger's method. */
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
  /** Jobs whose handler is running or whose result is being stored, by id. */
  readonly running: Map<string, Promise<void>>;
  /** Cancels the scheduled wake-up. */
  cancelWakeUp: () => void;
}

/**
 * Jobs in the embedded store, for one process per folder. Waiting jobs are stored in the order of their due times and read
 * when they are due. Only this process knows which jobs are running, so jobs that ran when it died are due again after a
 * restart.
 */
export class SqliteJobs extends Jobs {
  private readonly queues = new Map<string, Queue>();
  /** Number of running cancellations by job; such a job must not start. */
  private readonly cancelling = new Map<string, number>();
  private readonly closing = new AbortController();

  private constructor(private readonly options: SqliteJobsOptions) {
    super();
  }

  /** Creates missing tables. The caller closes the database, after the jobs. */
  static async open(options: SqliteJobsOptions): Promise<SqliteJobs> {
    await options.database.migrate('jobs', SCHEMA);
    return new SqliteJobs(options);
  }

  // ── Scheduling ────────────────────────────────────────────────────────────────────────────────────────

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
    // The row of a finished job may be deleted before the job leaves `running`.
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

  // ── Processing ───────────────────────────────────────────────────────────────────────────────────────────────────

  async process(name: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.queues.has(name)) throw new Error(`The queue ${name} already has a handler.`);
    this.queues.set(name, { name, options, handler, running: new Map(), cancelWakeUp: () => undefined });
    this.wake(name);
  }

  /** Starts due jobs up to the queue's concurrency and schedules a wake-up for the next one. */
  private wake(name: string): void {
    const queue = this.queues.get(name);
    if (!queue || this.closing.signal.aborted) return;
    queue.cancelWakeUp();
    const { clock } = this.options;
    try {
      const free = queue.options.concurrency - queue.running.size;
      if (free <= 0) return;
      const isFree = ({ id }: JobRow): boolean => !queue.running.has(id) && !this.cancelling.has(keyOf(name, id));
      // Running jobs are among the rows, so that many more are read, plus one for the next wake-up. Jobs being cancelled
      // may take up places too; `cancel` wakes the queue again.
      const rows = this.next(name, free + queue.running.size + 1).filter(isFree);
      const due = rows.filter((row) => row.due_ms <= clock.nowMs()).slice(0, free);
      for (const row of due) queue.running.set(row.id, this.run(queue, row));
      const next = rows[due.length];
      if (!next || queue.running.size >= queue.options.concurrency) return;
      this.sleep(queue, next.due_ms - clock.nowMs());
    } catch (error) {
      this.options.report({ err: error, queue: name }, 'Reading due jobs failed; retrying.');
      this.sleep(queue, RETRY_MS);
    }
  }

  private sleep(queue: Queue, delayMs: number): void {
    const ms = Math.min(Math.max(delayMs, 0), SLEEP_MS_MAX);
    queue.cancelWakeUp = this.options.clock.schedule(ms, () => this.wake(queue.name));
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
      // The caller must add the job to `running` before the handler starts.
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

  /** Stores the result of a job, retrying until it succeeds. The job cannot start again before that. */
  private async store(step: Step, of: { queue: string; job: string }): Promise<void> {
    for (;;)
      try {
        await this.options.database.write([step]);
        return;
      } catch (error) {
        this.options.report({ err: error, ...of }, 'Storing the result of a job failed; retrying.');
        if (this.closing.signal.aborted) return;
        await this.options.clock.sleep(RETRY_MS, this.closing.signal);
      }
  }

  async close(): Promise<void> {
    this.closing.abort();
    for (const queue of this.queues.values()) queue.cancelWakeUp();
    const running = [...this.queues.values()].flatMap((queue) => [...queue.running.values()]);
    await Promise.all(running);
  }
}

const keyOf = (queue: string, id: string): string => JSON.stringify([queue, id]);

const dueMsOf = (runAt: string): number => {
  const dueMs = Date.parse(runAt);
  if (Number.isNaN(dueMs)) throw invalid('runAt', 'Must be an instant (ISO 8601).');
  return dueMs;
};
