import { ERRORS, publicErrorOf, type ErrorCode } from '@rekey/contracts';
import type { ErrorDetails } from '@rekey/domain';
import { EngineUnavailable } from '@rekey/ports';
import type { Answer } from './route';

/** RFC 9457 problem document. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  /** Finds the log line. */
  readonly correlationId: string;
  readonly [member: string]: unknown;
}

export const PROBLEM_TYPE = 'application/problem+json';

/** Seconds after which a caller may try again when a store or broker is away. */
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
  invalid_request: 'The request could not be read.',
  payload_too_large: 'The body is larger than this server takes.',
  unsupported_media_type: 'Send the body as application/json.',
  unavailable: 'A store is away; try again.',
  internal: 'Something went wrong; the correlation id finds the log line.',
};

/** Code, public text and details of whatever was thrown; `internal` where nothing may be told. */
export const refusalOf = (error: unknown): { code: ErrorCode; message: string; details: ErrorDetails } => {
  const known = publicErrorOf(error);
  if (known) return { code: known.code, message: known.message, details: known.details ?? {} };
  const framework = (error as { code?: unknown } | null)?.code;
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  const code: ErrorCode =
    error instanceof EngineUnavailable
      ? 'unavailable'
      : typeof framework === 'string' && Object.hasOwn(frameworkCodes, framework)
        ? (frameworkCodes[framework] ?? 'internal')
        : status === 400
          ? 'invalid_request'
          : 'internal';
  return { code, message: fallbackText[code] ?? ERRORS[code].title, details: {} };
};

/** The problem document of a refusal, and the headers that go with it. */
export const problemOf = (
  error: unknown,
  correlationId: string,
  conditional = false,
): { problem: Problem; headers: Record<string, string> } => {
  const { code, message, details } = refusalOf(error);
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

/** A refusal as an answer, for a route that is asked so often that throwing would be felt. */
export const problemAnswer = (error: unknown, correlationId: string): Answer => {
  const { problem, headers } = problemOf(error, correlationId);
  return {
    status: problem.status,
    body: problem,
    headers: { ...headers, 'cache-control': 'no-store', 'content-type': `${PROBLEM_TYPE}; charset=utf-8` },
  };
};
