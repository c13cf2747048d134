/** Attributes of a span: Rekey's own names, ids and numbers; never text that a caller has written. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface SpanOptions {
  readonly name: string;
  readonly kind: 'server' | 'client' | 'internal';
  readonly attributes?: SpanAttributes;
  /**
   * The parent span: `current` (default), `none` for a new trace, or the `traceparent` (W3C Trace Context) of another
   * process. The sampling flag of a `foreign` one, from outside Rekey, is ignored.
   */
  readonly parent?: 'current' | 'none' | { readonly traceparent: string | undefined; readonly foreign: boolean };
}

/** The span of running work. */
export interface ActiveSpan {
  set(attributes: SpanAttributes): void;
  /** Marks the span as failed. `code` is an error code of Rekey. */
  fail(code: string): void;
}

/** Traces work across processes. */
export interface Tracing {
  /** Runs work within a span. If the work throws, the span fails and the error is thrown on. */
  within<T>(options: SpanOptions, work: (span: ActiveSpan) => Promise<T>): Promise<T>;
  /** Returns the current span as a `traceparent` header (W3C Trace Context); undefined outside of a span. */
  traceparent(): string | undefined;
  /** Exports the remaining spans, for a limited time. */
  stop(): Promise<void>;
}

export interface TracingAbout {
  readonly service: string;
  readonly version: string;
  readonly instance: string;
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void };
}

const ID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** Returns an id if it is a UUID, else undefined: a caller may have put anything into it. */
export const tellable = (id: string | undefined): string | undefined => (id && ID.test(id) ? id : undefined);
