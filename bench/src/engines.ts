import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { cpuMsOf } from './processes';

export type EngineName = 'eventstore' | 'kafka' | 'mongodb' | 'redis';

/** An engine that the services under measurement share. */
export interface Engine {
  /** A connection string; of Kafka, `host:port`. */
  readonly url: string;
  /** Started for this run, by the scripts of `deploy/native`; of MongoDB that is an emulator. */
  readonly own: boolean;
  /** Processor time that it has taken, in milliseconds; 0 for one that is elsewhere. */
  cpuMs(): number;
  stop(): void;
}

/** What the scripts of `deploy/native` need; EventStoreDB has none. */
const NEEDS: Readonly<Record<EngineName, readonly string[] | undefined>> = {
  eventstore: undefined,
  kafka: ['java', 'mvn'],
  mongodb: ['java', 'javac', 'mvn'],
  redis: ['redis-server'],
};

const variableOf = (name: EngineName): string => `REKEY_TEST_${name.toUpperCase()}_URL`;

/** The engine that the environment names for tests and measurements. */
export const givenUrl = (name: EngineName): string | undefined => process.env[variableOf(name)] || undefined;

/** Why an engine cannot be had; undefined where it can. */
export const whyNone = (name: EngineName): string | undefined => {
  if (givenUrl(name) !== undefined) return undefined;
  const missing = NEEDS[name]?.filter((tool) => spawnSync('which', [tool], { stdio: 'ignore' }).status !== 0);
  if (missing?.length === 0) return undefined;
  return `${variableOf(name)} is not set${missing ? `, and ${missing.join(', ')} to start one is not there` : ''}`;
};

/** The engine of the environment, or one of our own on a folder below `folder`, which ends with this process at the latest. */
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
  // Before the folder is removed, in which its process id lies.
  process.prependListener('exit', stop);
  const pid = Number(readFileSync(path.join(data, 'pid'), 'utf8'));
  return { url: started, own: true, cpuMs: () => cpuMsOf(pid) ?? 0, stop };
};
