import http from 'node:http';

/** What came back, and when. */
export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  /** Parsed JSON; undefined where there is none. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into answers of every shape
  readonly body: any;
}

export interface Asked {
  readonly method: string;
  /** Under `/api/v1`, or from the root where it begins with `//`. */
  readonly target: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called when the head of the answer is read, before anything else can happen. */
  readonly onHead?: (status: number) => void;
}

/** The connection broke, or time ran out, before there was an answer: what became of the request is not known. */
export class NoAnswer extends Error {
  constructor(cause: unknown) {
    super('There was no answer.', { cause });
    this.name = 'NoAnswer';
  }
}

/** A caller with connections of its own that stay open: as many as it has requests in hand. */
export class Client {
  private readonly agent = new http.Agent({ keepAlive: true });
  private readonly host: string;
  private readonly port: number;
  /** How it shows itself. */
  readonly authorization: string;

  /** Waits `timeoutMs` for the next piece of an answer; without it, for ever. */
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

  /** Resolves with whatever answer there is; throws `NoAnswer`. */
  ask({ method, target, body, headers, onHead }: Asked): Promise<Reply> {
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
      request.on('timeout', () => request.destroy(new Error('Nothing came in time.')));
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
