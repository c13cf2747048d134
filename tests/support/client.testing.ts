import http from 'node:http';
import type { Json } from './request.testing';

/** An answer over HTTP. */
export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  /** Parsed JSON; undefined if the body is not JSON. */
  readonly body: Json;
}

export interface ClientRequest {
  readonly method: string;
  /** A path under `/api/v1`, or from the root if it begins with `//`. */
  readonly target: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called synchronously when the head of the answer has been read. */
  readonly onHead?: (status: number) => void;
}

/** The connection broke or timed out before an answer arrived. Whether the request was executed is unknown. */
export class NoAnswer extends Error {
  constructor(cause: unknown) {
    super('No answer arrived.', { cause });
    this.name = 'NoAnswer';
  }
}

/** An HTTP client with its own keep-alive connections, one per concurrent request. */
export class Client {
  private readonly agent = new http.Agent({ keepAlive: true });
  private readonly host: string;
  private readonly port: number;
  /** Value of its Authorization header. */
  readonly authorization: string;

  /** `timeoutMs`: longest wait for the next chunk of an answer. Without it, the client waits forever. */
  constructor(
    url: string,
    token: string,
    private readonly timeoutMs?: number,
  ) {
    const { hostname, port } = new URL(url);
    this.host = hostname;
    this.port = Number(port);
    this.authorization = `Bearer ${token}`;
  }

  /** Resolves with the answer, whatever its status. Throws `NoAnswer`. */
  ask({ method, target, body, headers, onHead }: ClientRequest): Promise<Reply> {
    const content = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(new NoAnswer(error));
      const request = http.request({
        agent: this.agent,
        timeout: this.timeoutMs,
        host: this.host,
        port: this.port,
        method,
        path: target.startsWith('//') ? target.slice(1) : `/api/v1${target}`,
        headers: {
          authorization: this.authorization,
          ...(content !== undefined && {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(content),
          }),
          ...headers,
        },
      });
      request.on('error', fail);
      request.on('timeout', () => request.destroy(new Error('The request timed out.')));
      request.on('response', (response) => {
        const { statusCode: status = 0, headers: received } = response;
        onHead?.(status);
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const json = /^application\/(problem\+)?json/.test(received['content-type'] ?? '') && text !== '';
          resolve({ status, headers: received, text, body: json ? JSON.parse(text) : undefined });
        });
      });
      request.end(content);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
