import { RekeyError, type CommandReply } from '@rekey/contracts';
import { ManualClock } from '@rekey/ports';
import { retryUntilKnown, type RetryOptions } from './attempts';

const REPLY: CommandReply = { id: 'c', status: 'accepted', replayed: true, revision: 3, position: '7' };
const failing = (code: 'timeout' | 'unavailable' | 'forbidden') => async (): Promise<CommandReply> => {
  throw new RekeyError(code, `It says ${code}.`, { field: 'x' });
};

describe('retryUntilKnown', () => {
  /** Makes the attempts in order, repeating the last one, and advances the clock meanwhile. */
  const run = async (
    attempts: readonly (() => Promise<CommandReply>)[],
    more: Partial<RetryOptions> = {},
  ): Promise<{ made: number; passedMs: number; reply?: CommandReply; error?: RekeyError }> => {
    const clock = new ManualClock(0);
    let made = 0;
    const send = (): Promise<CommandReply> => attempts[Math.min(made++, attempts.length - 1)]!();
    let settled = false;
    const outcome = retryUntilKnown(send, {
      clock,
      commandId: 'c',
      retryForMs: 60_000,
      ended: () => false,
      ...more,
    }).then(
      (reply) => ({ reply }),
      (error: RekeyError) => ({ error }),
    );
    void outcome.then(() => (settled = true));
    for (let step = 0; step < 10_000; step++) {
      await Promise.resolve();
      if (settled) break;
      if (step % 10 === 9) clock.advance(100);
    }
    return { made, passedMs: clock.monotonicMs(), ...(await outcome) };
  };
  const accepted = async (): Promise<CommandReply> => REPLY;

  it('retries until there is a reply', async () => {
    const { made, reply } = await run([failing('unavailable'), failing('timeout'), failing('timeout'), accepted]);
    expect([made, reply]).toEqual([4, REPLY]);
  });

  it('makes one attempt by default and returns the command id for a retry', async () => {
    const { made, error } = await run([failing('timeout')], { retryForMs: 0 });
    expect(made).toBe(1);
    expect(error).toMatchObject({
      code: 'timeout',
      message: 'It says timeout.',
      details: { field: 'x', commandId: 'c' },
    });
  });

  it('throws a rejection at once and unchanged', async () => {
    const { made, error } = await run([failing('timeout'), failing('forbidden')]);
    expect([made, error?.code, error?.details]).toEqual([2, 'forbidden', { field: 'x' }]);
  });

  it('throws timeout instead of unavailable if an earlier attempt may have been executed', async () => {
    const { error } = await run([failing('timeout'), failing('unavailable')], { retryForMs: 1_000 });
    expect(error).toMatchObject({ code: 'timeout', details: { commandId: 'c' } });
    expect(error?.message).toContain('unknown');
    const untaken = await run([failing('unavailable')], { retryForMs: 1_000 });
    expect(untaken.error).toMatchObject({ code: 'unavailable', details: { commandId: 'c' } });
  });

  it('backs off between attempts and stops within retryForMs', async () => {
    const { made, passedMs } = await run([failing('unavailable')], { retryForMs: 10_000 });
    expect(passedMs).toBeLessThanOrEqual(10_000);
    expect(made).toBeGreaterThan(4);
    expect(made).toBeLessThan(10);
  });

  it('makes no more attempts when it is aborted or closed', async () => {
    const stop = new AbortController();
    const aborted = await run([async () => (stop.abort(), failing('unavailable')())], { signal: stop.signal });
    expect([aborted.made, aborted.error?.code]).toEqual([1, 'unavailable']);
    let closed = false;
    const ended = await run([failing('timeout'), async () => ((closed = true), failing('timeout')())], {
      ended: () => closed,
    });
    expect([ended.made, ended.error?.code]).toEqual([2, 'timeout']);
  });
});
