import { loadConfig, type Config } from '@rekey/platform';
import { createProcess, type Process } from './process';
import { runProcess } from './run';
import type { ServiceName } from './process-context';

const USAGE = (name: ServiceName): string => `Usage: npm run serve -- ${name}

Start the Rekey ${name}. Settings come from the file in REKEY_CONFIG (default:
./rekey.yml) and from REKEY_* variables.
`;

/** Runs one service as a process, until a signal ends it. */
export const runService = async (name: ServiceName, args: readonly string[]): Promise<void> => {
  if (args.length > 0) {
    process.stderr.write(USAGE(name));
    process.exitCode = args[0] === '--help' ? 0 : 2;
    return;
  }
  let config: Config | undefined;
  await runProcess(
    () => createProcess({ config: (config = loadConfig()), services: [name] }),
    (started, listening, ready) => announce(name, started, config?.http.publicUrl, listening, ready),
  );
};

const announce = (
  name: ServiceName,
  { version, folder, keys }: Process,
  publicUrl: string | undefined,
  listening: string,
  ready: boolean,
): void => {
  const url = name === 'gateway' ? (publicUrl ?? listening) : listening;
  const lines = [
    `Rekey ${version} ${name} is running at ${url}`,
    ...(name === 'gateway' ? [`  API           ${url}/docs`, `  admin token   ${keys.adminToken.file}`] : []),
    `  keys          ${folder}`,
    ...(ready ? [] : [`  not ready     see ${listening}/health/ready`]),
  ];
  process.stdout.write(`\n${lines.join('\n')}\n\n`);
};
