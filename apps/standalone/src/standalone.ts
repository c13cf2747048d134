import { FolderInUse } from '@rekey/adapters/embedded';
import { ConfigError, KeyError, loadConfig, type Config } from '@rekey/platform';
import { EngineUnavailable } from '@rekey/ports';
import { createStandalone, type Standalone } from './app';

const USAGE = `Rekey in one process.

  npm start               start, with ./rekey.yml and REKEY_* where they are there
  npm start -- --demo     the same, filled with two domains and secrets in all states
`;

/** Starts the system, tells where it is, and stops it on SIGTERM or SIGINT. Exit code 2: it could not be started. */
export const main = async (args: readonly string[]): Promise<void> => {
  const unknown = args.find((arg) => arg !== '--demo');
  if (unknown !== undefined) {
    process.stderr.write(USAGE);
    process.exitCode = unknown === '--help' ? 0 : 2;
    return;
  }
  try {
    await start(loadConfig(), args.includes('--demo'));
  } catch (error) {
    process.stderr.write(`${reasonOf(error)}\n`);
    process.exit(2);
  }
};

const start = async (config: Config, demo: boolean): Promise<void> => {
  const standalone = await createStandalone(config);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(standalone));
  const listening = await standalone.listen();
  const ready = await standalone.ready();
  if (demo && ready) await standalone.fillDemo();
  announce(standalone, config.http.publicUrl ?? listening, ready);
};

/** Finishes what is in hand; a second signal of the same kind ends the process at once. */
const end = async (standalone: Standalone): Promise<void> => {
  try {
    await standalone.close();
    process.exit(0);
  } catch (error) {
    process.stderr.write(`Rekey could not end cleanly: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
};

const announce = ({ version, keys, folder }: Standalone, url: string, ready: boolean): void => {
  const lines = [
    `Rekey ${version} is running at ${url}`,
    `  API           ${url}/docs`,
    `  admin token   ${keys.adminToken.file}`,
    `  data          ${folder}`,
    ...(ready ? [] : [`  not ready     ${url}/health/ready says why`]),
  ];
  process.stdout.write(`\n${lines.join('\n')}\n\n`);
};

/** What keeps the system from starting, in words for whoever starts it. */
const reasonOf = (error: unknown): string => {
  if (error instanceof ConfigError || error instanceof KeyError || error instanceof FolderInUse) return error.message;
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === 'EADDRINUSE')
    return 'The port of http.port is in use; set another one, for example REKEY_HTTP_PORT=8081.';
  if (code === 'EACCES') return 'The port of http.port, or the folder of storage.path, is not ours to use.';
  if (error instanceof EngineUnavailable)
    return `The folder of storage.path cannot be used: ${error.cause instanceof Error ? error.cause.message : error.message}`;
  return `Rekey could not start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
};
