import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Tracer,
  defaultTextMapGetter,
  defaultTextMapSetter,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-node';
import { ATTR_ERROR_TYPE, ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import { publicErrorOf } from '@rekey/contracts';
import { EngineUnavailable } from '@rekey/ports';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Config } from '../config/config';
import type { ActiveSpan, SpanAttributes, SpanOptions, Tracing, TracingAbout } from './tracing';

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL } as const;
const propagator = new W3CTraceContextPropagator();
const SEND_EVERY_MS = 1_000;
const SEND_TIMEOUT_MS = 5_000;
const STOP_WITHIN_MS = 2_000;

/**
 * Exports spans with OpenTelemetry's SDK to a collector, by OTLP over HTTP. Sets no globals, so that several Rekey
 * processes can run in one Node process, as in tests. Buffers spans in bounded memory and drops them if the export fails.
 */
export class OtlpTracing implements Tracing {
  private readonly current = new AsyncLocalStorage<Context>();
  private readonly provider: BasicTracerProvider;
  private readonly tracer: Tracer;

  constructor({ url, sampleRatio }: Config['tracing'], { service, version, instance, log }: TracingAbout) {
    const exporter = reporting(new OTLPTraceExporter({ url, timeoutMillis: SEND_TIMEOUT_MS }), log);
    const byRatio = new TraceIdRatioBasedSampler(sampleRatio);
    this.provider = new BasicTracerProvider({
      // The sampling flag of external callers is ignored: they must not decide how much is traced.
      sampler: new ParentBasedSampler({ root: byRatio, remoteParentSampled: byRatio }),
      resource: resourceFromAttributes({
        [ATTR_SERVICE_NAME]: `rekey-${service}`,
        [ATTR_SERVICE_VERSION]: version,
        'service.instance.id': instance,
      }),
      spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: SEND_EVERY_MS })],
    });
    this.tracer = this.provider.getTracer('rekey', version);
  }

  within<T>({ name, kind, attributes = {}, parent }: SpanOptions, work: (span: ActiveSpan) => Promise<T>): Promise<T> {
    const context = this.contextOf(parent);
    const span = this.tracer.startSpan(name, { kind: KINDS[kind], attributes: known(attributes) }, context);
    const active: ActiveSpan = {
      set: (more) => void span.setAttributes(known(more)),
      fail: (code) => void span.setAttribute(ATTR_ERROR_TYPE, code).setStatus({ code: SpanStatusCode.ERROR }),
    };
    return this.current.run(trace.setSpan(context, span), async () => {
      try {
        return await work(active);
      } catch (error) {
        active.fail(codeOf(error));
        throw error;
      } finally {
        span.end();
      }
    });
  }

  traceparent(): string | undefined {
    const headers: { traceparent?: string } = {};
    propagator.inject(this.current.getStore() ?? ROOT_CONTEXT, headers, defaultTextMapSetter);
    return headers.traceparent;
  }

  async stop(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_WITHIN_MS);
    });
    await Promise.race([this.provider.shutdown().catch(() => undefined), late]);
    clearTimeout(timer);
  }

  private contextOf(parent: SpanOptions['parent'] = 'current'): Context {
    if (parent === 'none') return ROOT_CONTEXT;
    if (parent === 'current') return this.current.getStore() ?? ROOT_CONTEXT;
    const { traceparent, foreign } = parent;
    const span = trace.getSpanContext(propagator.extract(ROOT_CONTEXT, { traceparent }, defaultTextMapGetter));
    // A remote parent's sampling flag is ignored (see the sampler); that of another Rekey process counts.
    return span ? trace.setSpanContext(ROOT_CONTEXT, { ...span, isRemote: foreign }) : ROOT_CONTEXT;
  }
}

const known = (attributes: SpanAttributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as Attributes;

/** Only the code is exported: messages and stacks may contain host names and other internals. */
const codeOf = (error: unknown): string =>
  publicErrorOf(error)?.code ?? (error instanceof EngineUnavailable ? 'unavailable' : 'internal');

/** Logs once when exports start to fail, and once when they succeed again. */
const reporting = (exporter: SpanExporter, log: TracingAbout['log']): SpanExporter => {
  let losing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const lost = result.code !== 0;
        if (lost && !losing)
          log.warn({ err: result.error }, 'cannot export spans: dropping them until the collector accepts them');
        if (!lost && losing) log.info({}, 'the collector accepts spans again');
        losing = lost;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
};
