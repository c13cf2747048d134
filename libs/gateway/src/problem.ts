import { ERRORS, publicErrorOf, type ErrorCode } from '@rekey/contracts';
import type { ErrorDetails } from '@rekey/domain';
import type { Metrics } from '@rekey/platform';
import { EngineUnavailable } from '@rekey/ports';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Answer } from './route';

/** RFC 9457 problem document. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  /** The request id, which is in the log line, too. */
  readonly correlationId: string;
  readonly [member: string]: unknown;
}

export const PROBLEM_TYPE = 'application/problem+json';

/** `Retry-After` while a store or broker is unavailable. */
const UNAVAILABLE_RETRY_SECONDS = 1;

const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_request',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_request',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_BAD_URL: 'invalid_request',
  FST_ERR_ASYNC_CONSTRAINT: 'invalid_request',
  FST_ERR_MAX_PARAM_LENGTH: 'invalid_request',
};

const fallbackText: Partial<Record<ErrorCode, string>> = {
  invalid_request: 'The request cannot be parsed.',
  payload_too_large: 'The body is larger than http.bodyLimitBytes.',
  unsupported_media_type: 'Send the body as application/json.',
  unavailable: 'A store or broker is unavailable; try again.',
  internal: 'Unexpected error; search the log for the correlation id.',
};

/** Returns the code, public text and details of an error. Anything unexpected is `internal`, without details. */
const publicPartOf = (error: unknown): { code: ErrorCode; message: string; details: ErrorDetails } => {
  const known = publicErrorOf(error);
  if (known) return { code: known.code, message: known.message, details: known.details ?? {} };
  const code = error instanceof EngineUnavailable ? 'unavailable' : frameworkCodeOf(error);
  return { code, message: fallbackText[code] ?? ERRORS[code].title, details: {} };
};

const frameworkCodeOf = (error: unknown): ErrorCode => {
  const { code, statusCode } = (error ?? {}) as { readonly code?: unknown; readonly statusCode?: unknown };
  if (typeof code === 'string' && Object.hasOwn(frameworkCodes, code)) return frameworkCodes[code] ?? 'internal';
  return statusCode === 400 ? 'invalid_request' : 'internal';
};

/**
 * Returns the problem document of an error and the headers that go with it. `conditional`: the request had `If-Match`, so
 * a revision conflict is 412 instead of 409.
 */
export const problemOf = (
  error: unknown,
  correlationId: string,
  conditional = false,
): { problem: Problem; headers: Record<string, string> } => {
  const { code, message, details } = publicPartOf(error);
  const { status: tableStatus, title } = ERRORS[code];
  const status = code === 'revision_conflict' && conditional ? 412 : tableStatus;
  const { retryAfterSeconds, ...members } = details as ErrorDetails & { retryAfterSeconds?: number };
  const headers: Record<string, string> = {};
  if (code === 'unavailable') headers['retry-after'] = String(UNAVAILABLE_RETRY_SECONDS);
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(retryAfterSeconds);
  if (code === 'unauthenticated') headers['www-authenticate'] = 'Bearer';
  return {
    problem: { ...members, type: `urn:rekey:error:${code}`, title, status, code, detail: message, correlationId },
    headers,
  };
};

/** Returns an error as an answer, for the check, where throwing would cost measurable time. */
export const problemAnswer = (error: unknown, correlationId: string): Answer => {
  const { problem, headers } = problemOf(error, correlationId);
  return {
    status: problem.status,
    body: problem,
    headers: { ...headers, 'cache-control': 'no-store', 'content-type': `${PROBLEM_TYPE}; charset=utf-8` },
  };
};

export interface RefusalOptions {
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'httpRequest'>;
}

/** Logs, counts and sends an error as a problem document. Only the log has the cause of an `internal` error. */
export const refuse = (
  { log, metrics }: RefusalOptions,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply => {
  const conditional = request.headers['if-match'] !== undefined;
  const { problem, headers } = problemOf(error, request.id, conditional);
  const route = request.routeOptions?.url;
  const isOurFault = problem.status >= 500;
  const line = {
    correlationId: request.id,
    code: problem.code,
    method: request.method,
    route,
    ...(isOurFault && { err: error }),
  };
  // Counted, but not timed: timing would need a hook on every response.
  metrics.httpRequest(request.method, route ?? 'none', problem.status, 0);
  if (isOurFault) log.error(line, 'request failed');
  else log.debug(line, 'request refused');
  return reply
    .code(problem.status)
    .headers(headers)
    .header('cache-control', 'no-store')
    .type(PROBLEM_TYPE)
    .send(problem);
};
