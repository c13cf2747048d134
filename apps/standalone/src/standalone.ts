import { runProcess } from '@rekey/composition';
import { loadConfig, type Config } from '@rekey/platform';
import { createStandalone, type Standalone } from './app';
import { fillDemo } from './demo';

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
  const demo = args.includes('--demo');
  let config: Config | undefined;
  await runProcess(
    () => createStandalone((config = loadConfig())),
    async (standalone, listening, ready) => {
      if (demo && ready) await fillDemo(standalone.bus(), standalone.keys.sealing.publicKey, standalone.clock.nowMs());
      announce(standalone, config?.http.publicUrl ?? listening, ready);
    },
  );
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
