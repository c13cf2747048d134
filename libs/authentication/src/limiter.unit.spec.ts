import { ManualClock } from '@rekey/ports';
import fc from 'fast-check';
import { FailureLimiter, sourceKey } from './limiter';

const START_MS = Date.UTC(2027, 0, 1);
const limits = { failuresMax: 3, windowMs: 60_000, pairsMax: 100, slowConcurrency: 2 };

const setup = (options = {}) => {
  const clock = new ManualClock(START_MS);
  return { clock, limiter: new FailureLimiter(clock, { ...limits, ...options }) };
};

const failTimes = (limiter: FailureLimiter, times: number, client: string | undefined, source = '10.0.0.1') =>
  Array.from({ length: times }, () => limiter.failed(client, source));

describe('FailureLimiter', () => {
  it('allows a number of failures and then returns how long to wait', () => {
    const { limiter, clock } = setup();
    expect(failTimes(limiter, 3, 'app')).toEqual([undefined, undefined, undefined]);
    clock.advance(500);
    expect(limiter.failed('app', '10.0.0.1')).toBe(60);
    clock.advance(59_400);
    expect(limiter.failed('app', '10.0.0.1')).toBe(1);
  });

  it('resets the count when the window ends', () => {
    const { limiter, clock } = setup();
    failTimes(limiter, 10, 'app');
    clock.advance(60_000);
    expect(failTimes(limiter, 4, 'app')).toEqual([undefined, undefined, undefined, 60]);
  });

  it('counts each client and each source separately', () => {
    const { limiter } = setup();
    failTimes(limiter, 10, 'app');
    expect(limiter.failed('other', '10.0.0.1')).toBeUndefined();
    expect(limiter.failed('app', '10.0.0.2')).toBeUndefined();
    expect(limiter.failed(undefined, '10.0.0.1')).toBeUndefined();
  });

  it('counts all unknown clients of a source together', () => {
    const { limiter } = setup();
    failTimes(limiter, 3, undefined);
    expect(limiter.failed(undefined, '10.0.0.1')).toBe(60);
    expect(limiter.size).toBe(1);
  });

  it('limits the number of counts', () => {
    const { limiter } = setup();
    for (let index = 0; index < 10_000; index++) limiter.failed('app', `10.${index >> 8}.${index & 255}.1`);
    expect(limiter.size).toBe(100);
  });

  it('treats all spellings of an address, and an IPv6 /64 network, as one source', () => {
    expect(sourceKey('::ffff:10.0.0.1')).toBe(sourceKey('10.0.0.1'));
    expect(sourceKey('2001:db8:1:2::1')).toBe(sourceKey('2001:db8:1:2:ffff::9'));
    expect(sourceKey('2001:db8:1:2::1')).not.toBe(sourceKey('2001:db8:1:3::1'));
    expect(sourceKey('2001:db8::1')).toBe('2001:db8:0:0');
    expect(sourceKey(undefined)).toBe('');
  });

  it('uses a short key for any source', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => sourceKey(text).length <= 64));
    expect(sourceKey('x'.repeat(10_000))).toHaveLength(64);
  });
});

describe('FailureLimiter.inTurn', () => {
  const held = () => {
    let release: () => void = () => undefined;
    const done = new Promise<void>((resolve) => (release = resolve));
    return { done, release };
  };
  const settle = () => new Promise((resolve) => setImmediate(resolve));

  it('runs a limited number of verifications per client, in order, and other clients in parallel', async () => {
    const { limiter } = setup();
    const gates = [held(), held(), held(), held()];
    const begun: number[] = [];
    const runs = gates.map((gate, index) =>
      limiter.inTurn('app', async () => {
        begun.push(index);
        await gate.done;
        return index;
      }),
    );
    await settle();
    expect(begun).toEqual([0, 1]);
    expect(await limiter.inTurn('other', async () => 'at once')).toBe('at once');
    gates[1]?.release();
    expect(await runs[1]).toBe(1);
    await settle();
    expect(begun).toEqual([0, 1, 2]);
    for (const gate of gates) gate.release();
    expect(await Promise.all(runs)).toEqual([0, 1, 2, 3]);
    expect(begun).toEqual([0, 1, 2, 3]);
  });

  it('starts the next verification when one fails', async () => {
    const { limiter } = setup({ slowConcurrency: 1 });
    const gate = held();
    const first = limiter.inTurn('app', async () => {
      await gate.done;
      throw new Error('The hash cannot be computed.');
    });
    const second = limiter.inTurn('app', async () => 'second');
    gate.release();
    await expect(first).rejects.toThrow('cannot be computed');
    expect(await second).toBe('second');
    expect(await limiter.inTurn('app', async () => 'third')).toBe('third');
  });

  it('never exceeds the limit, in any order of calls', async () => {
    const { limiter } = setup();
    let running = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        limiter.inTurn('app', async () => {
          most = Math.max(most, ++running);
          for (let tick = 0; tick < index % 5; tick++) await settle();
          running -= 1;
        }),
      ),
    );
    expect(most).toBe(2);
    expect(running).toBe(0);
  });
});
