import { Worker } from 'bullmq';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What this library relies on in BullMQ beyond its documented API. Each test names the code that relies on it: when one
 * fails after an upgrade, change that code first, then the version below and in package.json.
 */
const VERSION = '6.7.0';

/** Stands in for Redis. */
class FakeBackend extends EventEmitter {
  readonly qualifiedName = 'p:q';
  readonly keys = {};
  readonly minimumBlockTimeout = 0.001;
  readonly closed: boolean[] = [];
  readonly toKey = (type: string): string => `p:q:${type}`;
  readonly waitUntilReady = async (): Promise<void> => undefined;
  readonly moveToActive = jest.fn().mockResolvedValue([null, null, 0, 0]);
  readonly waitForJob = jest.fn().mockRejectedValue(new Error('ERR refused'));
  readonly reconnectBlocking = async (): Promise<void> => undefined;
  readonly close = async (force: boolean): Promise<void> => void this.closed.push(force);
}

/** Overrides what `BullWorker` overrides. */
class ProbedWorker extends Worker<unknown, void> {
  readonly calls: unknown[][] = [];

  constructor(fake: FakeBackend) {
    const options = { connection: {}, autorun: false };
    super('q', async () => undefined, options, (() => fake) as never);
  }

  override async delay(...args: Parameters<Worker['delay']>): Promise<void> {
    this.calls.push(['delay', ...args]);
  }

  protected override async moveToActive(token: string, name?: string): Promise<never> {
    this.calls.push(['moveToActive', token]);
    return super.moveToActive(token, name) as Promise<never>;
  }

  abandon(): Promise<void> {
    return this.lockManager.close();
  }

  get internals() {
    return { lockManager: this.lockManager, backend: this.backend };
  }
}

describe('internals of BullMQ', () => {
  let fake: FakeBackend;
  let worker: ProbedWorker;

  beforeEach(() => {
    fake = new FakeBackend();
    worker = new ProbedWorker(fake);
    worker.on('error', () => undefined);
  });

  it('are those of the version that package.json pins', () => {
    const file = readFileSync(path.join(__dirname, '../../../../package.json'), 'utf8');
    const { dependencies } = JSON.parse(file) as { dependencies: Record<string, string> };
    const { version } = jest.requireActual<{ version: string }>('bullmq/package.json');
    expect([dependencies['bullmq'], version]).toEqual([VERSION, VERSION]);
  });

  it('fetch each job by moveToActive, for the pause after a refusal in bull-worker.ts', async () => {
    await worker.getNextJob('token', { block: false });
    expect(worker.calls).toEqual([['moveToActive', 'token']]);
    fake.moveToActive.mockRejectedValueOnce(new Error('READONLY'));
    await expect(worker.getNextJob('token', { block: false })).rejects.toThrow('READONLY');
  });

  it('pause by delay without arguments when waiting for a job fails, for RETRY_MS in bull-worker.ts', async () => {
    // An empty queue makes the next fetch wait for a job.
    await worker.getNextJob('token');
    await worker.getNextJob('token');
    expect(fake.waitForJob).toHaveBeenCalled();
    expect(worker.calls).toContainEqual(['delay']);
  });

  it('stop renewing locks when the lock manager is closed, for BullWorker.abandon in bull-worker.ts', async () => {
    const { lockManager } = worker.internals;
    lockManager.start();
    expect(lockManager.isRunning()).toBe(true);
    lockManager.trackJob('id', 'token', Date.now());
    await worker.abandon();
    expect(lockManager.isRunning()).toBe(false);
    expect(lockManager.getActiveJobCount()).toBe(0);
    lockManager.start();
    expect(lockManager.isRunning()).toBe(false);
  });

  it('own their connections through backend.close(force), for BullWorker.abandon in bull-worker.ts', async () => {
    expect(worker.internals.backend).toBe(fake);
    await worker.close(true);
    expect(fake.closed).toEqual([true]);
  });
});
