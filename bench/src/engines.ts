import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { cpuMsOf } from './processes';

export type EngineName = 'eventstore' | 'kafka' | 'mongodb' | 'redis';

/** An engine that the measured services use. */
export interface Engine {
  /** Connection string; for Kafka `host:port`. */
  readonly url: string;
  /** Whether it was started for this run, by the scripts in `deploy/native`. Their MongoDB is an emulator. */
  readonly own: boolean;
  /** CPU time so far in milliseconds; 0 for an engine of the environment. */
  cpuMs(): number;
  stop(): void;
}

/** Programs that the scripts in `deploy/native` need. There is no script for EventStoreDB. */
const NEEDS: Readonly<Record<EngineName, readonly string[] | undefined>> = {
  eventstore: undefined,
  kafka: ['java', 'mvn'],
  mongodb: ['java', 'javac', 'mvn'],
  redis: ['redis-server'],
};

const variableOf = (name: EngineName): string => `REKEY_TEST_${name.toUpperCase()}_URL`;

/** Returns the URL of the engine set in the environment. */
export const givenUrl = (name: EngineName): string | undefined => process.env[variableOf(name)] || undefined;

/** Returns why an engine is unavailable, or undefined if it is available. */
export const whyUnavailable = (name: EngineName): string | undefined => {
  if (givenUrl(name) !== undefined) return undefined;
  const missing = NEEDS[name]?.filter((tool) => spawnSync('which', [tool], { stdio: 'ignore' }).status !== 0);
  if (missing?.length === 0) return undefined;
  return `${variableOf(name)} is not set${missing ? ` and ${missing.join(', ')} is not installed` : ''}`;
};

/** Returns the engine of the environment, or starts one below `folder` that stops with this process at the latest. */
export const startEngine = (root: string, name: EngineName, folder: string): Engine => {
  const url = givenUrl(name);
  if (url !== undefined) return { url, own: false, cpuMs: () => 0, stop: () => undefined };
  const data = path.join(folder, name);
  const run = (which: 'start' | 'stop', ...args: string[]): string =>
    execFileSync(path.join(root, 'deploy/native', name, `${which}.sh`), [data, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim();
  const started = run('start', '0');
  const stop = (): void => {
    process.removeListener('exit', stop);
    run('stop');
  };
  // Prepended, so that it runs before the folder with the pid file is removed.
  process.prependListener('exit', stop);
  const pid = Number(readFileSync(path.join(data, 'pid'), 'utf8'));
  return { url: started, own: true, cpuMs: () => cpuMsOf(pid) ?? 0, stop };
};
