import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { EXIT, Failure, usage } from './failure';
import type { Io } from './session';

const SECRET_LENGTH_MAX = 1_024;

/**
 * Takes a secret where no other process can see it: from a file, from standard input, or from a question without echo.
 * Never from the command line, which every process of the machine can read. One line end at the end does not count.
 */
export const askSecret = async (io: Io, what: string, file?: string): Promise<string> => {
  const secret = file === undefined ? await fromInput(io, what) : fromFile(file);
  if (secret === '') throw usage(`The ${what} is empty. Pipe it in, or name a file that holds it.`);
  if (secret.length > SECRET_LENGTH_MAX) throw usage(`The ${what} is longer than ${SECRET_LENGTH_MAX} characters.`);
  return secret;
};

const withoutLineEnd = (given: string): string => given.replace(/\r?\n$/, '');

const fromFile = (file: string): string => {
  try {
    return withoutLineEnd(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usage(`The file ${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown cause'}).`);
  }
};

const fromInput = async (io: Io, what: string): Promise<string> =>
  io.stdin.isTTY ? ask(io, `${what[0]?.toUpperCase()}${what.slice(1)}: `, true) : withoutLineEnd(await text(io.stdin));

/** Asks one question on the terminal; `hidden`: what is typed is not shown. */
const ask = (io: Io, question: string, hidden: boolean): Promise<string> => {
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.stdin, output: hidden ? silence : io.stderr, terminal: true });
  // After the terminal has stopped to echo: who types fast would see the secret otherwise.
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
      if (answer === undefined) reject(new Failure(EXIT.interrupted, 'Nothing done.'));
      else resolve(answer);
    });
  });
};

/** Lets pass what cannot be taken back: by `--yes`, or by typing the name. Scripts must say `--yes`. */
export const confirm = async (io: Io, what: string, name: string, yes: boolean | undefined): Promise<void> => {
  if (yes) return;
  if (!io.stdin.isTTY || !io.stderr.isTTY) throw usage(`${what} That cannot be taken back: add --yes to go on.`);
  if ((await ask(io, `${what} That cannot be taken back. Type ${name} to go on: `, false)) !== name)
    throw new Failure(EXIT.refused, 'Nothing done.');
};
