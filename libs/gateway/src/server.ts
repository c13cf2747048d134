import { RekeyError } from '@rekey/contracts';
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { PROBLEM_TYPE, problemOf, refuse, type RefusalOptions } from './problem';

export interface ServerOptions extends RefusalOptions {
  readonly http: {
    readonly bodyLimitBytes: number;
    readonly requestTimeoutMs: number;
    readonly trustedProxies: readonly string[];
    readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  };
}

/** How often Node looks for requests that take too long to arrive. */
const CHECK_CONNECTIONS_MS = 5_000;
const CLOSE_WITHIN_MS = 10_000;
/** A UUID or a W3C trace id. Anything else could be a secret, and the request id is logged and sent back. */
const REQUEST_ID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** Returns an HTTP server without routes. It answers every error with a problem document. */
export const createHttpServer = (options: ServerOptions): FastifyInstance => {
  const { http } = options;
  const settings: FastifyServerOptions = {
    bodyLimit: http.bodyLimitBytes,
    requestTimeout: http.requestTimeoutMs,
    trustProxy: http.trustedProxies.length > 0 ? [...http.trustedProxies] : false,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    routerOptions: { maxParamLength: 512 },
    // `addRoutes` adds HEAD itself: Fastify's own would read a stream to its end to discard it.
    exposeHeadRoutes: false,
    forceCloseConnections: 'idle',
    // Routes still answer while the server closes; a stopped part makes them answer `unavailable`.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => void refuse(options, error, request, reply),
    clientErrorHandler: (error, socket) => refuseUnreadable(options, error, socket),
  };
  const node = {
    // `addRoutes` refuses a missing Host, with a problem document.
    requireHostHeader: false,
    // Node applies the greater of `headersTimeout` and `requestTimeout` to the whole request.
    headersTimeout: http.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(http.requestTimeoutMs, CHECK_CONNECTIONS_MS),
    ...http.tls,
  };
  const server = fastify({ ...settings, ...(http.tls ? { https: node } : { http: node }) } as FastifyServerOptions);
  // An unknown expectation may be ignored (RFC 9110 §10.1.1); Node would answer 417 itself.
  server.server.on('checkExpectation', (request, response) => server.server.emit('request', request, response));
  server.server.on('connect', (_request, socket) => refuseUnreadable(options, NO_TUNNEL, socket as Socket));
  server.removeContentTypeParser('text/plain');
  parseJsonStrictly(server);
  closeInTime(server, Math.min(http.requestTimeoutMs, CLOSE_WITHIN_MS));
  server.setErrorHandler((error, request, reply) => refuse(options, error, request, reply));
  server.setNotFoundHandler((request, reply) =>
    refuse(options, new RekeyError('not_found', 'No such path. See /docs for the API.'), request, reply),
  );
  return server;
};

/** Closes open connections some time after closing began. Node no longer enforces its timeouts then. */
const closeInTime = (server: FastifyInstance, withinMs: number): void => {
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

/** Accepts JSON in UTF-8 only (RFC 8259 §8.1). An empty body with `Content-Type: application/json` counts as none. */
const parseJsonStrictly = (server: FastifyInstance): void => {
  const parse = server.getDefaultJsonParser('error', 'error');
  server.removeContentTypeParser('application/json');
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const { 'content-encoding': encoding = 'identity' } = request.headers;
    if (encoding !== 'identity')
      done(new RekeyError('unsupported_media_type', 'Send the body without Content-Encoding.'));
    else if (!isUtf8(body)) done(new RekeyError('invalid_request', 'The body is not UTF-8.', { field: 'body' }));
    else if (body.length === 0) done(null, undefined);
    else void parse(request, body.toString(), done);
  });
};

/** Answers what Node cannot parse as a request. Closes the connection without an answer if a response is under way. */
const refuseUnreadable = (options: ServerOptions, error: Error & { code?: string }, socket: Socket): void => {
  // Private to Node, which finds the response in progress on a connection in the same property.
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

const NO_TUNNEL = Object.assign(new Error('CONNECT is not supported.'), { code: 'CONNECT' });

const unreadable = ({ code }: { readonly code?: string }): RekeyError => {
  if (code === NO_TUNNEL.code) return new RekeyError('method_not_allowed', 'CONNECT is not supported.');
  if (code === 'HPE_HEADER_OVERFLOW')
    return new RekeyError('payload_too_large', 'The request header is larger than this server accepts.');
  const text =
    code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'The request did not arrive in time.' : 'Not a valid HTTP request.';
  return new RekeyError('invalid_request', text);
};
