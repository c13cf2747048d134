import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Target } from './load';

/** A server as a child process. */
export interface Running {
  readonly target: Target;
  /** Resident memory in bytes; undefined if the system does not report it. */
  memoryBytes(): number | undefined;
  /** Peak resident memory in bytes. */
  memoryPeakBytes(): number | undefined;
  /** CPU time of all threads in milliseconds; undefined if the system does not report it. */
  cpuMs(): number | undefined;
  stop(): Promise<void>;
}

/** A Rekey process that is ready. */
export interface Started extends Running {
  /** Milliseconds from the start of the process until it was ready. */
  readonly readyAfterMs: number;
}

export interface RekeyServer extends Started {
  /** Token with the role admin. */
  readonly token: string;
}

export const HOST = '127.0.0.1';
const READY_WITHIN_MS = 30 * 60_000;
const STOP_WITHIN_MS = 30_000;
/** Unit of CPU times in /proc (USER_HZ), 100 on all current Linux systems. */
const TICKS_PER_SECOND = 100;

/** Starts a server that prints `{"port": …}` when it listens. */
export const startPrinting = async (
  file: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Running> => {
  const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];
  const child = spawn(process.execPath, [file, ...args], { env: { ...process.env, ...env }, stdio });
  if (!child.stdout) throw new Error('The process has no output.');
  for await (const line of createInterface({ input: child.stdout })) {
    const { port } = JSON.parse(line) as { port: number };
    return runningAt(child, port);
  }
  throw new Error(`${path.basename(file)} exited before it listened.`);
};

/** Returns a new admin token and its entry in `access.tokens`. */
export const newToken = (): { token: string; tokens: object[] } => {
  const token = randomBytes(32).toString('base64url');
  const sha256 = createHash('sha256').update(token).digest('hex');
  return { token, tokens: [{ name: 'bench', sha256, roles: ['admin'] }] };
};

/** High enough that a wrong secret always gets 401 and never 429. */
export const NO_LIMIT = { failuresPerMinuteMax: 1_000_000 };

/**
 * Starts the standalone server on a data folder and waits until it is ready. Its configuration is the default, except for
 * the port, a token and `NO_LIMIT`.
 */
export const startRekey = async (main: string, folder: string): Promise<RekeyServer> => {
  const port = await freePort();
  const { token, tokens } = newToken();
  const configuration = {
    http: { host: HOST, port },
    access: { tokens },
    storage: { kind: 'embedded', path: path.join(folder, 'data') },
    authentication: NO_LIMIT,
  };
  const file = writeConfiguration(folder, configuration);
  const env = { REKEY_CONFIG: file };
  const started = await launchApp({ main, folder, log: path.join(folder, 'server.log'), env, port }).ready;
  return { ...started, token };
};

/** Writes a configuration file and returns its name. */
export const writeConfiguration = (folder: string, configuration: object): string => {
  mkdirSync(folder, { recursive: true });
  // JSON is YAML.
  const file = path.join(folder, 'rekey.yml');
  writeFileSync(file, JSON.stringify(configuration), { mode: 0o600 });
  return file;
};

export interface AppOptions {
  /** Path of the bundle. */
  readonly main: string;
  /** Working directory. */
  readonly folder: string;
  /** Log file. */
  readonly log: string;
  readonly env: Readonly<Record<string, string>>;
  /** Port that `env` configures; used for the readiness check. */
  readonly port: number;
}

/** A Rekey process that may not be ready yet. */
export interface Launched extends Running {
  /** Resolves when it is ready. Rejects with the end of its log if it exits before. */
  readonly ready: Promise<Started>;
}

/** Launches the bundle of an app. */
export const launchApp = ({ main, folder, log, env, port }: AppOptions): Launched => {
  const output = openSync(log, 'a');
  const { PATH } = process.env;
  const startedMs = performance.now();
  const stdio: ['ignore', number, number] = ['ignore', output, output];
  const child = spawn(process.execPath, [main], { cwd: folder, env: { PATH, ...env }, stdio });
  closeSync(output);
  // Do not leave the child behind if this process exits early.
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
  const running = runningAt(child, port);
  const becomeReady = async (): Promise<Started> => {
    try {
      await waitUntilReady(child, running.target);
    } catch (error) {
      await running.stop();
      const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-20).join('\n');
      throw new Error(`The server did not become ready: ${String(error)}\n${lines}`, { cause: error });
    }
    return { ...running, readyAfterMs: performance.now() - startedMs };
  };
  return { ...running, ready: becomeReady() };
};

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;

const waitUntilReady = async (child: ChildProcess, { host, port }: Target): Promise<void> => {
  const deadlineMs = performance.now() + READY_WITHIN_MS;
  while (performance.now() < deadlineMs) {
    if (hasEnded(child)) throw new Error(`exited with ${child.exitCode ?? child.signalCode}`);
    const ready = await fetch(`http://${host}:${port}/health/ready`).then(
      async (response) => (await response.arrayBuffer(), response.ok),
      () => false,
    );
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not ready within ${READY_WITHIN_MS / 60_000} minutes`);
};

const runningAt = (child: ChildProcess, port: number): Running => ({
  target: { host: HOST, port },
  memoryBytes: () => memoryOf(child, 'VmRSS'),
  memoryPeakBytes: () => memoryOf(child, 'VmHWM'),
  cpuMs: () => cpuMsOf(child.pid),
  stop: async () => {
    if (hasEnded(child)) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
    await gone;
    clearTimeout(kill);
  },
});

/** Reads a value of /proc/<pid>/status, in bytes (proc(5)). */
const memoryOf = (child: ChildProcess, line: 'VmRSS' | 'VmHWM'): number | undefined => {
  const kib = new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(procFile(child.pid, 'status'))?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
};

/** Returns the CPU time of a process in milliseconds; undefined if the system does not report it. */
export const cpuMsOf = (pid: number | undefined): number | undefined => {
  // proc(5): the name in parentheses may contain anything; utime and stime are the 12th and 13th field after it.
  const fields = procFile(pid, 'stat').split(') ').at(-1)?.split(' ') ?? [];
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isNaN(ticks) ? undefined : (ticks * 1000) / TICKS_PER_SECOND;
};

const procFile = (pid: number | undefined, name: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
};

/** Returns a port that is free at the moment. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
};
