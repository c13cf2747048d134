import { freePort, proxyTo, type EngineName, type Proxy } from '@rekey/testing';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const SCRIPTS = path.resolve(__dirname, '../../deploy/native');
/** The first start on a machine downloads and compiles the engine. */
const SCRIPT_TIMEOUT_MS = 240_000;
const POLL_MS = 20;
/** Files and folders of an engine's data, within its folder. */
const DATA = { mongodb: ['data.h2'], redis: ['appendonlydir', 'dump.rdb'], kafka: ['data'], eventstore: [] } as const;

/**
 * An engine of a test's own, to be killed, paused and restarted while the system runs. The system reaches it only
 * through a proxy. Its methods do not block the process of the test.
 */
export class ChaosEngine {
  private copies = 0;

  private constructor(
    readonly name: EngineName,
    /** URL of the engine itself, for the test. */
    readonly url: string,
    readonly proxy: Proxy,
    private readonly folder: string,
    private readonly port: number,
  ) {}

  /** Starts an engine. Resolves when it answers. */
  static async start(name: EngineName): Promise<ChaosEngine> {
    const folder = mkdtempSync(path.join(tmpdir(), `rekey-chaos-${name}-`));
    const port = await freePort();
    const proxy = await proxyTo('127.0.0.1', port);
    return new ChaosEngine(name, await startOn(name, folder, port, proxy), proxy, folder, port);
  }

  /** URL of the proxy, for the system. */
  get proxied(): string {
    return this.url.replace(`:${this.port}`, `:${this.proxy.port}`);
  }

  /** SIGKILL. Resolves when the process has ended. */
  async kill(): Promise<void> {
    const { pid } = this;
    process.kill(pid, 'SIGKILL');
    while (isThere(pid)) await sleep(POLL_MS);
  }

  /** Stops it gracefully. */
  async end(): Promise<void> {
    await runScript(this.name, 'stop', [this.folder]);
  }

  /** Starts it again on the same data and port. Resolves when it answers. */
  async start(): Promise<void> {
    await this.end();
    await startOn(this.name, this.folder, this.port, this.proxy);
  }

  stop(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  wake(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** Deletes its data, as a failed disk would. Only while it is not running. */
  loseData(): void {
    for (const name of DATA[this.name]) rmSync(path.join(this.folder, name), { recursive: true, force: true });
  }

  /**
   * Copies its data. The returned function replaces the data with the copy; call it only while the engine is not
   * running.
   */
  copyData(): () => void {
    const copy = path.join(this.folder, `copy-${++this.copies}`);
    this.stop();
    for (const name of DATA[this.name])
      if (existsSync(path.join(this.folder, name)))
        cpSync(path.join(this.folder, name), path.join(copy, name), { recursive: true });
    this.wake();
    return () => {
      this.loseData();
      cpSync(copy, this.folder, { recursive: true });
      rmSync(copy, { recursive: true });
    };
  }

  /** Its log since its last start. */
  get output(): string {
    const file = path.join(this.folder, 'log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Kills it and deletes its folder. */
  async remove(): Promise<void> {
    if (existsSync(path.join(this.folder, 'pid'))) await this.kill().catch(() => undefined);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get pid(): number {
    return Number(readFileSync(path.join(this.folder, 'pid'), 'utf8'));
  }
}

const run = promisify(execFile);

/** A Kafka broker must advertise the proxy's port to its clients. */
const startOn = (name: EngineName, folder: string, port: number, proxy: Proxy): Promise<string> =>
  runScript(name, 'start', [folder, String(port)], { REKEY_NATIVE_ADVERTISED_PORT: String(proxy.port) });

/** Runs the script of an engine. Resolves with its output. */
const runScript = async (
  name: EngineName,
  which: 'start' | 'stop',
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> => {
  const script = path.join(SCRIPTS, name, `${which}.sh`);
  const { stdout } = await run(script, args, { timeout: SCRIPT_TIMEOUT_MS, env: { ...process.env, ...env } });
  return stdout.trim();
};

/** Whether a process runs. A zombie does not. */
const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** Creates a folder for logs that remains after a failure. */
export const keptFolder = (): string => mkdtempSync(path.join(tmpdir(), 'rekey-chaos-logs-'));
