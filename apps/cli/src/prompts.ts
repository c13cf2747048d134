import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { EXIT, Failure, usage } from './failure';
import type { Io } from './session';

const SECRET_LENGTH_MAX = 1_024;

/**
 * Reads a secret from a file, from standard input, or from a prompt without echo; never from the command line, which
 * other processes can read. Removes one trailing line end. Throws a usage `Failure` if it is empty or too long.
 */
export const askSecret = async (io: Io, what: string, file?: string): Promise<string> => {
  const secret = file === undefined ? await fromInput(io, what) : fromFile(file);
  if (secret === '') throw usage(`The ${what} is empty. Pipe it to standard input or name a file.`);
  if (secret.length > SECRET_LENGTH_MAX)
    throw usage(`The ${what} is too long: at most ${SECRET_LENGTH_MAX} characters.`);
  return secret;
};

const withoutLineEnd = (given: string): string => given.replace(/\r?\n$/, '');

const fromFile = (file: string): string => {
  try {
    return withoutLineEnd(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usage(`Cannot read ${file} (${(error as NodeJS.ErrnoException).code ?? 'unknown cause'}).`);
  }
};

const fromInput = async (io: Io, what: string): Promise<string> =>
  io.stdin.isTTY ? ask(io, `${what[0]?.toUpperCase()}${what.slice(1)}: `, true) : withoutLineEnd(await text(io.stdin));

/** Asks one question on the terminal; `hidden` turns the echo off. */
const ask = (io: Io, question: string, hidden: boolean): Promise<string> => {
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.stdin, output: hidden ? silence : io.stderr, terminal: true });
  // Only after `createInterface` has turned the echo off; otherwise a fast typist sees the secret.
  io.stderr.write(question);
  return new Promise((resolve, reject) => {
    let answer: string | undefined;
    lines.once('line', (line) => {
      answer = line;
      lines.close();
    });
    lines.once('SIGINT', () => lines.close());
    lines.once('close', () => {
      if (hidden || answer === undefined) io.stderr.write('\n');
      if (answer === undefined) reject(new Failure(EXIT.interrupted, 'Cancelled.'));
      else resolve(answer);
    });
  });
};

/**
 * Resolves when the user confirms an action that cannot be undone, by `--yes` or by typing `name`. Throws `Failure`
 * otherwise. Without a terminal only `--yes` confirms.
 */
export const confirm = async (io: Io, what: string, name: string, yes: boolean | undefined): Promise<void> => {
  if (yes) return;
  if (!io.stdin.isTTY || !io.stderr.isTTY) throw usage(`${what} This cannot be undone. Add --yes to confirm.`);
  if ((await ask(io, `${what} This cannot be undone. Type ${name} to confirm: `, false)) !== name)
    throw new Failure(EXIT.refused, 'Cancelled.');
};
