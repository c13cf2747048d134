import { ERRORS, RekeyError, type Caller, type ErrorCode, type ViewName } from '@rekey/contracts';
import { permit, type Access, type ActiveView, type Metrics } from '@rekey/platform';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify';
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { PROBLEM_TYPE, problemOf } from './problem';
import type { Answer, Route } from './route';

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
  readonly views: Readonly<Record<ViewName, Pick<ActiveView, 'waitFor'>>>;
  /** How long a read waits for the position that its caller has seen. */
  readonly waitTimeoutMs: number;
}

const NOBODY: Caller = { type: 'system', name: 'anonymous', roles: [], domains: [] };
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const POSITION = /^[\w.-]{1,128}$/;
const GIVEN_REQUEST_ID = /^[\w.-]{1,64}$/;

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
    forceCloseConnections: 'idle',
    frameworkErrors: (error, request, reply) => void refuse(options, error, request, reply),
  };
  const server = fastify({ ...settings, ...(http.tls && { https: http.tls }) } as FastifyServerOptions);
  server.removeContentTypeParser('text/plain');
  takeEmptyJson(server);
  server.setErrorHandler((error, request, reply) => refuse(options, error, request, reply));
  server.setNotFoundHandler((request, reply) =>
    refuse(options, new RekeyError('not_found', 'There is nothing at this path.'), request, reply),
  );
  return server;
};

/** Adds a list of routes: authentication, permission, validation, waiting for positions. Before the server listens. */
export const addRoutes = (server: FastifyInstance, routes: readonly Route[], options: RoutingOptions): void => {
  for (const route of routes) addRoute(server, route, options);
  refuseOtherMethods(server, routes, options);
};

/** `Content-Type: application/json` with nothing behind it counts as no body. */
const takeEmptyJson = (server: FastifyInstance): void => {
  const parse = server.getDefaultJsonParser('error', 'error');
  server.removeContentTypeParser('application/json');
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, body as string, done);
  });
};

const addRoute = (server: FastifyInstance, route: Route, options: RoutingOptions): void => {
  const { views = [] } = route;
  server.route({
    method: route.method,
    url: route.url,
    handler: async (request, reply) => {
      const startedMs = performance.now();
      const caller =
        route.action === 'public' || route.action === 'proxy'
          ? NOBODY
          : await options.access.authenticate(request.headers.authorization);
      const params = parsed(route.params, request.params, '', route) as { domainId?: string } | undefined;
      if (route.action !== 'public' && route.action !== 'proxy') permit(caller, route.action, params?.domainId);
      const query = parsed(route.query, request.query, 'query', route);
      const body = parsed(route.body, request.body, '', route);
      const atLeast = request.headers['rekey-at-least'];
      if (atLeast !== undefined) await waitForViews(String(atLeast), views, options);
      const answer = await route.handle({
        params: params as never,
        query: query as never,
        body: body as never,
        caller,
        request,
        reply,
      });
      if (!answer) return reply;
      options.metrics.httpRequest(route.method, route.url, answer.status, performance.now() - startedMs);
      return write(reply, answer);
    },
  });
};

const write = (reply: FastifyReply, answer: Answer): FastifyReply => {
  reply.code(answer.status);
  if (answer.headers) reply.headers(answer.headers);
  return reply.send(answer.body);
};

/** Holds input against its schema; the first thing wrong is refused with the field's name, never its value. */
const parsed = (schema: z.ZodType | undefined, input: unknown, prefix: string, route: Route): unknown => {
  if (!schema) {
    const given =
      typeof input === 'object' && input !== null ? Object.keys(input)[0] : input === undefined ? undefined : '';
    if (given === undefined || input === null) return undefined;
    throw new RekeyError('invalid_request', 'This is not taken here.', { field: given });
  }
  const result = schema.safeParse(input ?? (route.bodyOptional && schema === route.body ? {} : input));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : (issue?.path ?? []);
  const field = path.map(String).join('.') || prefix || 'body';
  const message = issue?.code === 'unrecognized_keys' ? 'This field is not known.' : (issue?.message ?? 'Not valid.');
  throw new RekeyError('invalid_request', message, { field });
};

const waitForViews = async (position: string, views: readonly ViewName[], options: RoutingOptions): Promise<void> => {
  if (!POSITION.test(position))
    throw new RekeyError('invalid_request', 'Send a position that an answer gave you.', { field: 'Rekey-At-Least' });
  const waits = views.map((view) => options.views[view].waitFor(position, options.waitTimeoutMs));
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

/** Every path of ours says which methods it takes (RFC 9110 §15.5.6). */
const refuseOtherMethods = (server: FastifyInstance, routes: readonly Route[], options: ServerOptions): void => {
  for (const url of new Set(routes.map((route) => route.url))) {
    const taken = routes.filter((route) => route.url === url).map((route) => route.method as string);
    const others = METHODS.filter((method) => !taken.includes(method));
    if (others.length === 0) continue;
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
