import { runProcess } from '@rekey/composition';
import { loadConfig, type Config } from '@rekey/platform';
import { createStandalone, type Standalone } from './app';
import { fillDemo } from './demo';

const USAGE = `Usage: npm start [-- --demo]

Start Rekey in one process. Settings come from the file in REKEY_CONFIG
(default: ./rekey.yml) and from REKEY_* variables.

  --demo    Create two example domains with secrets in all states.
`;

/** Runs Rekey until SIGTERM or SIGINT and prints its address. Exit code 2: it could not start. */
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
    ...(ready ? [] : [`  not ready     see ${url}/health/ready`]),
  ];
  process.stdout.write(`\n${lines.join('\n')}\n\n`);
};
