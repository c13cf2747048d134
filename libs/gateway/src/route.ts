import type { Action, Caller, ErrorCode, ViewName } from '@rekey/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';

/** What a handler gets: input that passed its schemas, and the caller. */
export interface RouteContext<P = unknown, Q = unknown, B = unknown> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly caller: Caller;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** The answer of a handler. */
export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Response headers to document, besides those that every response has. */
export type AnswerHeader =
  'etag' | 'link' | 'location' | 'rekey-command-id' | 'rekey-position' | 'rekey-replayed' | `x-rekey-${string}`;

/** Documents one response of a route. */
export interface AnswerDescription {
  readonly description: string;
  /** Schema of a JSON body. Without it and without `type` the response has no body. */
  readonly body?: z.ZodType;
  /** Media type of a body that is not JSON. */
  readonly type?: string;
  readonly example?: unknown;
  /** Other representations that `Accept` can select: an example by media type. */
  readonly others?: Readonly<Record<string, string>>;
  readonly headers?: readonly AnswerHeader[];
}

/**
 * Everything about a route except its handler. The server, the OpenAPI document, the `/docs` page, and the tests that
 * call every route with every role and with malformed input all read this.
 */
export interface RouteDescription {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** In Fastify's syntax: `/api/v1/domains/:domainId`. */
  readonly url: string;
  readonly summary: string;
  readonly tag: string;
  /** The permission that the caller needs. `public` needs no token; `proxy` authenticates as forward-auth describes. */
  readonly action: Action | 'public' | 'proxy';
  /** Schemas of the input. Unknown fields are rejected everywhere. */
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** True if a missing body counts as `{}`. */
  readonly bodyOptional?: boolean;
  /** Set if the route sends a command and so accepts `Idempotency-Key`; `ifMatch`: whether it accepts `If-Match`, too. */
  readonly writes?: { readonly ifMatch: boolean };
  /** The views that the answer is read from: a request with `Rekey-At-Least` waits for these. */
  readonly views?: readonly ViewName[];
  /** Successful responses by status. */
  readonly answers: Readonly<Record<number, AnswerDescription>>;
  /** Error codes that the route can answer, besides those that every route has. */
  readonly errors?: readonly ErrorCode[];
  /** An example request body. */
  readonly example?: unknown;
}

/** A route that can be served. */
export interface Route extends RouteDescription {
  /** Resolves to undefined if the handler wrote to the connection itself (event streams). */
  readonly handle: (context: RouteContext<never, never, never>) => Promise<Answer | undefined>;
}

/** A route as declared: its handler also gets the services that it works with. */
export interface RouteDeclaration<Services> extends RouteDescription {
  readonly handle: (context: RouteContext<never, never, never>, services: Services) => Promise<Answer | undefined>;
}

/** Declares a route. Types the handler's `params`, `query` and `body` by the schemas. */
export const route = <
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends z.ZodType = z.ZodUndefined,
  Services = unknown,
>(
  declaration: Omit<RouteDescription, 'params' | 'query' | 'body'> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    readonly handle: (
      context: RouteContext<z.infer<P>, z.infer<Q>, z.infer<B>>,
      services: Services,
    ) => Promise<Answer | undefined>;
  },
): RouteDeclaration<Services> => declaration;

/** Returns the declared routes with their services bound, ready to be served. */
export const bindRoutes = <Services>(
  declarations: readonly RouteDeclaration<Services>[],
  services: Services,
): Route[] =>
  declarations.map((declaration) => ({
    ...declaration,
    handle: (context) => declaration.handle(context, services),
  }));
