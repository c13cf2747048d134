import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Clock, EngineUnavailable, type Jobs, ManualClock, SystemClock } from '@rekey/ports';
import { type JobsUnderTest, jobsConformance } from '@rekey/ports/conformance';
import { eventually } from '@rekey/testing';
import { SqliteDatabase } from './sqlite-database';
import { SqliteJobs } from './sqlite-jobs';

const START_MS = Date.parse('2027-01-01T00:00:00.000Z');

const storeOn = async <C extends Clock>(
  clock: C,
  advance: (ms: number) => Promise<void>,
): Promise<JobsUnderTest & { clock: C }> => {
  const folder = await mkdtemp(path.join(tmpdir(), 'rekey-jobs-'));
  let open: { database: SqliteDatabase; jobs: Jobs }[] = [];
  const crash = async (): Promise<void> => {
    for (const { database, jobs } of open) {
      await database.close();
      // Cancels timers. Not awaited, because the running handler never ends.
      void jobs.close();
    }
    open = [];
  };
  return {
    clock,
    advance,
    crash,
    open: async () => {
      const database = await SqliteDatabase.open(folder);
      const jobs = await SqliteJobs.open({ database, clock, report: () => undefined });
      open.push({ database, jobs });
      return jobs;
    },
    remove: () => crash().then(() => rm(folder, { recursive: true })),
  };
};

const onManualClock = (): Promise<JobsUnderTest & { clock: ManualClock }> => {
  const clock = new ManualClock(START_MS);
  return storeOn(clock, async (ms) => clock.advance(ms));
};

jobsConformance('SqliteJobs by a manual clock', onManualClock);
jobsConformance('SqliteJobs by the system clock', () => {
  const clock = new SystemClock();
  return storeOn(clock, (ms) => new Promise((resolve) => setTimeout(resolve, ms)));
});

describe('SqliteJobs', () => {
  let store: Awaited<ReturnType<typeof onManualClock>>;
  let jobs: Jobs;

  beforeEach(async () => {
    store = await onManualClock();
    jobs = await store.open();
  });
  afterEach(() => store.remove());

  it('does not keep a hundred thousand waiting jobs in memory', async () => {
    const far = Array.from({ length: 100_000 }, (_, index) => ({
      id: `far-${index}`,
      queue: 'notices',
      data: {},
      runAt: new Date(START_MS + 1e9 + index).toISOString(),
    }));
    await jobs.schedule(far);
    const ran: string[] = [];
    const options = { attempts: 1, backoffMs: 1, backoffMaxMs: 1, concurrency: 4 };
    const heldBytes = process.memoryUsage().heapUsed;
    await jobs.process('notices', options, async ({ job }) => void ran.push(job.id));
    const near = { id: 'near', queue: 'notices', data: {}, runAt: store.clock.now() };
    await jobs.schedule([near]);
    await eventually(() => ran.length === 1);
    expect(process.memoryUsage().heapUsed - heldBytes).toBeLessThan(20e6);
    expect(ran).toEqual(['near']);
    await jobs.cancel(
      'notices',
      far.map(({ id }) => id),
    );
    expect(await jobs.counts('notices')).toEqual({ waiting: 0, running: 0, dead: 0 });
  });

  it('opens a file of a release that had a table for repeated jobs', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'rekey-jobs-'));
    const database = await SqliteDatabase.open(folder);
    const repeats =
      'CREATE TABLE job_repeats (name TEXT PRIMARY KEY, cron_expression TEXT, timezone TEXT, next_ms INTEGER)';
    await SqliteJobs.open({ database, clock: store.clock, report: () => undefined });
    await database.write([
      { kind: 'run', sql: repeats, params: [] },
      { kind: 'run', sql: 'INSERT INTO job_repeats VALUES (?, ?, ?, ?)', params: ['sweep', '0 0 5 * * *', 'UTC', 1] },
    ]);
    await database.close();

    const reopened = await SqliteDatabase.open(folder);
    const kept = await SqliteJobs.open({ database: reopened, clock: store.clock, report: () => undefined });
    await kept.schedule([{ id: 'a', queue: 'notices', data: {}, runAt: store.clock.now() }]);
    expect(await kept.counts('notices')).toEqual({ waiting: 1, running: 0, dead: 0 });
    await kept.close();
    await reopened.close();
    await rm(folder, { recursive: true });
  });

  it('throws EngineUnavailable if the store cannot be read', async () => {
    await store.crash();
    const job = { id: 'a', queue: 'notices', data: {}, runAt: store.clock.now() };
    await expect(jobs.schedule([job])).rejects.toThrow(EngineUnavailable);
    await expect(jobs.counts('notices')).rejects.toThrow(EngineUnavailable);
    await expect(jobs.dead('notices')).rejects.toThrow(EngineUnavailable);
  });

  it('refuses a job whose runAt is not an instant', async () => {
    const job = { id: 'a', queue: 'notices', data: {}, runAt: 'soon' };
    await expect(jobs.schedule([job])).rejects.toMatchObject({ code: 'invalid_request', details: { field: 'runAt' } });
  });
});
