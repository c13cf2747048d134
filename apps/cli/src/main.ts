import { publicErrorOf } from '@rekey/contracts';
import { CommanderError } from 'commander';
import { readEnvironment, readVersion } from './config';
import { EXIT, Failure, withoutSecrets } from './failure';
import { programOf } from './program';
import type { Io } from './session';

const io: Io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  environment: readEnvironment(),
  version: readVersion(),
  now: () => new Date().toISOString(),
};

/** Prints the error, with `--json` as the problem document of the server, and returns the exit code. Never a stack. */
const reportError = (error: unknown): number => {
  // Commander has already printed the message.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const problem = error instanceof Failure && process.argv.includes('--json') ? error.problem : undefined;
  const message = messageOf(error);
  io.stderr.write(problem === undefined ? `rekey: ${withoutSecrets(message)}\n` : `${problem}\n`);
  return error instanceof Failure ? error.exit : EXIT.refused;
};

const messageOf = (error: unknown): string => {
  const known = publicErrorOf(error);
  if (!known) return error instanceof Error ? error.message : String(error);
  const field = known.details?.['field'];
  return `${known.message} (${known.code}${field === undefined ? '' : `, ${String(field)}`})`;
};

// A closed pipe is not an error: `rekey history --ndjson | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.refused),
);

programOf(io)
  .parseAsync(process.argv)
  .catch((error: unknown) => {
    process.exitCode = reportError(error);
  });
