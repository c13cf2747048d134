import { EngineUnavailable, type Job, type JobOptions, type JobRun } from '@rekey/ports';
import { type Proxy, describeOn, proxyTo } from '@rekey/testing';
import { BullJobs, type BullJobsOptions } from './bull-jobs';
import { allText, keysOf, onRedis, removeKeys, testPrefix, until } from './bullmq.testing';
import { jobQueue } from './names';

const OPTIONS: JobOptions = { attempts: 3, backoffMs: 100, backoffMaxMs: 150, concurrency: 4 };
const QUEUE = 'notices.email';
const HOUR_MS = 3_600_000;

const jobIn = (ms: number, id: string, more: Partial<Job> = {}): Job => ({
  id,
  queue: QUEUE,
  data: { secretId: 's-1' },
  runAt: new Date(Date.now() + ms).toISOString(),
  ...more,
});

describeOn(['redis'], ({ redis: url }) => {
  let prefix: string;
  let open: BullJobs[];
  let reported: string[];
  let seen: JobRun[];

  beforeEach(() => {
    prefix = testPrefix();
    open = [];
    reported = [];
    seen = [];
  });
  afterEach(async () => {
    await Promise.all(open.map((jobs) => jobs.close(0)));
    await removeKeys(url, prefix);
  });

  const opened = (more: Partial<BullJobsOptions> = {}): BullJobs => {
    const report = (facts: { err: unknown }, message: string): void =>
      void reported.push(`${message} ${String(facts.err)}`);
    const jobs = BullJobs.open({ url, prefix, timeoutMs: 25_000, report, ...more });
    open.push(jobs);
    return jobs;
  };
  const note = async (run: JobRun): Promise<void> => void seen.push(run);
  const ids = (): string[] => seen.map(({ job }) => job.id);

  it('accepts any id, including numbers and names of BullMQ keys', async () => {
    const odd = [
      '',
      '0',
      '12',
      '-5',
      'NaN',
      '0:1',
      'a:b',
      'a:b:c',
      'a%3a%b',
      'wait',
      'meta',
      '.',
      'x:lock',
      'x',
      '\ud800',
      '\ud801',
    ];
    const jobs = opened();
    await jobs.schedule(odd.map((id) => jobIn(HOUR_MS, id)));
    expect(await jobs.counts(QUEUE)).toEqual({ waiting: odd.length, running: 0, dead: 0 });
    for (const id of odd) await jobs.cancel(QUEUE, [id]);
    expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 0 });

    let fails = true;
    await jobs.process(QUEUE, { ...OPTIONS, attempts: 1 }, async (run) => {
      if (fails) throw new Error('always');
      await note(run);
    });
    await jobs.schedule(odd.map((id) => jobIn(0, id)));
    await until(async () => (await jobs.counts(QUEUE)).dead === odd.length);
    expect((await jobs.dead(QUEUE)).map(({ id }) => id).sort()).toEqual([...odd].sort());
    fails = false;
    for (const id of odd) await jobs.removeDead(QUEUE, id);
    await jobs.schedule(odd.map((id) => jobIn(0, id)));
    await until(() => seen.length === odd.length);
    expect(ids().sort()).toEqual([...odd].sort());
  });

  it('leaves no keys of finished, cancelled or removed jobs', async () => {
    const jobs = opened();
    await jobs.process(QUEUE, { ...OPTIONS, attempts: 1 }, async ({ job }) => {
      if (job.id === 'bad') throw new Error('always');
    });
    await jobs.schedule([jobIn(0, 'done'), jobIn(0, 'bad'), jobIn(HOUR_MS, 'cancelled')]);
    await until(async () => (await jobs.counts(QUEUE)).dead === 1);
    await until(async () => (await jobs.counts(QUEUE)).running === 0);
    await jobs.cancel(QUEUE, ['cancelled']);
    await jobs.removeDead(QUEUE, 'bad');
    const own = (await keysOf(url, prefix)).map((key) => key.slice(`${prefix}:${jobQueue(QUEUE)}:`.length));
    // What BullMQ stores for each queue.
    expect(own.filter((key) => !['meta', 'events', 'id', 'marker', 'stalled', 'stalled-check'].includes(key))).toEqual(
      [],
    );
  });

  it('cancels a job that waits for its next attempt', async () => {
    const jobs = opened();
    await jobs.process(QUEUE, { ...OPTIONS, backoffMs: HOUR_MS, backoffMaxMs: HOUR_MS }, async (run) => {
      await note(run);
      throw new Error('not yet');
    });
    await jobs.schedule([jobIn(0, 'a')]);
    await until(async () => seen.length === 1 && (await jobs.counts(QUEUE)).waiting === 1);
    await jobs.cancel(QUEUE, ['a']);
    expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 0 });
  });

  it('reschedules a job that is due beyond the horizon and runs it once when it is due', async () => {
    const jobs = opened({ horizonMs: 100 });
    const beganMs: number[] = [];
    await jobs.process(QUEUE, OPTIONS, async (run) => {
      beganMs.push(Date.now());
      await note(run);
    });
    const job = jobIn(1_000, 'a');
    const far = jobIn(0, 'far', { runAt: '2040-01-01T00:00:00.000Z' });
    await jobs.schedule([job, far]);
    await until(() => seen.length === 1);
    expect(seen).toEqual([{ job, attempt: 1, last: false }]);
    expect(beganMs[0]).toBeGreaterThanOrEqual(Date.parse(job.runAt));
    await until(async () => (await jobs.counts(QUEUE)).waiting === 1);
    await jobs.cancel(QUEUE, ['far']);
    expect(reported).toEqual([]);
  });

  it('stores a score that BullMQ can order, however distant the job', async () => {
    const jobs = opened();
    await jobs.schedule([
      jobIn(0, 'far', { runAt: '9999-12-31T23:59:59.999Z' }),
      jobIn(0, 'ancient', { runAt: '0001-01-01T00:00:00.000Z' }),
    ]);
    const scores = await onRedis(url, (redis) =>
      redis.zrange(`${prefix}:${jobQueue(QUEUE)}:delayed`, '0', '-1', 'WITHSCORES'),
    );
    for (const score of [scores[1], scores[3]]) {
      expect(Number(score)).toBeGreaterThan(0);
      expect(Number(score)).toBeLessThan(Number.MAX_SAFE_INTEGER);
    }
    await jobs.process(QUEUE, OPTIONS, note);
    await until(() => seen.length === 1);
    expect(ids()).toEqual(['ancient']);
  });

  it('stores only public error text in Redis at any time', async () => {
    const jobs = opened();
    const texts: string[] = [];
    await jobs.process(QUEUE, { ...OPTIONS, attempts: 2, backoffMs: 300 }, async (run) => {
      texts.push(await allText(url, prefix));
      await note(run);
      throw new Error('connect to 10.0.0.1 with hidden-word');
    });
    await jobs.schedule([jobIn(0, 'a')]);
    await until(async () => (await jobs.counts(QUEUE)).dead === 1);
    texts.push(await allText(url, prefix));
    expect(texts).toHaveLength(3);
    expect(texts[1]).toContain('Internal error');
    expect(texts.join()).not.toMatch(/hidden-word|10\.0\.0\.1/);
    expect(reported.filter((text) => text.includes('hidden-word'))).toHaveLength(2);
  });

  it('isolates systems that share a Redis server with different prefixes', async () => {
    const jobs = opened();
    const others = opened({ prefix: `${prefix}-b` });
    try {
      await jobs.process(QUEUE, OPTIONS, note);
      await others.schedule([jobIn(0, 'theirs')]);
      await jobs.schedule([jobIn(0, 'ours')]);
      await until(() => seen.length === 1);
      await jobs.cancel(QUEUE, ['theirs']);
      expect(await others.counts(QUEUE)).toEqual({ waiting: 1, running: 0, dead: 0 });
      expect(ids()).toEqual(['ours']);
    } finally {
      await removeKeys(url, `${prefix}-b`);
    }
  });

  it('closes within the timeout while jobs of two queues are running', async () => {
    const jobs = opened();
    for (const queue of ['a', 'b'])
      await jobs.process(queue, OPTIONS, async (run) => {
        await note(run);
        await new Promise(() => undefined);
      });
    await jobs.schedule([jobIn(0, '1', { queue: 'a' }), jobIn(0, '1', { queue: 'b' })]);
    await until(() => seen.length === 2);
    await jobs.close(50);
    await expect(jobs.schedule([])).resolves.toBeUndefined();
    await expect(jobs.schedule([jobIn(0, 'x')])).rejects.toThrow(EngineUnavailable);
    expect(await jobs.status()).toMatchObject({ ready: false });
  });

  it.each(['', 'a:b', 'a b', 'x'.repeat(65)])('refuses the prefix "%s"', (wrong) => {
    expect(() => opened({ prefix: wrong })).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });

  it('refuses a batch with an invalid instant as a whole', async () => {
    const jobs = opened();
    const wrong = jobs.schedule([jobIn(0, 'a'), jobIn(0, 'b', { runAt: 'soon' })]);
    await expect(wrong).rejects.toMatchObject({ code: 'invalid_request', details: { field: 'runAt' } });
    expect(await jobs.counts(QUEUE)).toMatchObject({ waiting: 0 });
  });

  describe('when the server is unavailable', () => {
    let way: Proxy;
    let far: BullJobs;

    beforeEach(async () => {
      const { hostname, port } = new URL(url);
      way = await proxyTo(hostname, Number(port || 6379));
    });
    afterEach(() => way.down());

    const openFar = (timeoutMs = 1_000): BullJobs =>
      (far = opened({ url: `redis://:hidden-word@127.0.0.1:${way.port}`, timeoutMs }));
    const asked = (): (() => Promise<unknown>)[] => [
      () => far.schedule([jobIn(0, 'refused')]),
      () => far.cancel(QUEUE, ['kept']),
      () => far.dead(QUEUE),
      () => far.removeDead(QUEUE, 'kept'),
      () => far.counts(QUEUE),
    ];
    const allRefused = async (): Promise<void> => {
      const startedMs = performance.now();
      for (const answer of await Promise.allSettled(asked().map((ask) => ask()))) {
        expect(answer.status).toBe('rejected');
        expect((answer as PromiseRejectedResult).reason).toBeInstanceOf(EngineUnavailable);
      }
      expect(performance.now() - startedMs).toBeLessThan(10_000);
      expect(await far.status()).toEqual({ ready: false, cause: 'Redis does not answer.' });
    };
    const back = async (): Promise<void> => {
      await until(async () => (await far.status()).ready);
      await until(() =>
        far.counts(QUEUE).then(
          () => true,
          () => false,
        ),
      );
    };

    it('throws from every call, also before the first connection, and recovers when it is back', async () => {
      const near = opened();
      await near.schedule([jobIn(HOUR_MS, 'kept')]);
      await way.down();
      openFar();
      await far.process(QUEUE, OPTIONS, note);
      await allRefused();
      await way.up();
      await back();
      await near.schedule([jobIn(0, 'a')]);
      await until(() => ids().includes('a'));
      await way.down();
      await allRefused();
      await near.schedule([jobIn(0, 'b')]);
      await way.up();
      await back();
      await until(() => ids().includes('b'));
      // A failed call is not repeated later.
      expect(ids()).toEqual(['a', 'b']);
      expect(await far.counts(QUEUE)).toEqual({ waiting: 1, running: 0, dead: 0 });
      expect(reported.filter((text) => text.startsWith('The Redis server is unavailable.'))).toHaveLength(2);
      expect(reported.join()).not.toContain('hidden-word');
    });

    it('times out when the server does not answer, and recovers when it does', async () => {
      const near = opened();
      openFar();
      await far.process(QUEUE, OPTIONS, note);
      await near.schedule([jobIn(HOUR_MS, 'kept'), jobIn(0, 'a')]);
      await until(() => seen.length === 1);
      way.stall();
      await allRefused();
      way.unstall();
      await back();
      await near.schedule([jobIn(0, 'b')]);
      await until(() => ids().includes('b'));
    });

    it('records a job that finished during the outage and does not run it again', async () => {
      openFar();
      let open = (): void => undefined;
      const opens = new Promise<void>((resolve) => (open = resolve));
      await far.process(QUEUE, OPTIONS, async (run) => {
        await note(run);
        await opens;
      });
      await far.schedule([jobIn(0, 'a')]);
      await until(() => seen.length === 1);
      await way.down();
      open();
      await way.up();
      await until(() =>
        far.counts(QUEUE).then(
          ({ running }) => running === 0,
          () => false,
        ),
      );
      expect(await far.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 0 });
      expect(ids()).toEqual(['a']);
    });

    it('closes within the timeout, also before the first connection', async () => {
      await way.down();
      openFar();
      await far.process(QUEUE, OPTIONS, note);
      await far.close();
      await way.up();
      openFar();
      await far.process(QUEUE, OPTIONS, note);
      await far.schedule([jobIn(0, 'a')]);
      await until(() => seen.length === 1);
      await way.down();
      await far.close();
    });
  });
});
