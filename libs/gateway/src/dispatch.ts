import { ERRORS, RekeyError, type Caller, type ErrorCode, type ViewName } from '@rekey/contracts';
import { permit, tellable, type Access, type ActiveSpan, type ActiveView, type Tracing } from '@rekey/platform';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import type { z } from 'zod';
import { problemOf, refuse, type RefusalOptions } from './problem';
import type { Answer, Route } from './route';

export interface RoutingOptions extends RefusalOptions {
  readonly access: Pick<Access, 'authenticate'>;
  readonly viewOf: (name: ViewName) => Pick<ActiveView, 'waitFor' | 'status'>;
  /** Without it, nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** How long a read waits for the position in `Rekey-At-Least`. */
  readonly waitTimeoutMs: number;
}

type AnswerRequest = (request: FastifyRequest, reply: FastifyReply) => Promise<Answer | undefined>;

const ANONYMOUS: Caller = { type: 'system', name: 'anonymous', roles: [], domains: [] };
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const;
const FIELD_LENGTH_MAX = 128;
const POSITION = /^[\w.-]{1,128}$/;

/** Adds routes to a server that does not listen yet. Other methods on their paths are answered with 405. */
export const addRoutes = (server: FastifyInstance, routes: readonly Route[], options: RoutingOptions): void => {
  const responses = new WriteCoalescer();
  for (const route of routes) addRoute(server, route, options, responses);
  refuseOtherMethods(server, routes, options);
};

const addRoute = (server: FastifyInstance, route: Route, options: RoutingOptions, responses: WriteCoalescer): void => {
  const untraced: AnswerRequest = (request, reply) => answerOf(route, request, reply, options);
  const answer = options.tracing ? traced(options.tracing, route, untraced) : untraced;
  server.route({
    method: route.method === 'GET' ? ['GET', 'HEAD'] : route.method,
    url: route.url,
    // Returns no promise: Fastify would watch every response to its end, as it is sent after the promise is resolved.
    handler: (request, reply) => {
      const startedMs = performance.now();
      const fail = (error: unknown): void => {
        // A handler that has hijacked the reply writes to the connection itself.
        if (!reply.sent) refuse(options, error, request, reply);
      };
      const send = (result: Answer): void => {
        try {
          options.metrics.httpRequest(request.method, route.url, result.status, performance.now() - startedMs);
          write(request, reply, result);
        } catch (error) {
          fail(error);
        }
      };
      answer(request, reply).then(
        (result) => {
          if (result) responses.add(() => send(result));
        },
        (error: unknown) => responses.add(() => fail(error)),
      );
    },
  });
};

/** Authenticates, authorises and validates a request, waits for `Rekey-At-Least`, and calls the route's handler. */
const answerOf = async (
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
  options: RoutingOptions,
): Promise<Answer | undefined> => {
  const { headers } = request;
  if (headers.host === undefined && request.raw.httpVersion === '1.1')
    throw new RekeyError('invalid_request', 'HTTP/1.1 requires Host (RFC 9112 §3.2).', { field: 'Host' });
  const { action } = route;
  const needsToken = action !== 'public' && action !== 'proxy';
  const caller = needsToken ? await options.access.authenticate(headers.authorization) : ANONYMOUS;
  const params = parsed(route.params, request.params, 'path', route) as { domainId?: string } | undefined;
  if (needsToken) permit(caller, action, params?.domainId);
  const query = parsed(route.query, request.query, 'query', route);
  const body = parsed(route.body, request.body, 'body', route);
  if (route.writes?.ifMatch === false && headers['if-match'] !== undefined)
    throw new RekeyError('invalid_request', 'This request does not support If-Match.', { field: 'If-Match' });
  const atLeast = headers['rekey-at-least'];
  if (atLeast !== undefined) await waitForViews(String(atLeast), route.views ?? [], options);
  return route.handle({
    params: params as never,
    query: query as never,
    body: body as never,
    caller,
    request,
    reply,
  });
};

/** Parses input by its schema. Throws `invalid_request` for the first problem, with the field's name but not its value. */
const parsed = (schema: z.ZodType | undefined, input: unknown, place: string, route: Route): unknown => {
  if (!schema) {
    if (input === undefined || input === null) return undefined;
    const [field] = typeof input === 'object' && !Array.isArray(input) ? Object.keys(input) : [place];
    if (field === undefined) return undefined;
    throw new RekeyError('invalid_request', 'Unknown field.', { field: shortened(field) });
  }
  const result = schema.safeParse(input ?? (route.bodyOptional && schema === route.body ? {} : input));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : (issue?.path ?? []);
  const field = shortened(path.map(String).join('.') || place);
  const message = issue?.code === 'unrecognized_keys' ? 'Unknown field.' : (issue?.message ?? 'Invalid value.');
  throw new RekeyError('invalid_request', message, { field });
};

const shortened = (field: string): string =>
  field.length > FIELD_LENGTH_MAX ? `${field.slice(0, FIELD_LENGTH_MAX)}…` : field;

const waitForViews = async (position: string, views: readonly ViewName[], options: RoutingOptions): Promise<void> => {
  // All positions of a store have the same length.
  const isPlausible = (known: string): boolean => known === '' || known.length === position.length;
  if (!POSITION.test(position) || !views.every((view) => isPlausible(options.viewOf(view).status().checkpoint)))
    throw new RekeyError('invalid_request', 'Send the Rekey-Position of an earlier response.', {
      field: 'Rekey-At-Least',
    });
  const waits = views.map((view) => options.viewOf(view).waitFor(position, options.waitTimeoutMs));
  if ((await Promise.all(waits)).includes(false))
    throw new RekeyError('unavailable', 'The views have not reached this position yet; try again.');
};

const write = (request: FastifyRequest, reply: FastifyReply, { status, headers, body }: Answer): FastifyReply => {
  reply.code(status).header('cache-control', 'no-store');
  if (headers) reply.headers(headers);
  if (request.method !== 'HEAD' || !(body instanceof Readable)) return reply.send(body);
  body.destroy();
  return reply.send();
};

/** Answers 405 with `Allow` to every other method on the paths of the routes (RFC 9110 §15.5.6). */
const refuseOtherMethods = (server: FastifyInstance, routes: readonly Route[], options: RefusalOptions): void => {
  for (const url of new Set(routes.map((route) => route.url))) {
    const own = routes.filter((route) => route.url === url).map(({ method }) => method);
    const allowed: readonly string[] = own.includes('GET') ? [...own, 'HEAD'] : own;
    server.route({
      method: METHODS.filter((method) => !allowed.includes(method)),
      url,
      handler: (request, reply) => {
        reply.header('allow', allowed.join(', '));
        const code: ErrorCode = 'method_not_allowed';
        return refuse(options, new RekeyError(code, ERRORS[code].title), request, reply);
      },
    });
  }
};

// ── Tracing ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Answers within a span that continues the caller's trace. The span has the route's pattern, the method, the status and
 * an error's code. Paths, headers and bodies could contain secrets and stay out of it.
 */
const traced = (tracing: Tracing, route: Route, answer: AnswerRequest): AnswerRequest => {
  // Health probes would fill the traces.
  if (route.action === 'public') return answer;
  const name = `${route.method} ${route.url}`;
  return async (request, reply) => {
    const { traceparent } = request.headers;
    const attributes = {
      'http.request.method': request.method,
      'http.route': route.url,
      'rekey.correlation_id': tellable(request.id),
    };
    const parent = { traceparent: typeof traceparent === 'string' ? traceparent : undefined, foreign: true };
    const outcome = await tracing.within({ name, kind: 'server', attributes, parent }, async (span) => {
      try {
        const result = await answer(request, reply);
        conclude(span, result?.status ?? reply.statusCode, undefined);
        return { result };
      } catch (error) {
        // Returned, as `within` records an error that it passes on as a failure, and most are 4xx.
        const { problem } = problemOf(error, request.id, request.headers['if-match'] !== undefined);
        conclude(span, problem.status, problem.code);
        return { error };
      }
    });
    if ('error' in outcome) throw outcome.error;
    return outcome.result;
  };
};

const conclude = (span: ActiveSpan, status: number, code: string | undefined): void => {
  span.set({ 'http.response.status_code': status, 'rekey.code': code });
  if (status >= 500) span.fail(code ?? String(status));
};

// ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** The greatest number of responses in a row: the first one waits until the last one is ready. */
const COALESCED_MAX = 32;

/**
 * Sends the responses of one turn of the event loop in a row, at the end of the turn. A write to a socket wakes the
 * reader, and waking it is most of what a write costs; a reader of several responses is woken once. A single response
 * does not wait, as the turn ends right after the sockets were read.
 */
export class WriteCoalescer {
  private waiting: (() => void)[] = [];
  private readonly sendAll = (): void => {
    const { waiting } = this;
    this.waiting = [];
    for (const send of waiting) send();
  };

  /** Calls `send` by the end of this turn, in the order of the calls. `send` must not throw. */
  add(send: () => void): void {
    const count = this.waiting.push(send);
    if (count === 1) setImmediate(this.sendAll);
    else if (count === COALESCED_MAX) this.sendAll();
  }
}
