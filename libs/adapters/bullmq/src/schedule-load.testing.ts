import type { Job } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { BullJobs } from './bull-jobs';

const COUNT = 100_000;
const HOUR_MS = 3_600_000;
const QUEUE = 'notices.email';

const usedBytes = async (redis: Redis): Promise<number> =>
  Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);

const serverCpuMs = async (redis: Redis): Promise<number> => {
  const info = await redis.info('cpu');
  const [user, system] = ['user', 'sys'].map((kind) => Number(new RegExp(`used_cpu_${kind}:(\\S+)`).exec(info)?.[1]));
  return ((user ?? 0) + (system ?? 0)) * 1_000;
};

/** A job as the expiry watcher schedules it, due within the hour. */
const someJob = (index: number, nowMs: number): Job => {
  const [applicationId, secretId] = [randomUUID(), randomUUID()];
  return {
    id: `notice.${applicationId}.${secretId}.1.5.email`,
    queue: QUEUE,
    data: {
      domainId: 'example',
      applicationId,
      secretId,
      version: 1,
      threshold: 5,
      channel: 'email',
      madeAt: new Date(nowMs).toISOString(),
    },
    runAt: new Date(nowMs + 1_000 + Math.floor((index / COUNT) * HOUR_MS)).toISOString(),
  };
};

/**
 * Measures an empty Redis server; argv is its URL. Prints how long it takes to schedule, reschedule, cancel and run the
 * jobs of an hour. On a busy machine, compare the CPU times.
 */
const measure = async (url: string): Promise<void> => {
  const redis = new Redis(url);
  const jobs = BullJobs.open({ url, prefix: `load-${randomUUID()}`, report: (facts) => console.error(facts.err) });
  await jobs.counts(QUEUE);
  const added = Array.from({ length: COUNT }, (_, index) => someJob(index, Date.now()));
  const timed = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    const [startedMs, ours, theirs] = [performance.now(), process.cpuUsage(), await serverCpuMs(redis)];
    await work();
    const ms = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(ours);
    const cpuMs = [(user + system) / 1_000, (await serverCpuMs(redis)) - theirs].map(Math.round);
    console.log(
      `${what}: ${Math.round((COUNT / ms) * 1_000)}/s; CPU time here ${cpuMs[0]} ms, of Redis ${cpuMs[1]} ms`,
    );
  };
  const emptyBytes = await usedBytes(redis);
  await timed('schedule', () => jobs.schedule(added));
  console.log(
    `memory: ${((await usedBytes(redis)) - emptyBytes) / 1e6} MB, ${JSON.stringify(await jobs.counts(QUEUE))}`,
  );
  await timed('schedule again, all known', () => jobs.schedule(added));
  await timed('cancel', () =>
    jobs.cancel(
      QUEUE,
      added.map(({ id }) => id),
    ),
  );
  await timed('cancel again, none known', () =>
    jobs.cancel(
      QUEUE,
      added.map(({ id }) => id),
    ),
  );
  let done = 0;
  const all = new Promise<void>((resolve) => {
    const options = { attempts: 1, backoffMs: 1, backoffMaxMs: 1, concurrency: 8 };
    void jobs.process(QUEUE, options, async () => void (++done === COUNT && resolve()));
  });
  await jobs.schedule(added.map((job) => ({ ...job, runAt: new Date(0).toISOString() })));
  await timed('run, begun while they were scheduled', () => all);
  await jobs.close();
  redis.disconnect();
};

void measure(process.argv[2] as string);
