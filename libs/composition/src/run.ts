import { FolderInUse } from '@rekey/adapters/embedded';
import { ConfigError, KeyError } from '@rekey/platform';
import { EngineUnavailable } from '@rekey/ports';
import type { Process } from './process';

/**
 * Creates a process, opens its port and runs it until SIGTERM or SIGINT. Calls `announce` once it is ready or has failed
 * to become ready in time. Exit code 2: it could not start.
 */
export const runProcess = async (
  create: () => Promise<Process>,
  announce: (process: Process, listening: string, ready: boolean) => Promise<void> | void,
): Promise<void> => {
  try {
    const started = await create();
    let stopping: Promise<void> | undefined;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void (stopping ??= stop(started)));
    const listening = await started.listen();
    await announce(started, listening, await started.ready());
  } catch (error) {
    process.stderr.write(`${reasonOf(error)}\n`);
    process.exit(2);
  }
};

/** Shuts down; exit code 1 if a step failed. A second signal of the same kind ends the process at once. */
const stop = async (started: Process): Promise<void> => {
  try {
    await started.close();
    process.exit(0);
  } catch (error) {
    process.stderr.write(
      `Rekey did not shut down cleanly: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exit(1);
  }
};

/** Returns a message for the operator: why the process could not start, and what to do. */
const reasonOf = (error: unknown): string => {
  if (error instanceof ConfigError || error instanceof KeyError || error instanceof FolderInUse) return error.message;
  const { code, port } = (error ?? {}) as NodeJS.ErrnoException & { readonly port?: number };
  if (code === 'EADDRINUSE')
    return `Port ${port} is in use. Choose another one, e.g. REKEY_HTTP_PORT=8081 (services without an API: REKEY_OPERATIONS_PORTS_…).`;
  if (code === 'EACCES') return 'Permission denied for the port or the folder of storage.path.';
  if (error instanceof EngineUnavailable)
    return `Cannot use the folder of storage.path: ${error.cause instanceof Error ? error.cause.message : error.message}`;
  return `Rekey could not start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
};
