import { FolderInUse } from '@rekey/adapters/embedded';
import { ConfigError, KeyError } from '@rekey/platform';
import { EngineUnavailable } from '@rekey/ports';
import type { Process } from './process';

/**
 * Runs a process until a signal ends it: makes it, opens its port, and lets `announce` tell where it is, when it is
 * ready or that takes too long. Exit code 2: it could not be started.
 */
export const runProcess = async (
  make: () => Promise<Process>,
  announce: (process: Process, listening: string, ready: boolean) => Promise<void> | void,
): Promise<void> => {
  try {
    const made = await make();
    let ending: Promise<void> | undefined;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void (ending ??= end(made)));
    const listening = await made.listen();
    await announce(made, listening, await made.ready());
  } catch (error) {
    process.stderr.write(`${reasonOf(error)}\n`);
    process.exit(2);
  }
};

/** Shuts down; exit code 1 if a step failed. A second signal of the same kind ends the process at once. */
const end = async (made: Process): Promise<void> => {
  try {
    await made.close();
    process.exit(0);
  } catch (error) {
    process.stderr.write(
      `Rekey did not shut down cleanly: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exit(1);
  }
};

/** What keeps a process from starting, in words for whoever starts it. */
const reasonOf = (error: unknown): string => {
  if (error instanceof ConfigError || error instanceof KeyError || error instanceof FolderInUse) return error.message;
  const { code, port } = (error ?? {}) as NodeJS.ErrnoException & { readonly port?: number };
  if (code === 'EADDRINUSE')
    return `Port ${port} is in use; set another one, for example REKEY_HTTP_PORT=8081 (services without an API: REKEY_OPERATIONS_PORTS_…).`;
  if (code === 'EACCES') return 'The port, or the folder of storage.path, is not ours to use.';
  if (error instanceof EngineUnavailable)
    return `The folder of storage.path cannot be used: ${error.cause instanceof Error ? error.cause.message : error.message}`;
  return `Rekey could not start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
};
