import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { askSecret, confirm } from './prompts';
import type { Io } from './session';

/** A terminal or pipes with this input. */
const terminal = (typed: string, isTTY: boolean) => {
  const [stdin, stderr] = [new PassThrough(), new PassThrough()].map((stream) => Object.assign(stream, { isTTY }));
  stdin!.end(typed);
  const io = { stdin, stderr } as unknown as Io;
  const shown = async (): Promise<string> => {
    stderr!.end();
    return text(stderr!);
  };
  return { io, shown };
};

describe('askSecret', () => {
  it('reads a line without echo', async () => {
    const { io, shown } = terminal('hunter2 \n', true);
    expect(await askSecret(io, 'secret')).toBe('hunter2 ');
    expect(await shown()).toBe('Secret: \n');
  });

  it.each([
    ['hunter2', 'hunter2'],
    ['hunter2\n', 'hunter2'],
    ['hunter2\r\n', 'hunter2'],
    [' a b \n', ' a b '],
    ['two\nlines\n', 'two\nlines'],
  ])('reads %j from a pipe', async (given, expected) => {
    const { io, shown } = terminal(given, false);
    expect(await askSecret(io, 'secret')).toBe(expected);
    expect(await shown()).toBe('');
  });

  it.each(['', '\n', 'x'.repeat(1_025)])('refuses an empty or too long secret', async (given) => {
    await expect(askSecret(terminal(given, false).io, 'secret')).rejects.toMatchObject({ exit: 2 });
  });

  it('fails when the prompt is interrupted', async () => {
    await expect(askSecret(terminal('', true).io, 'secret')).rejects.toMatchObject({ exit: 130 });
    await expect(askSecret(terminal('half\u0003', true).io, 'secret')).rejects.toMatchObject({ exit: 130 });
  });
});

describe('confirm', () => {
  it('resolves with --yes or the typed name', async () => {
    await confirm(terminal('', false).io, 'It goes.', 'acme', true);
    const { io, shown } = terminal('acme\n', true);
    await confirm(io, 'It goes.', 'acme', undefined);
    expect(await shown()).toContain('Type acme to confirm: acme');
  });

  it('refuses another name, and refuses without a terminal', async () => {
    await expect(confirm(terminal('yes\n', true).io, 'It goes.', 'acme', undefined)).rejects.toMatchObject({ exit: 1 });
    await expect(confirm(terminal('acme\n', false).io, 'It goes.', 'acme', false)).rejects.toMatchObject({ exit: 2 });
  });
});
