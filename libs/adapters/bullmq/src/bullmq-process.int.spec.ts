import type { Job } from '@rekey/ports';
import { bundled, describeOn } from '@rekey/testing';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { BullJobs } from './bull-jobs';
import { removeKeys, testPrefix, until } from './bullmq.testing';
import type { WorkerLine } from './worker.testing';

const QUEUE = 'notices.email';
/** From the death of a process until another has what it had in hand; the machine may be busy. */
const TAKEOVER_MS_MAX = 20_000;

interface Working {
  readonly child: ChildProcess;
  readonly lines: WorkerLine[];
  readonly failures: string[];
  readonly ended: Promise<number | string | null>;
}

describeOn(['redis'], ({ redis: url }) => {
  let folder: string;
  let program: string;
  let prefix: string;
  let jobs: BullJobs;
  let working: Working[];

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'rekey-bullmq-'));
    program = bundled(path.join(__dirname, 'worker.testing.ts'), folder);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  beforeEach(() => {
    prefix = testPrefix();
    jobs = BullJobs.open({ url, prefix, timeoutMs: 25_000, report: () => undefined });
    working = [];
  });
  afterEach(async () => {
    for (const { child } of working) child.kill('SIGKILL');
    await Promise.all(working.map(({ ended }) => ended));
    await jobs.close();
    await removeKeys(url, prefix);
  });

  const start = (): Working => {
    const child = spawn(process.execPath, [program, url, prefix, QUEUE], { stdio: ['ignore', 'pipe', 'pipe'] });
    const lines: WorkerLine[] = [];
    const failures: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line as WorkerLine));
    createInterface({ input: child.stderr }).on('line', (line) => failures.push(line));
    const ended = new Promise<number | string | null>((resolve) =>
      child.once('close', (code, signal) => resolve(code ?? signal)),
    );
    const started = { child, lines, failures, ended };
    working.push(started);
    return started;
  };
  const ran = ({ lines }: Working): string[] =>
    lines.filter((line) => line.startsWith('job ')).map((line) => line.slice(4));
  const someJobs = (count: number, name = 'job'): Job[] =>
    Array.from({ length: count }, (_, index) => ({
      id: `${name}-${index}`,
      queue: QUEUE,
      data: {},
      runAt: new Date(Date.now() + index).toISOString(),
    }));

  it('two processes share the jobs, each done once', async () => {
    const both = [start(), start()];
    const count = 400;
    await until(() => both.every(({ lines }) => lines.includes('ready')));
    await jobs.schedule(someJobs(count));
    await until(() => both.flatMap(ran).length === count);
    for (const each of both) expect(ran(each).length).toBeGreaterThan(0);
    expect(new Set(both.flatMap(ran)).size).toBe(count);
    await until(async () => (await jobs.counts(QUEUE)).running === 0);

    for (const { child } of both) child.kill('SIGTERM');
    expect(await Promise.all(both.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(both.flatMap(({ failures }) => failures)).toEqual([]);
  });

  it('what a process had in hand that was killed is begun by another within some seconds', async () => {
    const first = start();
    await jobs.schedule(someJobs(4, 'hold'));
    await until(() => ran(first).length === 4);
    const second = start();
    await jobs.schedule(someJobs(20));
    await until(() => ran(second).length === 20);
    first.child.kill('SIGKILL');
    expect(await first.ended).toBe('SIGKILL');
    const killedMs = performance.now();
    await until(() => ran(second).length === 24);
    expect(performance.now() - killedMs).toBeLessThan(TAKEOVER_MS_MAX);
    expect(ran(second).slice(20).sort()).toEqual(['hold-0', 'hold-1', 'hold-2', 'hold-3']);
  });
});
