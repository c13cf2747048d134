import { KeyedQueue } from './keyed-queue';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A queue whose work finishes when the test says so. */
const held = (concurrency: number) => {
  const queue = new KeyedQueue(concurrency);
  const started: string[] = [];
  const finish = new Map<string, () => void>();
  const add = (key: string, name: string) =>
    queue.add(key, () => {
      started.push(name);
      return new Promise((resolve) => finish.set(name, resolve));
    });
  const done = async (name: string): Promise<void> => {
    finish.get(name)?.();
    await turn();
  };
  return { queue, started, add, done };
};

describe('KeyedQueue', () => {
  it('runs work of one key in order, and of other keys concurrently', async () => {
    const { started, add, done } = held(10);
    for (const name of ['a1', 'a2', 'b1']) add(name.charAt(0), name);
    expect(started).toEqual(['a1', 'b1']);
    await done('a1');
    expect(started).toEqual(['a1', 'b1', 'a2']);
  });

  it('starts no more than its concurrency, and lets keys take turns', async () => {
    const { queue, started, add, done } = held(1);
    for (const name of ['a1', 'a2', 'a3', 'b1']) add(name.charAt(0), name);
    expect([started, queue.waiting]).toEqual([['a1'], 3]);
    for (const name of ['a1', 'b1', 'a2', 'a3']) await done(name);
    expect([started, queue.waiting]).toEqual([['a1', 'b1', 'a2', 'a3'], 0]);
  });

  it('withdraws work that has not started, and no other', async () => {
    const { queue, started, add, done } = held(1);
    const [first, second, other] = [add('a', 'a1'), add('a', 'a2'), add('b', 'b1')];
    expect([first(), second(), other(), second()]).toEqual([false, true, true, false]);
    expect(queue.waiting).toBe(0);
    await done('a1');
    expect(started).toEqual(['a1']);
    add('b', 'b2');
    expect(started).toEqual(['a1', 'b2']);
  });

  it('is idle when all work has finished or was withdrawn', async () => {
    const { queue, add, done } = held(1);
    await queue.idle();
    add('a', 'a1');
    const withdraw = add('b', 'b1');
    let idle = false;
    const waiting = queue.idle().then(() => (idle = true));
    withdraw();
    await turn();
    expect(idle).toBe(false);
    await done('a1');
    await waiting;
  });
});
