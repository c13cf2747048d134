import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';

// The CLI as a process, and a fake server.

const ROOT = path.join(__dirname, '../../..');
const LAUNCHER = path.join(ROOT, 'tools/rekey.mjs');
const BUNDLE = path.join(ROOT, 'dist/apps/cli/main.js');

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. Default: empty. */
  readonly input?: string;
  /** Closes standard output after the first chunk, as `head` does. */
  readonly stopReading?: boolean;
}

/** Builds the bundle if it is outdated. The launcher prints a message when it builds, which tests must not see. */
export const buildCli = (): void => {
  const { status, stderr } = spawnSync(process.execPath, [LAUNCHER, '--version'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
};

/** An empty folder as home, so that the CLI does not read the developer's own settings. */
export class Sandbox {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'rekey-cli-'));

  async run(args: readonly string[], { env = {}, input = '', stopReading = false }: RunOptions = {}): Promise<Outcome> {
    const child = spawn(process.execPath, [BUNDLE, ...args], {
      cwd: this.folder,
      env: { HOME: this.folder, ...env },
    });
    child.stdin.end(input);
    const exited = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const [stdout, stderr, code] = await Promise.all([
      stopReading ? firstOf(child.stdout) : text(child.stdout),
      text(child.stderr),
      exited,
    ]);
    return { code, stdout, stderr };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const firstOf = async (stream: AsyncIterable<Buffer>): Promise<string> => {
  for await (const chunk of stream) return chunk.toString();
  return '';
};

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Closes the connection after the body. */
  readonly broken?: boolean;
}

type Handler = (seen: Seen) => Reply;

/** Answers the requests of a route with its replies in order, repeating the last one. Records every request. */
export class FakeServer {
  readonly seen: Seen[] = [];
  private readonly handlers = new Map<string, Handler>();
  private readonly server = createServer((request, response) => {
    void (async () => {
      const target = new URL(request.url ?? '/', 'http://localhost');
      const raw = await text(request);
      const seen: Seen = {
        method: request.method ?? '',
        path: target.pathname,
        query: Object.fromEntries(target.searchParams),
        headers: request.headers,
        body: raw === '' ? undefined : JSON.parse(raw),
      };
      this.seen.push(seen);
      const handler = this.handlers.get(`${seen.method} ${seen.path}`);
      const reply = handler?.(seen) ?? problem(404, 'not_found', 'No such path.');
      const type = reply.status >= 400 ? 'application/problem+json' : 'application/json';
      response.writeHead(reply.status, { 'content-type': type, ...reply.headers });
      const content = reply.text ?? (reply.body === undefined ? '' : JSON.stringify(reply.body));
      if (!reply.broken) return void response.end(content);
      response.write(content, () => request.socket.destroy());
    })();
  });

  on(method: string, path: string, ...replies: readonly (Reply | Handler)[]): this {
    let count = 0;
    this.handlers.set(`${method} ${path}`, (seen) => {
      const reply = replies[Math.min(count++, replies.length - 1)];
      return typeof reply === 'function' ? reply(seen) : (reply ?? { status: 500 });
    });
    return this;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  forget(): void {
    this.seen.length = 0;
    this.handlers.clear();
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export const problem = (status: number, code: string, detail: string, more: object = {}): Reply => ({
  status,
  body: { type: `urn:rekey:error:${code}`, title: code, status, code, detail, correlationId: 'c0rr', ...more },
});
