import { setImmediate as turnEnds } from 'node:timers/promises';
import { Outbox } from './outbox';

describe('what goes out together', () => {
  it('is sent at the end of the turn, in the order in which it came', async () => {
    const outbox = new Outbox();
    const sent: number[] = [];
    for (const answer of [1, 2, 3]) outbox.add(() => sent.push(answer));
    await Promise.resolve();
    expect(sent).toEqual([]);
    await turnEnds();
    expect(sent).toEqual([1, 2, 3]);
  });

  it('is sent in every turn anew', async () => {
    const outbox = new Outbox();
    const sent: number[] = [];
    for (const answer of [1, 2, 3]) {
      outbox.add(() => sent.push(answer));
      await turnEnds();
      expect(sent).toHaveLength(answer);
    }
  });

  it('does not wait for the turn to end where it is much, and is sent once', async () => {
    const outbox = new Outbox();
    const sent: number[] = [];
    const all = Array.from({ length: 100 }, (_, index) => index);
    for (const answer of all) outbox.add(() => sent.push(answer));
    expect(sent).toEqual(all.slice(0, 96));
    await turnEnds();
    expect(sent).toEqual(all);
  });

  it('takes what comes while it is sent', async () => {
    const outbox = new Outbox();
    const sent: string[] = [];
    outbox.add(() => {
      sent.push('first');
      outbox.add(() => sent.push('second'));
    });
    await turnEnds();
    await turnEnds();
    expect(sent).toEqual(['first', 'second']);
  });
});
