import { ManualClock } from '@rekey/ports';
import fc from 'fast-check';
import { UsageRecorder, type UsageEntry, type UsageOptions } from './usage';

const START_MS = Date.UTC(2027, 0, 1);
const settle = () => new Promise((resolve) => setImmediate(resolve));
const at = (second: number): string => new Date(START_MS + second * 1000).toISOString();

const setup = (options: Partial<UsageOptions> = {}) => {
  const clock = new ManualClock(START_MS);
  const batches: UsageEntry[][] = [];
  const failures: unknown[] = [];
  const store = { down: false };
  let forgotten = 0;
  const usage = new UsageRecorder({
    clock,
    sink: async (batch) => {
      if (store.down) throw new Error('The view store is away.');
      batches.push(batch);
    },
    onSinkFailed: (error) => failures.push(error),
    onDropped: (uses) => (forgotten += uses),
    ...options,
  });
  const total = () => batches.flat().reduce((sum, { count }) => sum + count, 0);
  return { clock, usage, batches, failures, store, total, forgotten: () => forgotten };
};

describe('UsageRecorder', () => {
  it('passes one entry per secret to the sink, with count, last use and last address', async () => {
    const { usage, batches } = setup();
    usage.record('s1', at(1), '::ffff:10.0.0.1');
    usage.record('s1', at(3), '10.0.0.2');
    usage.record('s1', at(2), '10.0.0.3');
    usage.record('s2', at(1));
    await usage.flush();
    expect(batches).toEqual([
      [
        { id: 's1', count: 3, lastUsedAt: at(3), from: '10.0.0.2' },
        { id: 's2', count: 1, lastUsedAt: at(1) },
      ],
    ]);
  });

  it('omits an invalid address', async () => {
    const { usage, batches } = setup();
    usage.record('s1', at(1), 'not an address');
    await usage.flush();
    expect(batches[0]).toEqual([{ id: 's1', count: 1, lastUsedAt: at(1) }]);
  });

  it('flushes at intervals from its start, and not without entries', async () => {
    const { usage, clock, batches } = setup({ flushEveryMs: 1_000 });
    usage.record('s1', at(0));
    clock.advance(5_000);
    expect(batches).toEqual([]);
    usage.start();
    clock.advance(1_000);
    await settle();
    expect(batches).toHaveLength(1);
    clock.advance(1_000);
    await settle();
    expect(batches).toHaveLength(1);
    usage.record('s1', at(9));
    clock.advance(1_000);
    await settle();
    expect(batches).toHaveLength(2);
    await usage.stop();
  });

  it('flushes the remaining entries when it stops, and nothing afterwards', async () => {
    const { usage, clock, batches } = setup({ flushEveryMs: 1_000 });
    usage.start();
    usage.record('s1', at(0));
    await usage.stop();
    expect(batches).toHaveLength(1);
    clock.advance(10_000);
    await settle();
    expect(batches).toHaveLength(1);
  });

  it('waits for a running flush when it stops, and loses nothing', async () => {
    const { usage, batches, total } = setup({
      sink: async (batch) => {
        await settle();
        batches.push(batch);
      },
    });
    usage.record('s1', at(0));
    void usage.flush();
    usage.record('s2', at(0));
    await usage.stop();
    expect(total()).toBe(2);
  });

  it('keeps entries that the sink rejects, and adds to them', async () => {
    const { usage, store, batches, failures } = setup();
    store.down = true;
    usage.record('s1', at(1), '10.0.0.1');
    usage.record('s2', at(1));
    await usage.flush();
    usage.record('s1', at(2), '10.0.0.2');
    await usage.flush();
    expect(failures).toHaveLength(2);
    store.down = false;
    await usage.flush();
    expect(batches).toEqual([
      [
        { id: 's1', count: 2, lastUsedAt: at(2), from: '10.0.0.2' },
        { id: 's2', count: 1, lastUsedAt: at(1) },
      ],
    ]);
  });

  it('flushes many secrets in batches of 10, and keeps the rejected ones', async () => {
    let taken = 0;
    const sizes: number[] = [];
    const { usage } = setup({
      sink: async (batch) => {
        if (sizes.length === 1) {
          sizes.push(0);
          throw new Error('The view store is away.');
        }
        sizes.push(batch.length);
        taken += batch.length;
      },
    });
    for (let index = 0; index < 25; index++) usage.record(`s${index}`, at(1));
    await usage.flush();
    expect(taken).toBe(10);
    await usage.stop();
    expect(sizes).toEqual([10, 0, 10, 5]);
    expect(taken).toBe(25);
  });

  it('pauses after each batch for three times its duration, except when it stops', async () => {
    const sizes: number[] = [];
    const clock = new ManualClock(START_MS);
    const sink = async (batch: UsageEntry[]): Promise<void> => {
      sizes.push(batch.length);
      clock.advance(40);
    };
    const { usage } = setup({ clock, sink });
    for (let index = 0; index < 45; index++) usage.record(`s${index}`, at(1));
    const flushing = usage.flush();
    await settle();
    clock.advance(119);
    await settle();
    expect(sizes).toEqual([10]);
    clock.advance(1);
    await settle();
    expect(sizes).toEqual([10, 10]);
    await usage.stop();
    await flushing;
    expect(sizes).toEqual([10, 10, 10, 10, 5]);
  });

  it('reports when the last batch failed, and retries', async () => {
    const { usage, store, total } = setup();
    store.down = true;
    usage.record('s1', at(1));
    await expect(usage.stop()).rejects.toThrow('away');
    store.down = false;
    await usage.stop();
    expect(total()).toBe(1);
  });

  it('limits the number of secrets, flushes early, and reports dropped entries', async () => {
    const { usage, store, total, forgotten, failures } = setup({ secretsMax: 10 });
    store.down = true;
    for (let index = 0; index < 25; index++) {
      usage.record(`s${index}`, at(1));
      await settle();
    }
    expect(failures).toHaveLength(1);
    store.down = false;
    await usage.flush();
    expect(total()).toBe(10);
    expect(forgotten()).toBe(15);
    for (let index = 0; index < 5; index++) usage.record(`s${index}`, at(2));
    await settle();
    expect(total()).toBe(15);
  });

  it('loses no use, for any sequence of failures', async () => {
    const steps = fc.array(fc.oneof(fc.nat(5), fc.constantFrom('flush', 'down', 'up')), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const { usage, store, total } = setup();
        let used = 0;
        for (const step of all) {
          if (typeof step === 'number') {
            usage.record(`s${step}`, at(used++));
          } else if (step === 'flush') {
            void usage.flush();
            if (used % 2) await settle();
          } else store.down = step === 'down';
        }
        store.down = false;
        await usage.stop();
        expect(total()).toBe(used);
      }),
      { numRuns: 50 },
    );
  });
});
