import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isRequired } from './programs';

export const ENGINES = ['eventstore', 'kafka', 'mongodb', 'redis'] as const;
export type EngineName = (typeof ENGINES)[number];

/** An engine for tests, or the reason why there is none. `url`: connection string; for Kafka `host:port`. */
export type Engine =
  | { readonly url: string; readonly source: 'environment' | 'container' | 'native' }
  | { readonly url?: never; readonly notRun: string };

type Urls<Names extends readonly EngineName[]> = { readonly [Name in Names[number]]: string };

const ROOT = path.resolve(__dirname, '../../..');
const CONTAINERS = path.join(ROOT, 'tools/engine-container.mjs');
/** Tools that the scripts of `deploy/native` need. There is no script for EventStoreDB. */
const NEEDS: Readonly<Partial<Record<EngineName, readonly string[]>>> = {
  kafka: ['java', 'mvn'],
  mongodb: ['java', 'javac', 'mvn'],
  redis: ['redis-server'],
};
/** Long, because the first start on a machine downloads and compiles the engine. */
const START_TIMEOUT_MS = 240_000;
const POLL_MS = 50;
/** Names the folder of the engines that all test files of a run share. Jest's global setup and teardown manage it. */
const RUN_VARIABLE = 'REKEY_TEST_RUN_FOLDER';

const variableOf = (name: EngineName): string => `REKEY_TEST_${name.toUpperCase()}_URL`;

const run = (file: string, args: readonly string[]): string =>
  execFileSync(file, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: START_TIMEOUT_MS,
    env: { ...process.env, TESTCONTAINERS_RYUK_DISABLED: 'true' },
  }).trim();

const script = (name: EngineName, which: 'start' | 'stop'): string =>
  path.join(ROOT, 'deploy/native', name, `${which}.sh`);

let dockerAnswers: boolean | undefined;
const hasDocker = (): boolean => {
  const answers = (): boolean => spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 }).status === 0;
  return (dockerAnswers ??= answers());
};

/** A native engine on a data folder, for tests that stop, kill and start it. */
export class NativeEngine {
  private constructor(
    readonly name: EngineName,
    readonly folder: string,
    readonly url: string,
  ) {}

  /** Whether this machine has the tools that the engine's scripts need. */
  static isAvailable(name: EngineName): boolean {
    const has = (tool: string): boolean => spawnSync('which', [tool], { stdio: 'ignore' }).status === 0;
    return NEEDS[name] !== undefined && NEEDS[name].every(has);
  }

  /** Starts an engine with the scripts of `deploy/native` and returns when it answers. `port` 0 picks a free port. */
  static start(name: EngineName, folder: string, port = 0): NativeEngine {
    return new NativeEngine(name, folder, run(script(name, 'start'), [folder, String(port)]));
  }

  get pid(): number {
    return Number(readFileSync(path.join(this.folder, 'pid'), 'utf8'));
  }

  private get port(): number {
    return Number(/:(\d+)/.exec(this.url.replace(/^[a-z]+:\/\//, ''))?.[1]);
  }

  /** Sends a signal to the engine's process: SIGKILL, SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Shuts the engine down. */
  stop(): void {
    run(script(this.name, 'stop'), [this.folder]);
  }

  /** Restarts it on the same folder and port. */
  restart(): void {
    this.stop();
    run(script(this.name, 'start'), [this.folder, String(this.port)]);
  }
}

/** Starts a native engine for one test, which stops it and removes the folder. */
export const ownEngine = (name: EngineName, port = 0): NativeEngine =>
  NativeEngine.start(name, mkdtempSync(path.join(tmpdir(), `rekey-${name}-`)), port);

/** Calls `make` in only one process of the run and returns its result in all of them. */
const once = (file: string, make: () => Engine): Engine => {
  const lock = `${file}.lock`;
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Engine;
    try {
      mkdirSync(lock);
    } catch {
      if (Date.now() > deadline) return { notRun: 'another process is still starting it' };
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
      continue;
    }
    try {
      if (existsSync(file)) continue;
      const made = make();
      writeFileSync(file, JSON.stringify(made));
      return made;
    } finally {
      rmdirSync(lock);
    }
  }
};

const startShared = (name: EngineName, folder: string): Engine => {
  mkdirSync(folder, { recursive: true });
  const causes: string[] = [];
  const ways = [
    ...(hasDocker() ? [['container', () => run(process.execPath, [CONTAINERS, 'start', name, folder])] as const] : []),
    ...(NativeEngine.isAvailable(name) ? [['native', () => NativeEngine.start(name, folder).url] as const] : []),
  ];
  for (const [source, start] of ways)
    try {
      return { url: start(), source };
    } catch (error) {
      causes.push(`${source}: ${String((error as { stderr?: unknown }).stderr || error).trim()}`);
    }
  const why =
    causes.length > 0
      ? causes.join('; ')
      : 'Docker does not answer, and the tools that deploy/native needs are missing';
  return { notRun: `${variableOf(name)} is not set, and none could be started (${why})` };
};

/**
 * Returns the engine that the tests of this run share: the one at `REKEY_TEST_<NAME>_URL`, else a container if Docker
 * answers, else one started by the scripts of `deploy/native`. Throws if there is none and `REKEY_REQUIRE` lists it.
 */
export const sharedEngine = (name: EngineName): Engine => {
  const url = process.env[variableOf(name)];
  if (url) return { url, source: 'environment' };
  const runFolder = process.env[RUN_VARIABLE];
  if (runFolder === undefined)
    throw new Error(`${RUN_VARIABLE} is not set: shared engines are only available in a run of Jest.`);
  const engine = once(path.join(runFolder, `${name}.json`), () => startShared(name, path.join(runFolder, name)));
  if (engine.url === undefined && isRequired(name)) throw new Error(`${name} is required: ${engine.notRun}`);
  return engine;
};

/** Stops the engines that `sharedEngine` has started in a run's folder, and removes the folder. */
export const stopSharedEngines = (runFolder: string): void => {
  for (const name of ENGINES) {
    const file = path.join(runFolder, `${name}.json`);
    if (!existsSync(file)) continue;
    const engine = JSON.parse(readFileSync(file, 'utf8')) as Engine;
    const folder = path.join(runFolder, name);
    if (engine.url !== undefined && engine.source === 'native') run(script(name, 'stop'), [folder]);
    if (engine.url !== undefined && engine.source === 'container')
      run(process.execPath, [CONTAINERS, 'stop', name, folder]);
  }
  rmSync(runFolder, { recursive: true, force: true });
};

/** Runs tests on the shared engines. If an engine is missing, reports them as not run. */
export const describeOn = <const Names extends readonly EngineName[]>(
  names: Names,
  tests: (urls: Urls<Names>) => void,
): void => {
  const engines = names.map((name) => [name, sharedEngine(name)] as const);
  const missing = engines.flatMap(([name, engine]) => (engine.url === undefined ? [`${name}: ${engine.notRun}`] : []));
  describe(`on ${names.join(', ')}`, () => {
    if (missing.length === 0) {
      tests(Object.fromEntries(engines.map(([name, { url }]) => [name, url])) as unknown as Urls<Names>);
      return;
    }
    process.stderr.write(`Not run: tests on ${names.join(', ')}. ${missing.join('. ')}\n`);
    it.skip(`not run: ${missing.join('. ')}`, () => undefined);
  });
};
