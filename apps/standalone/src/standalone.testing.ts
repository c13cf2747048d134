import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const MAIN = path.resolve(__dirname, '../../../dist/apps/standalone/main.js');
const START_TIMEOUT_MS = 60_000;

/** A folder for a test, which `remove` takes away. */
export const temporaryFolder = (): { readonly path: string; remove(): void } => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-'));
  return { path: folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
};

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON; undefined without a body. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into answers of every shape
  readonly body: any;
  readonly text: string;
}

export interface RequestOptions {
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

/** The process, which has an environment of its own, and the folder of its data. */
const launch = (folder: string, { env: more, args = [] }: StartOptions) => {
  const storage = path.join(folder, 'data');
  const env = { HOME: folder, REKEY_HTTP_PORT: '0', REKEY_STORAGE_PATH: storage, ...more };
  const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, env, stdio });
  return { child, storage: env.REKEY_STORAGE_PATH };
};

/** Standalone as a process of its own, built as `npm start` builds it. */
export class StandaloneProcess {
  private constructor(
    readonly child: ChildProcess,
    readonly folder: string,
    readonly url: string,
    readonly token: string,
    private readonly lines: string[],
  ) {}

  /** Starts on a port that is free; resolves when it says that it runs. `dist` must be current (the e2e set-up builds it). */
  static async start(folder: string, options: StartOptions = {}): Promise<StandaloneProcess> {
    const { child, storage } = launch(folder, options);
    const lines: string[] = [];
    const url = await new Promise<string>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${why}\n${lines.join('')}`));
      const timer = setTimeout(() => fail('standalone did not start'), START_TIMEOUT_MS);
      child.once('exit', (code) => fail(`standalone ended with ${code}`));
      let started = false;
      const read = (chunk: Buffer): void => {
        lines.push(chunk.toString());
        const found = started ? undefined : /is running at (\S+)/.exec(lines.join(''))?.[1];
        if (found === undefined) return;
        started = true;
        clearTimeout(timer);
        resolve(found);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
    });
    const token = readFileSync(path.join(storage, 'admin-token'), 'utf8').trim();
    return new StandaloneProcess(child, folder, url, token, lines);
  }

  /** Starts, and SIGKILLs after a time, whether or not it runs by then. */
  static async startAndKill(folder: string, afterMs: number, options: StartOptions = {}): Promise<void> {
    const { child } = launch(folder, options);
    child.stdout.resume();
    child.stderr.resume();
    const exited = once(child, 'exit');
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    await exited;
    clearTimeout(timer);
  }

  /** Everything that it has written to stdout and stderr. */
  get output(): string {
    return this.lines.join('');
  }

  /** A request under `/api/v1`, or to a path of the root where it begins with `//`. */
  async request(method: string, target: string, body?: unknown, options: RequestOptions = {}): Promise<Answer> {
    const { token = this.token, headers = {} } = options;
    const url = target.startsWith('//') ? `${this.url}${target.slice(1)}` : `${this.url}/api/v1${target}`;
    const response = await fetch(url, {
      method,
      headers: {
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = /[/+]json\b/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: json && text !== '' ? JSON.parse(text) : undefined,
    };
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | null> {
    return this.end('SIGTERM');
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  private async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = once(this.child, 'exit') as Promise<[number | null]>;
    this.child.kill(signal);
    const [code] = await exited;
    return code;
  }
}
