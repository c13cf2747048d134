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
  const engine = { away: false };
  let forgotten = 0;
  const usage = new UsageRecorder({
    clock,
    sink: async (batch) => {
      if (engine.away) throw new Error('The view store is away.');
      batches.push(batch);
    },
    onSinkFailed: (error) => failures.push(error),
    onDropped: (uses) => (forgotten += uses),
    ...options,
  });
  const total = () => batches.flat().reduce((sum, { count }) => sum + count, 0);
  return { clock, usage, batches, failures, engine, total, forgotten: () => forgotten };
};

describe('UsageRecorder', () => {
  it('hands on one entry per secret, with count, last use and last address', async () => {
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

  it('hands on no address that is none', async () => {
    const { usage, batches } = setup();
    usage.record('s1', at(1), 'not an address');
    await usage.flush();
    expect(batches[0]).toEqual([{ id: 's1', count: 1, lastUsedAt: at(1) }]);
  });

  it('hands on at intervals from its start, and nothing where there is nothing', async () => {
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

  it('hands on what is left when it stops, and nothing after that', async () => {
    const { usage, clock, batches } = setup({ flushEveryMs: 1_000 });
    usage.start();
    usage.record('s1', at(0));
    await usage.stop();
    expect(batches).toHaveLength(1);
    clock.advance(10_000);
    await settle();
    expect(batches).toHaveLength(1);
  });

  it('waits for a batch under way when it stops, and loses nothing', async () => {
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

  it('keeps what the sink did not take, and adds to it', async () => {
    const { usage, engine, batches, failures } = setup();
    engine.away = true;
    usage.record('s1', at(1), '10.0.0.1');
    usage.record('s2', at(1));
    await usage.flush();
    usage.record('s1', at(2), '10.0.0.2');
    await usage.flush();
    expect(failures).toHaveLength(2);
    engine.away = false;
    await usage.flush();
    expect(batches).toEqual([
      [
        { id: 's1', count: 2, lastUsedAt: at(2), from: '10.0.0.2' },
        { id: 's2', count: 1, lastUsedAt: at(1) },
      ],
    ]);
  });

  it('hands on large numbers of secrets in batches of 10, and keeps those that were not taken', async () => {
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

  it('leaves the store alone after each batch for three times as long as it took, but not where it stops', async () => {
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

  it('says when the last batch was not taken, and takes another try', async () => {
    const { usage, engine, total } = setup();
    engine.away = true;
    usage.record('s1', at(1));
    await expect(usage.stop()).rejects.toThrow('away');
    engine.away = false;
    await usage.stop();
    expect(total()).toBe(1);
  });

  it('counts a bounded number of secrets, hands on early, and says what it forgot', async () => {
    const { usage, engine, total, forgotten, failures } = setup({ secretsMax: 10 });
    engine.away = true;
    for (let index = 0; index < 25; index++) {
      usage.record(`s${index}`, at(1));
      await settle();
    }
    expect(failures).toHaveLength(1);
    engine.away = false;
    await usage.flush();
    expect(total()).toBe(10);
    expect(forgotten()).toBe(15);
    for (let index = 0; index < 5; index++) usage.record(`s${index}`, at(2));
    await settle();
    expect(total()).toBe(15);
  });

  it('loses no use, whatever fails when', async () => {
    const steps = fc.array(fc.oneof(fc.nat(5), fc.constantFrom('flush', 'away', 'back')), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const { usage, engine, total } = setup();
        let used = 0;
        for (const step of all) {
          if (typeof step === 'number') {
            usage.record(`s${step}`, at(used++));
          } else if (step === 'flush') {
            void usage.flush();
            if (used % 2) await settle();
          } else engine.away = step === 'away';
        }
        engine.away = false;
        await usage.stop();
        expect(total()).toBe(used);
      }),
      { numRuns: 50 },
    );
  });
});
