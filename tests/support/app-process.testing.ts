import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const DIST = path.resolve(__dirname, '../../dist/apps');
const START_TIMEOUT_MS = 90_000;

export type AppName = 'standalone' | 'command-service' | 'projector' | 'expiry-watcher' | 'gateway';

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

/** A built app as a process of its own, with an environment of its own, in a folder. */
export class AppProcess {
  private readonly lines: string[] = [];
  /** Resolves with its address when it says that it runs; rejects where it ends before, or takes too long. */
  readonly started: Promise<string>;
  readonly child: ChildProcess;

  /** Launches it; `dist` must be current (the e2e set-up builds it). */
  constructor(
    readonly app: AppName,
    readonly folder: string,
    { env, args = [] }: StartOptions = {},
  ) {
    const main = path.join(DIST, app, 'main.js');
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
    const child = spawn(process.execPath, [main, ...args], { cwd: folder, env: { HOME: folder, ...env }, stdio });
    this.child = child;
    this.started = new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${app} ${why}\n${this.output}`));
      const timer = setTimeout(() => fail('did not start'), START_TIMEOUT_MS);
      child.once('exit', (code, signal) => {
        clearTimeout(timer);
        fail(`ended with ${code ?? signal}`);
      });
      let found: string | undefined;
      const read = (chunk: Buffer): void => {
        this.lines.push(chunk.toString());
        found ??= /is running at (\S+)/.exec(this.output)?.[1];
        if (found === undefined) return;
        clearTimeout(timer);
        resolve(found);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
    });
    // Not everybody waits for it.
    this.started.catch(() => undefined);
  }

  /** Everything that it has written to stdout and stderr. */
  get output(): string {
    return this.lines.join('');
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends a signal; resolves with the exit code when it has ended. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.isRunning) return this.child.exitCode;
    const exited = once(this.child, 'exit') as Promise<[number | null]>;
    this.child.kill(signal);
    const [code] = await exited;
    return code;
  }
}
