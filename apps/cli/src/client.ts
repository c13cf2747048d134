import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, Failure, usage } from './failure';
import { plain } from './output';

export interface ClientOptions {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: () => string;
  readonly timeoutMs: number;
  /** The `Idempotency-Key` of this invocation's one write; made where nobody gives one. */
  readonly idempotencyKey?: string | undefined;
  readonly ifMatch?: string | undefined;
  readonly version: string;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Made by `path`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly accept?: string;
  /** Takes `Idempotency-Key` and `If-Match`. */
  readonly write?: boolean;
  readonly ifMatch?: string | undefined;
  /** Asks again until what was to stop is seen to have stopped: a repeat of an accepted write does nothing but wait. */
  readonly settle?: boolean;
  /** Without a token, and answered however it comes: the health probes. */
  readonly open?: boolean;
}

export interface Answer {
  readonly status: number;
  /** The body exactly as it came. */
  readonly text: string;
  readonly body: unknown;
  readonly etag: string | undefined;
  readonly headers: Headers;
}

const ATTEMPTS = 4;
const PAUSE_MS = 300;
const PAUSE_MAX_MS = 5_000;
/** Answers that say nothing about the matter itself. */
const PASSING = [429, 502, 503, 504];
/** Nothing was sent: asking again at once would only find the same. */
const NOT_THERE = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ERR_INVALID_URL'];
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'no such host name',
  EAI_AGAIN: 'the host name cannot be looked up now',
  ECONNRESET: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  EHOSTUNREACH: 'no way to that host',
  ENETUNREACH: 'no way to that network',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed; name a CA file in NODE_EXTRA_CA_CERTS',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate authority is not known; name a CA file in NODE_EXTRA_CA_CERTS',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate authority is not known; name a CA file in NODE_EXTRA_CA_CERTS',
  CERT_HAS_EXPIRED: 'its certificate has expired',
};

/** A path of the API: what is put in stays one segment, whatever it holds. */
export const path = (texts: TemplateStringsArray, ...segments: readonly string[]): string =>
  texts.reduce((whole, text, index) => {
    const segment = segments[index - 1] ?? '';
    if (/^\.{0,2}$/.test(segment)) throw usage(`"${segment}" is no id.`);
    return whole + encodeURIComponent(segment) + text;
  });

/** Talks to the native API. */
export class Client {
  private readonly key: string;

  constructor(private readonly options: ClientOptions) {
    this.key = options.idempotencyKey ?? `cli-${randomUUID()}`;
  }

  /**
   * Sends one call and answers what was accepted. A write is sent again, a few times and under the same key, where no
   * answer came or one that says nothing (503, 504), so that it is done once. Throws `Failure`.
   */
  async send(call: Call): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const last = attempt === ATTEMPTS || call.open === true;
      let pause = PAUSE_MS * 2 ** (attempt - 1);
      try {
        const answer = await this.read(call);
        const settled = !(call.settle && answer.status === 202);
        const passing = answer.status === 503 || answer.status === 504;
        if (last || (settled && !passing)) return this.accepted(call, answer);
        const asked = Number(answer.headers.get('retry-after') ?? 'NaN') * 1000;
        if (asked >= 0) pause = Math.min(asked, PAUSE_MAX_MS);
      } catch (error) {
        if (error instanceof Failure || last || NOT_THERE.includes(codeOf(error))) throw this.unreached(call, error);
      }
      await sleep(pause);
    }
  }

  /** Sends a call whose answer is too long to hold, and answers it as it comes. Throws `Failure`. */
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
        ...(!call.open && { authorization: `Bearer ${token()}` }),
        ...(call.body !== undefined && { 'content-type': 'application/json' }),
        ...(call.write && { 'idempotency-key': this.key }),
        ...(call.write && ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    });
  }

  private accepted(call: Call, answer: Answer): Answer {
    if ((answer.status >= 200 && answer.status < 300) || call.open) return answer;
    throw this.refusal(call, answer);
  }

  private refusal(call: Call, { status, text, body, headers }: Answer): Failure {
    const exit = PASSING.includes(status) ? EXIT.unreachable : EXIT.refused;
    const problem = problemIn(body);
    if (!problem) {
      const location = headers.get('location');
      const moved = status >= 300 && status < 400 && location ? `, and points to ${plain(location)}` : '';
      const words = `${this.options.url} answered ${status}${moved}: that is not an answer of Rekey's. Is the address right?`;
      return new Failure(exit, words);
    }
    const { code, detail, correlationId, field } = problem;
    const lines = [`${detail} (${code}${field === undefined ? '' : `, field ${field}`})`];
    if (code === 'unauthenticated') lines.push('The token that rekey showed is not one that this server takes.');
    if (code === 'rate_limited') lines.push(`Try again in ${headers.get('retry-after') ?? 'some'} seconds.`);
    if (call.write && (status === 503 || status === 504)) lines.push(this.again());
    if (correlationId !== undefined) lines.push(`Correlation id: ${correlationId}`);
    const credentials = code === 'invalid_client_credentials';
    return new Failure(credentials ? EXIT.credentials : exit, lines.map(plain).join('\n'), text);
  }

  private unreached(call: Call, error: unknown): unknown {
    if (error instanceof Failure) return error;
    const code = codeOf(error);
    const timeout = error instanceof Error && error.name === 'TimeoutError';
    // Anything else is a fault of ours, and not the network's.
    if (!timeout && !(error instanceof TypeError && error.cause !== undefined)) return error;
    const why = timeout ? `no answer within ${this.options.timeoutMs / 1000} s` : (REASONS[code] ?? code.toLowerCase());
    const lines = [`Rekey cannot be reached at ${this.options.url}: ${why}.`];
    if (NOT_THERE.includes(code)) lines.push('Is it running (npm start), and is the address right (--url, REKEY_URL)?');
    else if (call.write) lines.push(this.again());
    return new Failure(EXIT.unreachable, lines.join('\n'));
  }

  /** What to do where nobody knows whether a write was done. */
  private again(): string {
    return `Whether it was done is not known. To be sure that it is done once, repeat it with --idempotency-key ${this.key}`;
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

/** The system's name for what went wrong, which fetch hides in the cause, or in the first of several causes. */
const codeOf = (error: unknown): string => {
  let place: unknown = error;
  for (let depth = 0; depth < 4 && place instanceof Error; depth++) {
    const { code } = place as NodeJS.ErrnoException;
    if (typeof code === 'string') return code;
    place = place.cause ?? (place as AggregateError).errors?.[0];
  }
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : 'no connection';
};
