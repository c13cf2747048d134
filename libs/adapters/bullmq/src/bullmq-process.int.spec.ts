import type { Job } from '@rekey/ports';
import { TestProcess, bundled, describeOn } from '@rekey/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BullJobs } from './bull-jobs';
import { removeKeys, testPrefix, until } from './bullmq.testing';
import type { WorkerLine } from './worker.testing';

const QUEUE = 'notices.email';
/** Time until another process has the jobs of a killed one, on a busy machine. */
const TAKEOVER_MS_MAX = 20_000;

describeOn(['redis'], ({ redis: url }) => {
  let folder: string;
  let program: string;
  let prefix: string;
  let jobs: BullJobs;
  let workers: TestProcess[];

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'rekey-bullmq-'));
    program = bundled(path.join(__dirname, 'worker.testing.ts'), folder);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  beforeEach(() => {
    prefix = testPrefix();
    jobs = BullJobs.open({ url, prefix, timeoutMs: 25_000, report: () => undefined });
    workers = [];
  });
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.kill()));
    await jobs.close();
    await removeKeys(url, prefix);
  });

  const start = (): TestProcess => {
    const worker = new TestProcess(program, { args: [url, prefix, QUEUE] });
    workers.push(worker);
    return worker;
  };
  const linesOf = ({ outputLines }: TestProcess): WorkerLine[] => outputLines as WorkerLine[];
  const ran = (worker: TestProcess): string[] =>
    linesOf(worker)
      .filter((line) => line.startsWith('job '))
      .map((line) => line.slice(4));
  const someJobs = (count: number, name = 'job'): Job[] =>
    Array.from({ length: count }, (_, index) => ({
      id: `${name}-${index}`,
      queue: QUEUE,
      data: {},
      runAt: new Date(Date.now() + index).toISOString(),
    }));

  it('runs each job once in one of two processes', async () => {
    const both = [start(), start()];
    const count = 400;
    await until(() => both.every((worker) => linesOf(worker).includes('ready')));
    await jobs.schedule(someJobs(count));
    await until(() => both.flatMap(ran).length === count);
    for (const each of both) expect(ran(each).length).toBeGreaterThan(0);
    expect(new Set(both.flatMap(ran)).size).toBe(count);
    await until(async () => (await jobs.counts(QUEUE)).running === 0);

    expect(await Promise.all(both.map((worker) => worker.stop()))).toEqual([0, 0]);
    expect(both.flatMap(({ errorLines }) => errorLines)).toEqual([]);
  });

  it('restarts the jobs of a killed process in another one within seconds', async () => {
    const first = start();
    await jobs.schedule(someJobs(4, 'hold'));
    await until(() => ran(first).length === 4);
    const second = start();
    await jobs.schedule(someJobs(20));
    await until(() => ran(second).length === 20);
    await first.kill();
    expect(await first.exited).toBe('SIGKILL');
    const killedMs = performance.now();
    await until(() => ran(second).length === 24);
    expect(performance.now() - killedMs).toBeLessThan(TAKEOVER_MS_MAX);
    expect(ran(second).slice(20).sort()).toEqual(['hold-0', 'hold-1', 'hold-2', 'hold-3']);
  });
});
