import type { Config } from '../config/config';

/** What is told of a piece of work: names from our own tables, ids of ours, numbers; never what a caller has written. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface SpanOptions {
  readonly name: string;
  readonly kind: 'server' | 'client' | 'internal';
  readonly attributes?: SpanAttributes;
  /**
   * What the work belongs to. `current`, the default: the work that this one is done within. `none`: a trace of its own.
   * A `traceparent` (W3C Trace Context) came from elsewhere: from one of ours, whose word on sampling counts, or from
   * somebody `foreign`.
   */
  readonly parent?: 'current' | 'none' | { readonly traceparent: string | undefined; readonly foreign: boolean };
}

/** The span of work that goes on. */
export interface ActiveSpan {
  set(attributes: SpanAttributes): void;
  /** The work has failed; `code` is a name of ours. */
  fail(code: string): void;
}

/** Follows work through processes. Where it is off there is none of it, and nothing is loaded for it. */
export interface Tracing {
  /** Does work within a span, which ends with it; an error ends it as failed, and is passed on. */
  within<T>(options: SpanOptions, work: (span: ActiveSpan) => Promise<T>): Promise<T>;
  /** The current span, for whoever goes on elsewhere (W3C Trace Context); undefined outside of all. */
  traceparent(): string | undefined;
  /** Hands over what is left, for a bounded time. */
  stop(): Promise<void>;
}

export interface TracingAbout {
  readonly service: string;
  readonly version: string;
  readonly instance: string;
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void };
}

/** Traces to the collector of the configuration; undefined where tracing is off. */
export const openTracing = async (config: Config['tracing'], about: TracingAbout): Promise<Tracing | undefined> => {
  if (!config.enabled) return undefined;
  const { OtlpTracing } = await import('./tracing-otlp');
  return new OtlpTracing(config, about);
};

const ID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** An id as it may be told of; undefined for text of a caller's own making, which could be anything. */
export const tellable = (id: string | undefined): string | undefined => (id && ID.test(id) ? id : undefined);
