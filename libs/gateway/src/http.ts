import { ERRORS, RekeyError, type Caller, type ErrorCode, type ViewName } from '@rekey/contracts';
import { permit, type Access, type ActiveView, type Metrics, type Tracing } from '@rekey/platform';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify';
import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { Outbox } from './outbox';
import { PROBLEM_TYPE, problemOf } from './problem';
import type { Answer, Route } from './route';
import { traced } from './traced';

export interface ServerOptions {
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'httpRequest'>;
  readonly http: {
    readonly bodyLimitBytes: number;
    readonly requestTimeoutMs: number;
    readonly trustedProxies: readonly string[];
    readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  };
}

export interface RoutingOptions extends ServerOptions {
  readonly access: Pick<Access, 'authenticate'>;
  readonly viewOf: (name: ViewName) => Pick<ActiveView, 'waitFor' | 'status'>;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** How long a read waits for the position that its caller has seen. */
  readonly waitTimeoutMs: number;
}

const NOBODY: Caller = { type: 'system', name: 'anonymous', roles: [], domains: [] };
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const;
const FIELD_LENGTH_MAX = 128;
/** How often Node looks for requests that take too long to arrive. */
const CHECK_CONNECTIONS_MS = 5_000;
const CLOSE_WITHIN_MS = 10_000;
const POSITION = /^[\w.-]{1,128}$/;
/** A UUID or a W3C trace id: free text could be anything, and this goes into the log and the answer. */
const GIVEN_REQUEST_ID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** An HTTP server without routes that answers whatever goes wrong with a problem document. */
export const createHttpServer = (options: ServerOptions): FastifyInstance => {
  const { http } = options;
  const settings: FastifyServerOptions = {
    bodyLimit: http.bodyLimitBytes,
    requestTimeout: http.requestTimeoutMs,
    trustProxy: http.trustedProxies.length > 0 ? [...http.trustedProxies] : false,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && GIVEN_REQUEST_ID.test(given) ? given : randomUUID();
    },
    routerOptions: { maxParamLength: 512 },
    // Like GET, but written down here, for a stream must not be read to its end to be thrown away.
    exposeHeadRoutes: false,
    forceCloseConnections: 'idle',
    // While it closes, routes still answer for themselves: what is away says `unavailable`.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => void refuse(options, error, request, reply),
    clientErrorHandler: (error, socket) => refuseUnreadable(options, error, socket),
  };
  // A missing Host is refused with a problem document, as everything else.
  const connectionsCheckingInterval = Math.min(http.requestTimeoutMs, CHECK_CONNECTIONS_MS);
  // Node takes the greater of its two limits for the whole request, whichever it is.
  const headersTimeout = http.requestTimeoutMs;
  const node = { requireHostHeader: false, headersTimeout, connectionsCheckingInterval, ...http.tls };
  const server = fastify({ ...settings, ...(http.tls ? { https: node } : { http: node }) } as FastifyServerOptions);
  // An expectation that is not known may be ignored (RFC 9110 §10.1.1).
  server.server.on('checkExpectation', (request, response) => server.server.emit('request', request, response));
  server.server.on('connect', (_request, socket) => refuseUnreadable(options, NO_TUNNEL, socket as Socket));
  server.removeContentTypeParser('text/plain');
  takeJson(server);
  endInTime(server, Math.min(http.requestTimeoutMs, CLOSE_WITHIN_MS));
  server.setErrorHandler((error, request, reply) => refuse(options, error, request, reply));
  server.setNotFoundHandler((request, reply) =>
    refuse(options, new RekeyError('not_found', 'There is nothing at this path.'), request, reply),
  );
  return server;
};

/** A server that closes finishes what it is asked, but a caller that stalls must not keep it: Node looks no more by then. */
const endInTime = (server: FastifyInstance, withinMs: number): void => {
  let timer: NodeJS.Timeout | undefined;
  server.addHook('preClose', (done) => {
    timer = setTimeout(() => server.server.closeAllConnections(), withinMs);
    done();
  });
  server.addHook('onClose', (_instance, done) => {
    clearTimeout(timer);
    done();
  });
};

/** Adds a list of routes: authentication, permission, validation, waiting for positions. Before the server listens. */
export const addRoutes = (server: FastifyInstance, routes: readonly Route[], options: RoutingOptions): void => {
  const outbox = new Outbox();
  for (const route of routes) addRoute(server, route, options, outbox);
  refuseOtherMethods(server, routes, options);
};

/** JSON in UTF-8 (RFC 8259 §8.1); `Content-Type: application/json` with nothing behind it counts as no body. */
const takeJson = (server: FastifyInstance): void => {
  const parse = server.getDefaultJsonParser('error', 'error');
  server.removeContentTypeParser('application/json');
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const { 'content-encoding': encoding = 'identity' } = request.headers;
    if (encoding !== 'identity')
      done(new RekeyError('unsupported_media_type', 'Send the body without a content encoding.'));
    else if (!isUtf8(body)) done(new RekeyError('invalid_request', 'The body is not UTF-8.', { field: 'body' }));
    else if (body.length === 0) done(null, undefined);
    else void parse(request, body.toString(), done);
  });
};

const addRoute = (server: FastifyInstance, route: Route, options: RoutingOptions, outbox: Outbox): void => {
  const untraced = (request: FastifyRequest, reply: FastifyReply) => answerOf(route, request, reply, options);
  const ask = options.tracing ? traced(options.tracing, route, untraced) : untraced;
  server.route({
    method: route.method === 'GET' ? ['GET', 'HEAD'] : route.method,
    url: route.url,
    // Answers no promise: Fastify would watch each answer to its end, as it is not sent yet when the promise is kept.
    handler: (request, reply) => {
      const startedMs = performance.now();
      const fail = (error: unknown): void => {
        // Where a route writes to the connection itself, nothing else can be said there.
        if (!reply.sent) refuse(options, error, request, reply);
      };
      const send = (answer: Answer): void => {
        try {
          options.metrics.httpRequest(request.method, route.url, answer.status, performance.now() - startedMs);
          write(request, reply, answer);
        } catch (error) {
          fail(error);
        }
      };
      ask(request, reply).then(
        (answer) => {
          if (answer) outbox.add(() => send(answer));
        },
        (error: unknown) => outbox.add(() => fail(error)),
      );
    },
  });
};

/** Everything that stands between a request and its route's handler; undefined where that wrote the answer itself. */
const answerOf = async (
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
  options: RoutingOptions,
): Promise<Answer | undefined> => {
  const { headers } = request;
  if (headers.host === undefined && request.raw.httpVersion === '1.1')
    throw new RekeyError('invalid_request', 'HTTP/1.1 needs it (RFC 9112 §3.2).', { field: 'Host' });
  const caller =
    route.action === 'public' || route.action === 'proxy'
      ? NOBODY
      : await options.access.authenticate(headers.authorization);
  const params = parsed(route.params, request.params, 'path', route) as { domainId?: string } | undefined;
  if (route.action !== 'public' && route.action !== 'proxy') permit(caller, route.action, params?.domainId);
  const query = parsed(route.query, request.query, 'query', route);
  const body = parsed(route.body, request.body, 'body', route);
  if (route.writes?.ifMatch === false && headers['if-match'] !== undefined)
    throw new RekeyError('invalid_request', 'There is nothing here yet that it could match.', { field: 'If-Match' });
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

const write = (request: FastifyRequest, reply: FastifyReply, { status, headers, body }: Answer): FastifyReply => {
  reply.code(status).header('cache-control', 'no-store');
  if (headers) reply.headers(headers);
  if (request.method !== 'HEAD' || !(body instanceof Readable)) return reply.send(body);
  body.destroy();
  return reply.send();
};

/** Holds input against its schema; the first thing wrong is refused with the field's name, never its value. */
const parsed = (schema: z.ZodType | undefined, input: unknown, place: string, route: Route): unknown => {
  if (!schema) {
    if (input === undefined || input === null) return undefined;
    const [field] = typeof input === 'object' && !Array.isArray(input) ? Object.keys(input) : [place];
    if (field === undefined) return undefined;
    throw new RekeyError('invalid_request', 'This is not taken here.', { field: shortened(field) });
  }
  const result = schema.safeParse(input ?? (route.bodyOptional && schema === route.body ? {} : input));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : (issue?.path ?? []);
  const field = shortened(path.map(String).join('.') || place);
  const message = issue?.code === 'unrecognized_keys' ? 'This field is not known.' : (issue?.message ?? 'Not valid.');
  throw new RekeyError('invalid_request', message, { field });
};

/** A field of the caller's own making can have any length. */
const shortened = (field: string): string =>
  field.length > FIELD_LENGTH_MAX ? `${field.slice(0, FIELD_LENGTH_MAX)}…` : field;

const waitForViews = async (position: string, views: readonly ViewName[], options: RoutingOptions): Promise<void> => {
  // Positions of one store are all as long as each other.
  const isOne = (known: string): boolean => known === '' || known.length === position.length;
  if (!POSITION.test(position) || !views.every((view) => isOne(options.viewOf(view).status().checkpoint)))
    throw new RekeyError('invalid_request', 'Send a position that an answer gave you.', { field: 'Rekey-At-Least' });
  const waits = views.map((view) => options.viewOf(view).waitFor(position, options.waitTimeoutMs));
  if ((await Promise.all(waits)).includes(false))
    throw new RekeyError('unavailable', 'The views have not come to this position yet; try again.');
};

/** Answers an error as a problem document; what is not known is `internal`, and only the log says why. */
const refuse = (options: ServerOptions, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
  const conditional = request.headers['if-match'] !== undefined;
  const { problem, headers } = problemOf(error, request.id, conditional);
  const line = {
    correlationId: request.id,
    code: problem.code,
    method: request.method,
    route: request.routeOptions?.url,
    ...(problem.status >= 500 && { err: error }),
  };
  // Measured without a hook on every answer: a refusal's time says little, its number much.
  options.metrics.httpRequest(request.method, request.routeOptions?.url ?? 'none', problem.status, 0);
  if (problem.status >= 500) options.log.error(line, 'request failed');
  else options.log.debug(line, 'request refused');
  return reply
    .code(problem.status)
    .headers(headers)
    .header('cache-control', 'no-store')
    .type(PROBLEM_TYPE)
    .send(problem);
};

/** What Node could not read as a request is answered too, where nothing of an answer is under way. */
const refuseUnreadable = (options: ServerOptions, error: Error & { code?: string }, socket: Socket): void => {
  // Node knows the answer that is being written on a connection, and so does its own handler.
  const { _httpMessage: current } = socket as Socket & { _httpMessage?: ServerResponse | null };
  if (error.code === 'ECONNRESET' || !socket.writable || current?.headersSent) return void socket.destroy();
  const { problem } = problemOf(unreadable(error), randomUUID());
  options.metrics.httpRequest('none', 'none', problem.status, 0);
  options.log.debug({ correlationId: problem.correlationId, code: problem.code, cause: error.code }, 'request refused');
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    'Connection: close',
    'Cache-Control: no-store',
    `Content-Type: ${PROBLEM_TYPE}; charset=utf-8`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(problem.code === 'method_not_allowed' ? ['Allow:'] : []),
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
};

const NO_TUNNEL = Object.assign(new Error('CONNECT is not taken.'), { code: 'CONNECT' });

const unreadable = ({ code }: { readonly code?: string }): RekeyError => {
  if (code === NO_TUNNEL.code) return new RekeyError('method_not_allowed', 'This is no proxy.');
  if (code === 'HPE_HEADER_OVERFLOW')
    return new RekeyError('payload_too_large', 'The header is larger than this server takes.');
  const text = code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'The request did not arrive in time.' : 'This is not HTTP.';
  return new RekeyError('invalid_request', text);
};

/** Every path of ours says which methods it takes (RFC 9110 §15.5.6). */
const refuseOtherMethods = (server: FastifyInstance, routes: readonly Route[], options: ServerOptions): void => {
  for (const url of new Set(routes.map((route) => route.url))) {
    const own = routes.filter((route) => route.url === url).map(({ method }) => method);
    const taken: readonly string[] = own.includes('GET') ? [...own, 'HEAD'] : own;
    const others = METHODS.filter((method) => !taken.includes(method));
    server.route({
      method: others,
      url,
      handler: (request, reply) => {
        reply.header('allow', taken.join(', '));
        const code: ErrorCode = 'method_not_allowed';
        return refuse(options, new RekeyError(code, ERRORS[code].title), request, reply);
      },
    });
  }
};
