import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Clock, EngineUnavailable, type Jobs, ManualClock, SystemClock } from '@rekey/ports';
import { type JobsUnderTest, jobsConformance } from '@rekey/ports/conformance';
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
      // Lets go of its timers; what runs never ends, so neither does this.
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
  let ticks: string[];

  beforeEach(async () => {
    store = await onManualClock();
    jobs = await store.open();
    ticks = [];
  });
  afterEach(() => store.remove());

  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  const tick = async (): Promise<void> => void ticks.push(store.clock.now());
  const restart = async (): Promise<void> => {
    await store.crash();
    jobs = await store.open();
  };

  it('keeps a hundred thousand out of its memory', async () => {
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
    await until(() => ran.length === 1);
    expect(process.memoryUsage().heapUsed - heldBytes).toBeLessThan(20e6);
    expect(ran).toEqual(['near']);
    await jobs.cancel(
      'notices',
      far.map(({ id }) => id),
    );
    expect(await jobs.counts('notices')).toEqual({ waiting: 0, running: 0, dead: 0 });
  });

  it('ticks by the clock of the time zone, summer time included', async () => {
    await jobs.repeat('sweep', '0 0 5 * * *', 'Europe/Zurich', tick);
    store.clock.advance(Date.parse('2027-03-27T03:59:59.999Z') - START_MS);
    await until(() => ticks.length === 1);
    ticks = [];
    for (const instant of ['2027-03-27T04:00:00.000Z', '2027-03-28T03:00:00.000Z', '2027-03-29T03:00:00.000Z']) {
      store.clock.advance(Date.parse(instant) - 1 - store.clock.nowMs());
      await new Promise(setImmediate);
      expect(ticks).not.toContain(instant);
      // Read again and again, because the job goes to sleep anew after each wake-up on the way.
      await until(() => {
        if (store.clock.nowMs() < Date.parse(instant)) store.clock.advance(1);
        else store.clock.advance(0);
        return ticks.length > 0;
      });
      expect(ticks).toEqual([instant]);
      ticks = [];
    }
  });

  it('runs a tick that fell while nobody was there once, when somebody is back', async () => {
    await jobs.repeat('sweep', '0 0 5 * * *', 'UTC', tick);
    await restart();
    store.clock.advance(3 * 24 * 3_600_000);
    await jobs.repeat('sweep', '0 0 5 * * *', 'UTC', tick);
    await until(() => ticks.length === 1);
    await restart();
    await jobs.repeat('sweep', '0 0 5 * * *', 'UTC', tick);
    store.clock.advance(5 * 3_600_000);
    await until(() => ticks.length === 2);
    expect(ticks).toEqual(['2027-01-04T00:00:00.000Z', '2027-01-04T05:00:00.000Z']);
  });

  it('forgets the ticks of an expression that was changed', async () => {
    await jobs.repeat('sweep', '0 0 5 * * *', 'UTC', tick);
    await restart();
    store.clock.advance(6 * 3_600_000);
    await jobs.repeat('sweep', '0 0 7 * * *', 'UTC', tick);
    store.clock.advance(3_600_000);
    await until(() => ticks.length === 1);
    expect(ticks).toEqual(['2027-01-01T07:00:00.000Z']);
  });

  it('gives a tick to one of two who stand by', async () => {
    const other = await store.open();
    await jobs.repeat('sweep', '* * * * * *', 'UTC', tick);
    await other.repeat('sweep', '* * * * * *', 'UTC', tick);
    for (let second = 1; second <= 5; second++) {
      await until(() => {
        store.clock.advance(0);
        return ticks.length >= second - 1;
      });
      store.clock.advance(1_000);
      await until(() => ticks.length >= second);
    }
    expect(new Set(ticks).size).toBe(ticks.length);
  });

  it('says that the store is away', async () => {
    await store.crash();
    const job = { id: 'a', queue: 'notices', data: {}, runAt: store.clock.now() };
    await expect(jobs.schedule([job])).rejects.toThrow(EngineUnavailable);
    await expect(jobs.counts('notices')).rejects.toThrow(EngineUnavailable);
    await expect(jobs.dead('notices')).rejects.toThrow(EngineUnavailable);
  });

  it('refuses a job whose instant is none', async () => {
    const job = { id: 'a', queue: 'notices', data: {}, runAt: 'soon' };
    await expect(jobs.schedule([job])).rejects.toMatchObject({ code: 'invalid_request', details: { field: 'runAt' } });
  });
});
