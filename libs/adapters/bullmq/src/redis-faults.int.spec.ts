import { EngineUnavailable, type Job, type JobOptions } from '@rekey/ports';
import { NativeEngine, ownEngine } from '@rekey/testing';
import { rmSync } from 'node:fs';
import { inspect } from 'node:util';
import { BullJobs } from './bull-jobs';
import { onRedis, until } from './bullmq.testing';

const OPTIONS: JobOptions = { attempts: 3, backoffMs: 100, backoffMaxMs: 150, concurrency: 4 };
const QUEUE = 'notices.email';
/** Longer than an unrenewed lock lasts and its expiry takes to be noticed. */
const LOST_MS = 11_000;

const jobNow = (id: string): Job => ({ id, queue: QUEUE, data: {}, runAt: new Date().toISOString() });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const describeWhere = NativeEngine.isAvailable('redis') ? describe : describe.skip;

describeWhere('BullJobs on a faulty Redis server', () => {
  jest.setTimeout(90_000);
  let redis: NativeEngine;
  let open: BullJobs[];
  let reported: unknown[];

  beforeEach(() => {
    redis = ownEngine('redis');
    open = [];
    reported = [];
  });
  afterEach(async () => {
    await Promise.all(open.map((jobs) => jobs.close(0)));
    redis.stop();
    rmSync(redis.folder, { recursive: true, force: true });
  });

  const opened = (timeoutMs = 25_000, url = redis.url): BullJobs => {
    const jobs = BullJobs.open({ url, timeoutMs, report: (...told) => void reported.push(told) });
    open.push(jobs);
    return jobs;
  };
  const reportText = (): string => inspect(reported, { depth: 10, showHidden: true });
  const answers = (jobs: BullJobs): Promise<void> => until(async () => (await jobs.status()).ready);

  it('continues with new jobs after the server lost all data', async () => {
    const jobs = opened();
    const ran: string[] = [];
    let open = (): void => undefined;
    const opens = new Promise<void>((resolve) => (open = resolve));
    await jobs.process(QUEUE, OPTIONS, async ({ job }) => {
      ran.push(job.id);
      if (job.id === 'held') await opens;
    });
    await jobs.schedule([jobNow('held'), { ...jobNow('lost'), runAt: '9999-01-01T00:00:00.000Z' }]);
    await until(() => ran.length === 1);
    await onRedis(redis.url, (client) => client.flushall());
    expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 0 });
    await jobs.schedule([jobNow('a')]);
    open();
    await until(() => ran.length === 2);
    await jobs.schedule([jobNow('held'), jobNow('b')]);
    await until(() => ran.length === 4);
    expect(ran.sort()).toEqual(['a', 'b', 'held', 'held']);
    expect(await jobs.counts(QUEUE)).toEqual({ waiting: 0, running: 0, dead: 0 });
  });

  it('loses no acknowledged job when the server is killed under load, and continues when it is back', async () => {
    const jobs = opened(2_000);
    const worker = opened(2_000);
    const ran = new Set<string>();
    await worker.process(QUEUE, { ...OPTIONS, concurrency: 16 }, async ({ job }) => void ran.add(job.id));
    const acknowledged: string[] = [];
    const write = async (writer: number): Promise<void> => {
      for (let number = 0; ; number++) {
        const ids = [`${writer}-${number}-a`, `${writer}-${number}-b`];
        await jobs.schedule(ids.map(jobNow));
        acknowledged.push(...ids);
        if (acknowledged.length === 1_000) redis.signal('SIGKILL');
      }
    };
    for (const writer of await Promise.allSettled([1, 2, 3, 4].map(write)))
      expect((writer as PromiseRejectedResult).reason).toBeInstanceOf(EngineUnavailable);
    redis.restart();
    const backMs = performance.now();
    await until(() => acknowledged.every((id) => ran.has(id)));
    expect(performance.now() - backMs).toBeLessThan(30_000);
    await until(async () => {
      const { waiting, running } = await jobs.counts(QUEUE).catch(() => ({ waiting: 1, running: 1 }));
      return waiting + running === 0;
    });
    await jobs.schedule([jobNow('after')]);
    await until(() => ran.has('after'));
  });

  it('does not start a running job twice when the server stops for longer than a lock lasts', async () => {
    const jobs = opened(1_000);
    const ran: string[] = [];
    let open = (): void => undefined;
    const opens = new Promise<void>((resolve) => (open = resolve));
    await jobs.process(QUEUE, OPTIONS, async ({ job }) => {
      ran.push(job.id);
      await opens;
    });
    await jobs.schedule([jobNow('a')]);
    await until(() => ran.length === 1);
    redis.signal('SIGSTOP');
    const startedMs = performance.now();
    await expect(jobs.schedule([jobNow('b')])).rejects.toThrow(EngineUnavailable);
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await pause(LOST_MS);
    redis.signal('SIGCONT');
    await answers(jobs);
    // The process loses the lock of the job and gets the job again.
    await until(() => reportText().includes('could not renew'));
    await pause(LOST_MS);
    open();
    await until(async () => {
      const { waiting, running } = await jobs.counts(QUEUE);
      return waiting + running === 0;
    });
    expect(ran.filter((id) => id === 'a')).toEqual(['a']);
  });

  it('throws while the server is out of memory and recovers', async () => {
    const jobs = opened();
    const ran: string[] = [];
    await jobs.schedule([jobNow('first')]);
    await onRedis(redis.url, (client) => client.config('SET', 'maxmemory', '1'));
    await jobs.process(QUEUE, OPTIONS, async ({ job }) => void ran.push(job.id));
    await expect(jobs.schedule([jobNow('refused')])).rejects.toThrow(EngineUnavailable);
    await onRedis(redis.url, (client) => client.config('SET', 'maxmemory', '0'));
    await jobs.schedule([jobNow('second')]);
    await until(() => ran.length === 2);
    expect(ran).toEqual(['first', 'second']);
  });

  it('throws while the server is read-only, without flooding the log, and recovers', async () => {
    const jobs = opened();
    const ran: string[] = [];
    await jobs.process(QUEUE, OPTIONS, async ({ job }) => void ran.push(job.id));
    await jobs.schedule([jobNow('first')]);
    await until(() => ran.length === 1);
    await onRedis(redis.url, (client) => client.replicaof('127.0.0.1', 1));
    await expect(jobs.schedule([jobNow('refused')])).rejects.toThrow(EngineUnavailable);
    await until(() => reportText().includes('READONLY'));
    await pause(3_000);
    expect(reported.length).toBeLessThan(20);
    await onRedis(redis.url, (client) => client.replicaof('NO', 'ONE'));
    await jobs.schedule([jobNow('second')]);
    await until(() => ran.length === 2);
    expect(ran).toEqual(['first', 'second']);
  });

  it.each(['info', '@scripting'])('retries now and then when the server does not allow %s', async (command) => {
    const [user, word] = ['limited', 'hidden-word'];
    await onRedis(redis.url, (client) =>
      client.acl('SETUSER', user, 'on', `>${word}`, '~*', '&*', '+@all', `-${command}`),
    );
    const jobs = opened(1_000, redis.url.replace('//', `//${user}:${word}@`));
    const ran: string[] = [];
    await jobs.process(QUEUE, OPTIONS, async ({ job }) => void ran.push(job.id));
    await expect(jobs.schedule([jobNow('refused')])).rejects.toThrow(EngineUnavailable);
    const soFar = reported.length;
    await pause(3_000);
    expect(reported.length - soFar).toBeLessThan(10);
    expect(reported.length).toBeGreaterThan(0);
    expect(reportText()).not.toContain(word);
    await jobs.close();
  });

  it('sends the password only to the server and does not log it', async () => {
    const password = 'hidden/word';
    await onRedis(redis.url, (client) => client.config('SET', 'requirepass', password));
    const address = redis.url.replace('redis://', '');
    const printed: unknown[] = [];
    const spies = (['log', 'warn', 'error', 'info'] as const).map((way) =>
      jest.spyOn(console, way).mockImplementation((...told) => void printed.push(told)),
    );
    try {
      for (const wrong of ['', ':wrong-hidden%2Fword@', 'nobody:hidden%2Fword@']) {
        reported = [];
        const refused = opened(1_000, `redis://${wrong}${address}`);
        const error = await refused.schedule([jobNow('a')]).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(EngineUnavailable);
        expect(reported).toHaveLength(1);
        expect(inspect([error, reported, printed], { depth: 20, showHidden: true })).not.toMatch(/hidden/);
        await refused.close();
      }
      const jobs = opened(25_000, `redis://:${encodeURIComponent(password)}@${address}/3`);
      const ran: string[] = [];
      await jobs.process(QUEUE, OPTIONS, async ({ job }) => void ran.push(job.id));
      await jobs.schedule([jobNow('a')]);
      await until(() => ran.length === 1);
      redis.signal('SIGKILL');
      await expect(jobs.close()).resolves.toBeUndefined();
      expect(inspect([reported, printed], { depth: 20, showHidden: true })).not.toMatch(/hidden/);
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  });
});
