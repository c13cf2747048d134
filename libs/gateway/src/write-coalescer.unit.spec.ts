import { setImmediate as turnEnds } from 'node:timers/promises';
import { WriteCoalescer } from './dispatch';

describe('WriteCoalescer', () => {
  it('sends at the end of the turn, in order', async () => {
    const responses = new WriteCoalescer();
    const sent: number[] = [];
    for (const response of [1, 2, 3]) responses.add(() => sent.push(response));
    await Promise.resolve();
    expect(sent).toEqual([]);
    await turnEnds();
    expect(sent).toEqual([1, 2, 3]);
  });

  it('sends in every turn', async () => {
    const responses = new WriteCoalescer();
    const sent: number[] = [];
    for (const response of [1, 2, 3]) {
      responses.add(() => sent.push(response));
      await turnEnds();
      expect(sent).toHaveLength(response);
    }
  });

  it('sends many responses before the turn ends, each once', async () => {
    const responses = new WriteCoalescer();
    const sent: number[] = [];
    const all = Array.from({ length: 100 }, (_, index) => index);
    for (const response of all) responses.add(() => sent.push(response));
    expect(sent).toEqual(all.slice(0, 96));
    await turnEnds();
    expect(sent).toEqual(all);
  });

  it('sends what is added while it sends', async () => {
    const responses = new WriteCoalescer();
    const sent: string[] = [];
    responses.add(() => {
      sent.push('first');
      responses.add(() => sent.push('second'));
    });
    await turnEnds();
    await turnEnds();
    expect(sent).toEqual(['first', 'second']);
  });
});
