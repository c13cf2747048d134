import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { AppProcess, type StartOptions } from './app-process.testing';

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

/** A request under `/api/v1` of a server, or to a path of its root where it begins with `//`. */
export const request = async (
  { url: base, token: usual }: { readonly url: string; readonly token: string },
  method: string,
  target: string,
  body?: unknown,
  { token = usual, headers = {} }: RequestOptions = {},
): Promise<Answer> => {
  const url = target.startsWith('//') ? `${base}${target.slice(1)}` : `${base}/api/v1${target}`;
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
};

/** The process, on a port that is free, and the folder of its data. */
const launch = (folder: string, { env: more, args = [] }: StartOptions) => {
  const env = { REKEY_HTTP_PORT: '0', REKEY_STORAGE_PATH: path.join(folder, 'data'), ...more };
  return { app: new AppProcess('standalone', folder, { env, args }), storage: env.REKEY_STORAGE_PATH };
};

/** Standalone as a process of its own, built as `npm start` builds it. */
export class StandaloneProcess {
  private constructor(
    private readonly app: AppProcess,
    readonly folder: string,
    readonly url: string,
    readonly token: string,
  ) {}

  /** Starts on a port that is free; resolves when it says that it runs. */
  static async start(folder: string, options: StartOptions = {}): Promise<StandaloneProcess> {
    const { app, storage } = launch(folder, options);
    const url = await app.started;
    const token = readFileSync(path.join(storage, 'admin-token'), 'utf8').trim();
    return new StandaloneProcess(app, folder, url, token);
  }

  /** Starts, and SIGKILLs after a time, whether or not it runs by then. */
  static async startAndKill(folder: string, afterMs: number, options: StartOptions = {}): Promise<void> {
    const { child } = launch(folder, options).app;
    const exited = once(child, 'exit');
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    await exited;
    clearTimeout(timer);
  }

  get child(): AppProcess['child'] {
    return this.app.child;
  }

  /** Everything that it has written to stdout and stderr. */
  get output(): string {
    return this.app.output;
  }

  /** A request under `/api/v1`, or to a path of the root where it begins with `//`. */
  request(method: string, target: string, body?: unknown, options?: RequestOptions): Promise<Answer> {
    return request(this, method, target, body, options);
  }

  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null> {
    return this.app.end('SIGTERM');
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    await this.app.end('SIGKILL');
  }
}
