import { freePort, proxyTo, type EngineName, type Proxy } from '@rekey/testing';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const SCRIPTS = path.resolve(__dirname, '../../deploy/native');
/** The first start on a machine fetches and compiles. */
const SCRIPT_TIMEOUT_MS = 240_000;
const POLL_MS = 20;
/** What an engine keeps its data in, within its folder. */
const DATA = { mongodb: ['data.h2'], redis: ['appendonlydir', 'dump.rdb'], kafka: ['data'], eventstore: [] } as const;

/**
 * An engine of a test's own that is killed, stopped, woken and started again while everybody else goes on, this very
 * process included. The system reaches it through a proxy, and only so.
 */
export class ChaosEngine {
  private copies = 0;

  private constructor(
    readonly name: EngineName,
    /** Of the engine itself, which the test may go to. */
    readonly url: string,
    readonly proxy: Proxy,
    private readonly folder: string,
    private readonly port: number,
  ) {}

  /** Starts one; resolves when it answers. */
  static async start(name: EngineName): Promise<ChaosEngine> {
    const folder = mkdtempSync(path.join(tmpdir(), `rekey-chaos-${name}-`));
    const port = await freePort();
    const proxy = await proxyTo('127.0.0.1', port);
    return new ChaosEngine(name, await startOn(name, folder, port, proxy), proxy, folder, port);
  }

  /** Where the system goes to. */
  get proxied(): string {
    return this.url.replace(`:${this.port}`, `:${this.proxy.port}`);
  }

  /** Resolves when its process is gone. */
  async kill(): Promise<void> {
    const { pid } = this;
    process.kill(pid, 'SIGKILL');
    while (isThere(pid)) await sleep(POLL_MS);
  }

  /** Ends it in good order. */
  async end(): Promise<void> {
    await runScript(this.name, 'stop', [this.folder]);
  }

  /** Starts it again, on the same data and port; resolves when it answers. */
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

  /** Takes its data away, as a lost disk would. Only while it is down. */
  loseData(): void {
    for (const name of DATA[this.name]) rmSync(path.join(this.folder, name), { recursive: true, force: true });
  }

  /**
   * Copies its data as they are at this moment. The answer puts them back in place of what is there then; only while it
   * is down.
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

  /** What it has written to its log since its last start. */
  get output(): string {
    const file = path.join(this.folder, 'log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Ends it and takes its folder away. */
  async remove(): Promise<void> {
    if (existsSync(path.join(this.folder, 'pid'))) await this.kill().catch(() => undefined);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get pid(): number {
    return Number(readFileSync(path.join(this.folder, 'pid'), 'utf8'));
  }
}

const run = promisify(execFile);

/** A broker has to be told where clients are to come. */
const startOn = (name: EngineName, folder: string, port: number, proxy: Proxy): Promise<string> =>
  runScript(name, 'start', [folder, String(port)], { REKEY_NATIVE_ADVERTISED_PORT: String(proxy.port) });

/** What it prints. */
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

/** A process that has ended counts as gone, also where nobody has asked for its end yet. */
const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** A folder that a failure leaves behind. */
export const keptFolder = (): string => mkdtempSync(path.join(tmpdir(), 'rekey-chaos-logs-'));
