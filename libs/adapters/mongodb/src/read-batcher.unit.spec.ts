import { setImmediate as endOfTurn } from 'node:timers/promises';
import { ReadBatcher } from './read-batcher';

interface Asked {
  readonly collection: string;
  readonly ids: readonly string[];
  readonly answer: (text: string) => void;
  readonly fail: (error: Error) => void;
}

const server = () => {
  const asked: Asked[] = [];
  const reads = new ReadBatcher<string>(
    (collection, ids) =>
      new Promise((answer, fail) => {
        asked.push({ collection, ids, answer, fail });
      }),
  );
  return { asked, reads };
};

describe('ReadBatcher', () => {
  it('combines the reads of one turn into one query with each id once', async () => {
    const { asked, reads } = server();
    const answers = [reads.read('c', ['a', 'domain']), Promise.resolve().then(() => reads.read('c', ['b', 'domain']))];
    expect(asked).toEqual([]);
    await endOfTurn();
    expect(asked.map(({ ids }) => ids)).toEqual([['a', 'domain', 'b']]);
    asked[0]?.answer('found');
    expect(await Promise.all(answers)).toEqual(['found', 'found']);
  });

  it('starts a new query for a read that comes while one is on its way', async () => {
    const { asked, reads } = server();
    const first = reads.read('c', ['a']);
    await endOfTurn();
    const second = reads.read('c', ['a']);
    await endOfTurn();
    expect(asked).toHaveLength(2);
    asked[1]?.answer('newer');
    asked[0]?.answer('older');
    expect(await Promise.all([first, second])).toEqual(['older', 'newer']);
  });

  it('sends one query per collection', async () => {
    const { asked, reads } = server();
    void reads.read('c', ['a']);
    void reads.read('d', ['a']);
    await endOfTurn();
    expect(asked.map(({ collection, ids }) => [collection, ids])).toEqual([
      ['c', ['a']],
      ['d', ['a']],
    ]);
  });

  it('rejects all reads that share a failed query, and still sends the next query', async () => {
    const { asked, reads } = server();
    const all = Promise.allSettled([reads.read('c', ['a']), reads.read('c', ['b'])]);
    await endOfTurn();
    asked[0]?.fail(new Error('away'));
    expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const next = reads.read('c', ['a']);
    await endOfTurn();
    asked[1]?.answer('found');
    expect(await next).toBe('found');
  });

  it('limits the ids of a query, and sends a read of many ids alone and at once', async () => {
    const { asked, reads } = server();
    const ids = (from: number, count: number) => Array.from({ length: count }, (_, index) => String(from + index));
    void reads.read('c', ids(0, 101));
    expect(asked.map(({ ids: each }) => each.length)).toEqual([101]);
    void reads.read('c', ids(0, 60));
    void reads.read('c', ids(60, 60));
    expect(asked.map(({ ids: each }) => each.length)).toEqual([101, 60]);
    await endOfTurn();
    expect(asked.map(({ ids: each }) => each.length)).toEqual([101, 60, 60]);
  });
});
