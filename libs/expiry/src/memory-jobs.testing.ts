import {
  EngineUnavailable,
  Jobs,
  backoffMs,
  type DeadJob,
  type Job,
  type JobCounts,
  type JobOptions,
  type JobRun,
  type ManualClock,
} from '@rekey/ports';

/** Jobs in memory. They outlive the watchers, as jobs in a store do. */
export class MemoryJobs extends Jobs {
  readonly known = new Map<
    string,
    { job: Job; dueMs: number; attempts: number; state: 'waiting' | 'running' | 'dead' }
  >();
  private readonly queues = new Map<string, { options: JobOptions; handler: (run: JobRun) => Promise<void> }>();

  /** Makes `process` throw. */
  unavailable = false;

  constructor(private readonly clock: ManualClock) {
    super();
  }

  /** Loses all jobs, as an emptied store does. */
  lose(): void {
    this.known.clear();
  }

  ids(): string[] {
    return [...this.known.values()].map(({ job }) => job.id).sort();
  }

  async schedule(jobs: readonly Job[]): Promise<void> {
    for (const job of jobs) {
      const key = `${job.queue} ${job.id}`;
      if (this.known.has(key)) continue;
      this.known.set(key, { job, dueMs: Date.parse(job.runAt), attempts: 0, state: 'waiting' });
      this.wakeAt(key);
    }
  }

  async cancel(queue: string, ids: readonly string[]): Promise<void> {
    for (const id of ids)
      if (this.known.get(`${queue} ${id}`)?.state === 'waiting') this.known.delete(`${queue} ${id}`);
  }

  async process(queue: string, options: JobOptions, handler: (run: JobRun) => Promise<void>): Promise<void> {
    if (this.unavailable) throw new EngineUnavailable('jobs');
    this.queues.set(queue, { options, handler });
    for (const [key, entry] of this.known) {
      if (entry.job.queue !== queue) continue;
      if (entry.state === 'running') entry.state = 'waiting';
      this.wakeAt(key);
    }
  }

  async dead(queue: string): Promise<DeadJob[]> {
    const dead = [...this.known.values()].filter(({ job, state }) => job.queue === queue && state === 'dead');
    return dead.map(({ job }) => ({ ...job, cause: 'unknown', failedAt: this.clock.now() }));
  }

  async removeDead(queue: string, id: string): Promise<void> {
    if (this.known.get(`${queue} ${id}`)?.state === 'dead') this.known.delete(`${queue} ${id}`);
  }

  async counts(): Promise<JobCounts> {
    return { waiting: this.known.size, running: 0, dead: 0 };
  }

  /** Forgets the handlers, as the end of a process does. */
  async close(): Promise<void> {
    this.queues.clear();
  }

  private wakeAt(key: string): void {
    const entry = this.known.get(key);
    if (entry) this.clock.schedule(Math.max(0, entry.dueMs - this.clock.nowMs()), () => void this.run(key));
  }

  private async run(key: string): Promise<void> {
    const entry = this.known.get(key);
    const queue = entry && this.queues.get(entry.job.queue);
    if (!entry || !queue || entry.state !== 'waiting' || entry.dueMs > this.clock.nowMs()) return;
    entry.state = 'running';
    const attempt = ++entry.attempts;
    const { attempts, ...wait } = queue.options;
    try {
      await queue.handler({ job: entry.job, attempt, last: attempt >= attempts });
      if (this.known.get(key) === entry) this.known.delete(key);
    } catch {
      entry.state = attempt >= attempts ? 'dead' : 'waiting';
      entry.dueMs = this.clock.nowMs() + backoffMs(attempt, wait.backoffMs, wait.backoffMaxMs);
      if (entry.state === 'waiting') this.wakeAt(key);
    }
  }
}
