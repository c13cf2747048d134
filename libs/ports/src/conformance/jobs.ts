import { RekeyError } from '@rekey/contracts';
import type { Clock } from '../clock';
import type { Job, JobOptions, JobRun, Jobs } from '../jobs';

/** An empty store of jobs, one for each test. */
export interface JobsUnderTest {
  /** The clock that the jobs use. */
  readonly clock: Clock;
  /** A time within which a process certainly takes its next step, in milliseconds. Default 100. */
  readonly shortMs?: number;
  /** Advances a manual clock, or waits. */
  advance(ms: number): Promise<void>;
  /** Opens the jobs as a new process does. One process at a time uses the store. */
  open(): Promise<Jobs>;
  /** Ends the process as `kill -9` does: running jobs never finish. */
  crash(): Promise<void>;
  /** Closes everything and removes the store. */
  remove(): Promise<void>;
}

const OPTIONS: JobOptions = { attempts: 3, backoffMs: 100, backoffMaxMs: 150, concurrency: 4 };
const QUEUE = 'notices';
const HOUR_MS = 3_600_000;

/** Resolves when a condition holds. The timeout of the test applies. */
const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
};

interface Seen extends JobRun {
  readonly beganMs: number;
}

/** Tests that every `Jobs` must pass. */
export const jobsConformance = (name: string, make: () => Promise<JobsUnderTest>): void => {
  describe(`${name} as Jobs`, () => {
    let store: JobsUnderTest;
    let jobs: Jobs;
    let seen: Seen[];
    /** Short for a real clock, and long enough to tell two instants apart. */
    let shortMs: number;

    beforeEach(async () => {
      store = await make();
      shortMs = store.shortMs ?? 100;
      jobs = await store.open();
      seen = [];
    });
    afterEach(() => store.remove());

    const jobIn = (ms: number, id: string, more: Partial<Job> = {}): Job => ({
      id,
      queue: QUEUE,
      data: { secretId: 's-1', version: 2 },
      runAt: new Date(store.clock.nowMs() + ms).toISOString(),
      ...more,
    });
    const ids = (): string[] => seen.map(({ job }) => job.id);
    const note = (run: JobRun): void => void seen.push({ ...run, beganMs: store.clock.nowMs() });
    const process = (
      handler: (run: JobRun) => Promise<void> = async () => undefined,
      options: Partial<JobOptions> = {},
    ): Promise<void> =>
      jobs.process(QUEUE, { ...OPTIONS, ...options }, (run) => {
        note(run);
        return handler(run);
      });
    const finished = (): Promise<void> =>
      until(async () => {
        const { waiting, running } = await jobs.counts(QUEUE);
        return waiting + running === 0;
      });
    /** Advances the clock in small steps until a condition holds. */
    const passUntil = (condition: () => boolean | Promise<boolean>): Promise<void> =>
      until(async () => {
        if (await condition()) return true;
        await store.advance(shortMs / 4);
        return false;
      });
    /** Keeps a handler running until `open` is called. */
    const gate = (): { readonly opened: Promise<void>; readonly open: () => void } => {
      let open = (): void => undefined;
      const opened = new Promise<void>((resolve) => (open = resolve));
      return { opened, open };
    };

    describe('a job', () => {
      it('runs once when it is due, with its data, and is removed', async () => {
        const job = jobIn(shortMs, 'a');
        await process();
        await jobs.schedule([job]);
        expect(await jobs.counts(QUEUE)).toEqual({ waiting: 1, running: 0, dead: 0 });
        await store.advance(shortMs);
        await finished();
        expect(seen).toEqual([{ job, attempt: 1, last: false, beganMs: expect.any(Number) as number }]);
        expect(seen[0]?.beganMs).toBeGreaterThanOrEqual(Date.parse(job.runAt));
        expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 0 });

        await jobs.schedule([jobIn(0, 'a')]);
        await until(() => seen.length === 2);
      });

      it('does not run before it is due, and runs at once if it is overdue', async () => {
        await process();
        await jobs.schedule([jobIn(HOUR_MS, 'later'), jobIn(-HOUR_MS, 'overdue'), jobIn(shortMs, 'soon')]);
        await until(() => seen.length >= 1);
        await store.advance(shortMs);
        await until(() => seen.length === 2);
        expect(ids()).toEqual(['overdue', 'soon']);
        for (const { job, beganMs } of seen) expect(beganMs).toBeGreaterThanOrEqual(Date.parse(job.runAt));
        expect(await jobs.counts(QUEUE)).toMatchObject({ waiting: 1, dead: 0 });
      });

      it('waits for its handler and runs in the order of due times', async () => {
        await jobs.schedule([jobIn(-1, 'third'), jobIn(-20, 'first'), jobIn(-10, 'second')]);
        await process(undefined, { concurrency: 1 });
        await finished();
        expect(ids()).toEqual(['first', 'second', 'third']);
      });

      it('may be due later than a timer can wait', async () => {
        await process();
        await jobs.schedule([jobIn(0, 'far', { runAt: '9999-12-31T00:00:00.000Z' }), jobIn(shortMs, 'near')]);
        await store.advance(shortMs);
        await until(() => seen.length === 1);
        expect(ids()).toEqual(['near']);
        expect(await jobs.counts(QUEUE)).toMatchObject({ waiting: 1 });
      });

      it('runs on time if it is scheduled after a job that is due later', async () => {
        await process();
        await jobs.schedule([jobIn(HOUR_MS, 'later')]);
        await jobs.schedule([jobIn(shortMs, 'sooner')]);
        await store.advance(shortMs);
        await until(() => seen.length === 1);
        expect(ids()).toEqual(['sooner']);
      });

      it('is unchanged if its id is waiting, running or dead already', async () => {
        const first = jobIn(shortMs, 'a', { data: { try: 1 } });
        await jobs.schedule([first, jobIn(0, 'a', { data: { try: 2 } })]);
        await jobs.schedule([jobIn(0, 'a', { data: { try: 3 } })]);
        const held = gate();
        await process(
          async () => {
            await held.opened;
            throw new Error('always');
          },
          { attempts: 1 },
        );
        await store.advance(shortMs);
        await until(() => seen.length === 1);
        expect(seen[0]?.job).toEqual(first);
        await jobs.schedule([jobIn(0, 'a', { data: { try: 4 } })]);
        held.open();
        await until(async () => (await jobs.counts(QUEUE)).dead === 1);
        await jobs.schedule([jobIn(0, 'a', { data: { try: 5 } }), jobIn(0, 'b')]);
        await until(async () => (await jobs.counts(QUEUE)).dead === 2);
        expect(ids()).toEqual(['a', 'b']);
        expect((await jobs.dead(QUEUE)).map(({ data }) => data)).toContainEqual({ try: 1 });
      });

      it('is identified by its queue and id', async () => {
        const other: string[] = [];
        await process();
        await jobs.process('expiries', OPTIONS, async ({ job }) => void other.push(job.id));
        await jobs.schedule([
          jobIn(0, 'a'),
          jobIn(0, 'a', { queue: 'expiries' }),
          jobIn(0, 'b', { queue: 'expiries' }),
        ]);
        await jobs.cancel('elsewhere', ['a']);
        await until(() => seen.length === 1 && other.length === 2);
        expect(other.sort()).toEqual(['a', 'b']);
      });

      it('accepts any text as an id', async () => {
        const odd = ['a.b', "'", '"', '%', 'ä', 'x'.repeat(200), 's-1/2/20/ui'];
        await process();
        await jobs.schedule(odd.map((id) => jobIn(0, id)));
        await finished();
        expect(ids().sort()).toEqual([...odd].sort());
      });
    });

    describe('cancelling', () => {
      it('removes a waiting job', async () => {
        await process();
        await jobs.schedule([jobIn(shortMs, 'a'), jobIn(shortMs, 'b'), jobIn(shortMs, 'c')]);
        await jobs.cancel(QUEUE, ['a', 'c', 'unknown']);
        await jobs.cancel(QUEUE, []);
        await store.advance(shortMs);
        await finished();
        expect(ids()).toEqual(['b']);
      });

      it('allows the id to be scheduled again', async () => {
        await process();
        await jobs.schedule([jobIn(HOUR_MS, 'a')]);
        await jobs.cancel(QUEUE, ['a']);
        await jobs.schedule([jobIn(shortMs, 'a')]);
        await store.advance(shortMs);
        await finished();
        expect(ids()).toEqual(['a']);
      });

      it('does not affect running or dead jobs', async () => {
        const held = gate();
        await process(
          async ({ job }) => {
            await held.opened;
            if (job.id === 'bad') throw new Error('always');
          },
          { attempts: 1 },
        );
        await jobs.schedule([jobIn(0, 'good'), jobIn(0, 'bad')]);
        await until(() => seen.length === 2);
        expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 2, dead: 0 });
        await jobs.cancel(QUEUE, ['good', 'bad']);
        held.open();
        await finished();
        await jobs.cancel(QUEUE, ['bad']);
        expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 1 });
      });
    });

    describe('a failure', () => {
      it('is retried with exponential backoff up to the maximum, then the job is dead', async () => {
        await process(
          async () => {
            throw new RekeyError('unavailable', 'The webhook answered with status 500.');
          },
          { attempts: 4 },
        );
        const job = jobIn(0, 'a');
        await jobs.schedule([job]);
        await passUntil(async () => (await jobs.counts(QUEUE)).dead === 1);
        expect(seen.map(({ attempt, last }) => [attempt, last])).toEqual([
          [1, false],
          [2, false],
          [3, false],
          [4, true],
        ]);
        const waits = seen.slice(1).map(({ beganMs }, index) => beganMs - (seen[index]?.beganMs ?? 0));
        [100, 150, 150].forEach((ms, index) => expect(waits[index]).toBeGreaterThanOrEqual(ms));
        const [dead] = await jobs.dead(QUEUE);
        expect(dead).toMatchObject({ ...job, cause: 'The webhook answered with status 500.' });
        expect(Date.parse(dead?.failedAt ?? '')).toBeGreaterThanOrEqual(seen[3]?.beganMs ?? Infinity);
      });

      it('leaves nothing if a later attempt succeeds', async () => {
        await process(async ({ attempt }) => {
          if (attempt < 3) throw new Error('not yet');
        });
        await jobs.schedule([jobIn(0, 'a')]);
        await passUntil(() => seen.length === 3);
        await finished();
        expect(await jobs.dead(QUEUE)).toEqual([]);
      });

      it('stores only public text with a dead job', async () => {
        await process(
          async () => {
            throw new Error('connect to 10.0.0.1 with hidden-word');
          },
          { attempts: 1 },
        );
        await jobs.schedule([jobIn(0, 'a')]);
        await until(async () => (await jobs.counts(QUEUE)).dead === 1);
        const [dead] = await jobs.dead(QUEUE);
        expect(dead?.cause).not.toBe('');
        expect(JSON.stringify(dead)).not.toMatch(/hidden-word|10\.0\.0\.1/);
      });

      it('does not delay other jobs', async () => {
        await process(
          async ({ job }) => {
            if (job.id === 'bad') throw new Error('always');
          },
          { concurrency: 1 },
        );
        await jobs.schedule([jobIn(-10, 'bad'), jobIn(0, 'good')]);
        await until(() => ids().includes('good'));
      });

      it('allows the id to be scheduled again after removeDead', async () => {
        let fails = true;
        await process(
          async () => {
            if (fails) throw new Error('always');
          },
          { attempts: 1 },
        );
        await jobs.schedule([jobIn(0, 'a'), jobIn(0, 'b')]);
        await until(async () => (await jobs.counts(QUEUE)).dead === 2);
        fails = false;
        await jobs.removeDead(QUEUE, 'a');
        await jobs.removeDead(QUEUE, 'unknown');
        expect((await jobs.dead(QUEUE)).map(({ id }) => id)).toEqual(['b']);
        await jobs.schedule([jobIn(0, 'a'), jobIn(0, 'b')]);
        await until(() => seen.length === 3);
        await finished();
        expect(seen[2]).toMatchObject({ job: { id: 'a' }, attempt: 1 });
        expect(await jobs.counts(QUEUE)).toMatchObject({ dead: 1 });
      });

      it('makes removeDead ignore a job that is not dead', async () => {
        await jobs.schedule([jobIn(0, 'a')]);
        await jobs.removeDead(QUEUE, 'a');
        expect(await jobs.counts(QUEUE)).toMatchObject({ waiting: 1 });
      });
    });

    it('runs jobs concurrently up to the limit', async () => {
      const gates = Array.from({ length: 7 }, gate);
      let running = 0;
      let most = 0;
      await process(
        async () => {
          most = Math.max(most, ++running);
          await gates[seen.length - 1]?.opened;
          running--;
        },
        { concurrency: 3 },
      );
      await jobs.schedule(gates.map((_, index) => jobIn(0, `job-${index}`)));
      for (let index = 0; index < gates.length; index++) {
        await until(() => seen.length === Math.min(gates.length, index + 3));
        gates[index]?.open();
      }
      await finished();
      expect(most).toBe(3);
      expect(new Set(ids()).size).toBe(7);
    });

    it('runs each of 1,000 jobs once', async () => {
      await process(undefined, { concurrency: 16 });
      await jobs.schedule(Array.from({ length: 1_000 }, (_, index) => jobIn(0, `job-${index}`)));
      await finished();
      expect(seen).toHaveLength(1_000);
      expect(new Set(ids()).size).toBe(1_000);
    });

    it('refuses a second handler for a queue', async () => {
      await process();
      await expect(process()).rejects.toThrow();
    });

    describe('a process', () => {
      it('finishes its running jobs on close and leaves the rest to the next process', async () => {
        const held = gate();
        await process(() => held.opened, { concurrency: 1 });
        await jobs.schedule([jobIn(0, 'a'), jobIn(0, 'b'), jobIn(shortMs, 'c')]);
        await until(() => seen.length === 1);
        let closed = false;
        const closing = jobs.close().then(() => (closed = true));
        await store.advance(shortMs);
        expect(closed).toBe(false);
        held.open();
        await closing;
        expect(ids()).toEqual(['a']);

        await store.crash();
        jobs = await store.open();
        await process();
        await until(() => seen.length === 3);
        expect(ids()).toEqual(['a', 'b', 'c']);
      });

      it('leaves running, waiting and dead jobs to the next process when it is killed', async () => {
        await process(
          async ({ job }) => {
            if (job.id === 'bad') throw new Error('always');
            await new Promise(() => undefined);
          },
          { attempts: 1 },
        );
        await jobs.schedule([jobIn(0, 'bad'), jobIn(0, 'runs'), jobIn(shortMs, 'waits')]);
        await until(async () => seen.length === 2 && (await jobs.counts(QUEUE)).dead === 1);
        const dead = await jobs.dead(QUEUE);
        await store.crash();

        seen = [];
        jobs = await store.open();
        expect(await jobs.dead(QUEUE)).toEqual(dead);
        await process();
        await passUntil(() => ids().includes('runs'));
        await passUntil(() => ids().includes('waits'));
        await finished();
        expect(ids().sort()).toEqual(['runs', 'waits']);
        expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 1 });
      });
    });
  });
};
