import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Tracer,
} from '@opentelemetry/api';
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
/** Any version but the one that is none; what a later one adds is behind (W3C Trace Context §3.2). */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;
const SAMPLED = 1;
const SEND_EVERY_MS = 1_000;
const SEND_TIMEOUT_MS = 5_000;
const STOP_WITHIN_MS = 2_000;

/**
 * Tracing by OpenTelemetry's SDK to a collector that takes OTLP over HTTP. Nothing of it is global: two processes in one,
 * as in tests, have two. Spans wait in bounded memory, and are dropped where the collector does not take them.
 */
export class OtlpTracing implements Tracing {
  private readonly current = new AsyncLocalStorage<Context>();
  private readonly provider: BasicTracerProvider;
  private readonly tracer: Tracer;

  constructor({ url, sampleRatio }: Config['tracing'], { service, version, instance, log }: TracingAbout) {
    const exporter = reporting(new OTLPTraceExporter({ url, timeoutMillis: SEND_TIMEOUT_MS }), log);
    const byRatio = new TraceIdRatioBasedSampler(sampleRatio);
    this.provider = new BasicTracerProvider({
      // Who asks from outside does not decide how much is traced; who passes work on within does.
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
    const context = this.current.getStore();
    const span = context && trace.getSpanContext(context);
    return span && `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;
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
    const [, traceId, spanId, flags] = TRACEPARENT.exec(parent.traceparent ?? '') ?? [];
    if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
    const traceFlags = Number.parseInt(flags, 16) & SAMPLED;
    return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: parent.foreign });
  }
}

const known = (attributes: SpanAttributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as Attributes;

/** Messages, stacks and causes stay here: they name hosts, and more. */
const codeOf = (error: unknown): string =>
  publicErrorOf(error)?.code ?? (error instanceof EngineUnavailable ? 'unavailable' : 'internal');

/** An exporter that tells once when spans are lost, and once when they arrive again. */
const reporting = (exporter: SpanExporter, log: TracingAbout['log']): SpanExporter => {
  let losing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const lost = result.code !== 0;
        if (lost && !losing) log.warn({ err: result.error }, 'the collector takes no spans: they are lost');
        if (!lost && losing) log.info({}, 'the collector takes spans again');
        losing = lost;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
};
