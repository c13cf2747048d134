import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, Failure, usage } from './failure';
import { plain } from './output';

export interface ClientOptions {
  /** Without a trailing slash. */
  readonly url: string;
  readonly token: () => string;
  readonly timeoutMs: number;
  /** `Idempotency-Key` of the write of this invocation. Default: random. */
  readonly idempotencyKey?: string | undefined;
  readonly ifMatch?: string | undefined;
  readonly version: string;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Built with `path`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly accept?: string;
  /** Sends `Idempotency-Key` and `If-Match`. */
  readonly write?: boolean;
  readonly ifMatch?: string | undefined;
  /** Repeats the request while the answer is 202: the repeat of an accepted write only waits until it is in effect. */
  readonly untilEffective?: boolean;
  /** Sends no token and returns any status: the health probes. */
  readonly public?: boolean;
}

export interface Answer {
  readonly status: number;
  /** The body, unchanged. */
  readonly text: string;
  readonly body: unknown;
  readonly etag: string | undefined;
  readonly headers: Headers;
}

const ATTEMPTS = 4;
const PAUSE_MS = 300;
const PAUSE_MAX_MS = 5_000;
/** Temporary errors: the request may succeed later. */
const TEMPORARY = [429, 502, 503, 504];
/** The server was not reached: a retry within seconds does not help. */
const NOT_REACHED = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ERR_INVALID_URL'];
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'unknown host',
  EAI_AGAIN: 'the host name cannot be resolved',
  ECONNRESET: 'connection closed',
  UND_ERR_SOCKET: 'connection closed',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'network unreachable',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed; set NODE_EXTRA_CA_CERTS to a CA file',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate authority is unknown; set NODE_EXTRA_CA_CERTS to a CA file',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate authority is unknown; set NODE_EXTRA_CA_CERTS to a CA file',
  CERT_HAS_EXPIRED: 'its certificate has expired',
};

/** Builds an API path. Each value is percent-encoded, so it stays one segment. */
export const path = (texts: TemplateStringsArray, ...segments: readonly string[]): string =>
  texts.reduce((whole, text, index) => {
    const segment = segments[index - 1] ?? '';
    if (/^\.{0,2}$/.test(segment)) throw usage(`"${segment}" is not a valid id.`);
    return whole + encodeURIComponent(segment) + text;
  });

/** HTTP client of the Rekey API. */
export class Client {
  private readonly key: string;

  constructor(private readonly options: ClientOptions) {
    this.key = options.idempotencyKey ?? `cli-${randomUUID()}`;
  }

  /**
   * Sends a request and returns the answer if it was accepted. Retries a few times when no answer came, or 503 or 504; a
   * write keeps its idempotency key, so it takes effect once. Throws `Failure`.
   */
  async send(call: Call): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const last = attempt === ATTEMPTS || call.public === true;
      let pause = PAUSE_MS * 2 ** (attempt - 1);
      try {
        const answer = await this.read(call);
        const notEffective = call.untilEffective === true && answer.status === 202;
        const temporary = answer.status === 503 || answer.status === 504;
        if (last || (!notEffective && !temporary)) return this.accepted(call, answer);
        const requested = Number(answer.headers.get('retry-after') ?? 'NaN') * 1000;
        if (requested >= 0) pause = Math.min(requested, PAUSE_MAX_MS);
      } catch (error) {
        if (error instanceof Failure || last || NOT_REACHED.includes(codeOf(error))) throw this.unreached(call, error);
      }
      await sleep(pause);
    }
  }

  /** Sends a request and returns the answer as a stream, for answers too large for memory. Throws `Failure`. */
  async stream(call: Call): Promise<{ readonly headers: Headers; readonly chunks: AsyncIterable<Uint8Array> }> {
    try {
      const response = await this.fetch(call, undefined);
      if (!response.ok || !response.body) this.accepted(call, await answerOf(response));
      return { headers: response.headers, chunks: this.guarded(call, response.body ?? new ReadableStream()) };
    } catch (error) {
      throw this.unreached(call, error);
    }
  }

  private async *guarded(call: Call, body: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
    const reader = body.getReader();
    try {
      for (let next = await this.next(call, reader); !next.done; next = await this.next(call, reader)) yield next.value;
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  private async next(call: Call, reader: ReadableStreamDefaultReader<Uint8Array>) {
    return reader.read().catch((error: unknown) => {
      throw this.unreached(call, error);
    });
  }

  private async read(call: Call): Promise<Answer> {
    return answerOf(await this.fetch(call, AbortSignal.timeout(this.options.timeoutMs)));
  }

  private async fetch(call: Call, signal: AbortSignal | undefined): Promise<Response> {
    const { url, token, version } = this.options;
    const target = new URL(url + call.path);
    for (const [name, value] of Object.entries(call.query ?? {}))
      if (value !== undefined) target.searchParams.set(name, String(value));
    const ifMatch = call.ifMatch ?? this.options.ifMatch;
    return fetch(target, {
      method: call.method,
      redirect: 'manual',
      ...(signal && { signal }),
      headers: {
        accept: call.accept ?? 'application/json',
        'user-agent': `rekey-cli/${version}`,
        ...(!call.public && { authorization: `Bearer ${token()}` }),
        ...(call.body !== undefined && { 'content-type': 'application/json' }),
        ...(call.write && { 'idempotency-key': this.key }),
        ...(call.write && ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    });
  }

  private accepted(call: Call, answer: Answer): Answer {
    if ((answer.status >= 200 && answer.status < 300) || call.public) return answer;
    throw this.refusal(call, answer);
  }

  private refusal(call: Call, { status, text, body, headers }: Answer): Failure {
    const exit = TEMPORARY.includes(status) ? EXIT.unreachable : EXIT.refused;
    const problem = problemIn(body);
    if (!problem) {
      const location = headers.get('location');
      const moved = status >= 300 && status < 400 && location ? ` and redirects to ${plain(location)}` : '';
      const message = `${this.options.url} answered ${status}${moved}. This is not a Rekey answer; check the server address.`;
      return new Failure(exit, message);
    }
    const { code, detail, correlationId, field } = problem;
    const lines = [`${detail} (${code}${field === undefined ? '' : `, field ${field}`})`];
    if (code === 'unauthenticated')
      lines.push('The server does not accept this token. Check --token-file, REKEY_TOKEN_FILE or REKEY_TOKEN.');
    if (code === 'rate_limited') lines.push(`Try again in ${headers.get('retry-after') ?? 'some'} seconds.`);
    if (call.write && (status === 503 || status === 504)) lines.push(this.retryHint());
    if (correlationId !== undefined) lines.push(`Correlation id: ${correlationId}`);
    const credentials = code === 'invalid_client_credentials';
    return new Failure(credentials ? EXIT.credentials : exit, lines.map(plain).join('\n'), text);
  }

  private unreached(call: Call, error: unknown): unknown {
    if (error instanceof Failure) return error;
    const code = codeOf(error);
    const timeout = error instanceof Error && error.name === 'TimeoutError';
    // Any other error is a bug in the CLI, not a network error.
    if (!timeout && !(error instanceof TypeError && error.cause !== undefined)) return error;
    const why = timeout
      ? `no response within ${this.options.timeoutMs / 1000} s`
      : (REASONS[code] ?? code.toLowerCase());
    const lines = [`Cannot reach Rekey at ${this.options.url}: ${why}.`];
    if (NOT_REACHED.includes(code))
      lines.push('Check that the server is running (npm start) and that the address is right (--url, REKEY_URL).');
    else if (call.write) lines.push(this.retryHint());
    return new Failure(EXIT.unreachable, lines.join('\n'));
  }

  /** How to retry a write whose outcome is unknown. */
  private retryHint(): string {
    return `The outcome is unknown. To retry safely, repeat the command with --idempotency-key ${this.key}`;
  }
}

const answerOf = async (response: Response): Promise<Answer> => {
  const text = await response.text();
  const { status, headers } = response;
  return { status, text, body: jsonOf(text), etag: headers.get('etag') ?? undefined, headers };
};

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const problemIn = (body: unknown) => {
  if (typeof body !== 'object' || body === null) return undefined;
  const text = (name: string): string | undefined => {
    const value: unknown = (body as Record<string, unknown>)[name];
    return typeof value === 'string' ? value : undefined;
  };
  const [code, detail] = [text('code'), text('detail') ?? text('title')];
  if (code === undefined || detail === undefined) return undefined;
  return { code, detail, field: text('field'), correlationId: text('correlationId') };
};

/** Returns the error code of the system. `fetch` puts it in the cause, or in the first of several causes. */
const codeOf = (error: unknown): string => {
  let place: unknown = error;
  for (let depth = 0; depth < 4 && place instanceof Error; depth++) {
    const { code } = place as NodeJS.ErrnoException;
    if (typeof code === 'string') return code;
    place = place.cause ?? (place as AggregateError).errors?.[0];
  }
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : 'no connection';
};
