import type { Action, Caller, ErrorCode, ViewName } from '@rekey/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';

/** Path, query and body schemas of a route; unknown fields are refused everywhere. */
export interface RouteInput<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
}

/** What a handler gets: input that passed its schemas, and who asks. */
export interface RouteContext<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly caller: Caller;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** A handler's answer; `undefined` where it wrote to the connection itself (streams). */
export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Headers that answers may have, beside those of every answer. */
export type AnswerHeader =
  'etag' | 'link' | 'location' | 'rekey-command-id' | 'rekey-position' | 'rekey-replayed' | `x-rekey-${string}`;

/** What an answer means and looks like, for the documents and the tests. */
export interface AnswerDescription {
  readonly description: string;
  /** Of JSON. Without it and without `type` the answer has no body. */
  readonly body?: z.ZodType;
  /** Media type of a body that is no JSON, or has no schema. */
  readonly type?: string;
  readonly example?: unknown;
  /** Other forms of the body that `Accept` can ask for: an example by media type. */
  readonly others?: Readonly<Record<string, string>>;
  readonly headers?: readonly AnswerHeader[];
}

/**
 * One line of the only list of routes. From it come the server, the OpenAPI document, and the tests that walk every
 * route with every role and with malformed input.
 */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Fastify's form: `/api/v1/domains/:domainId`. */
  readonly url: string;
  readonly summary: string;
  readonly tag: string;
  /** What the caller must be permitted to do; `public`: nobody needs a token; `proxy`: see forward-auth. */
  readonly action: Action | 'public' | 'proxy';
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** True where an absent body counts as `{}`. */
  readonly bodyOptional?: boolean;
  /** Whether the route takes `Idempotency-Key`, and `If-Match`. */
  readonly writes?: { readonly ifMatch: boolean };
  /** The views that its answer speaks of: a read that sends `Rekey-At-Least` waits for these. */
  readonly views?: readonly ViewName[];
  /** Its answers by status, but for refusals. */
  readonly answers: Readonly<Record<number, AnswerDescription>>;
  /** The codes that it can refuse with, beside those that every route has. */
  readonly errors?: readonly ErrorCode[];
  /** A body to send. */
  readonly example?: unknown;
  readonly handle: (context: RouteContext<never, never, never>) => Promise<Answer | undefined>;
}

/** Gives a route's handler the types of its schemas. */
export const route = <
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends z.ZodType = z.ZodUndefined,
>(
  definition: Omit<Route, 'handle' | 'params' | 'query' | 'body'> &
    RouteInput<P, Q, B> & {
      readonly handle: (context: RouteContext<z.infer<P>, z.infer<Q>, z.infer<B>>) => Promise<Answer | undefined>;
    },
): Route => definition;
