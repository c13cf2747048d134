import { until } from '@rekey/testing';
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { TestSystem } from '../support/http.testing';

interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly kind: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
}

interface OtlpValue {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values: readonly OtlpValue[] };
}
type OtlpSpan = Omit<Span, 'failed' | 'attributes'> & {
  readonly status: { readonly code?: number };
  readonly attributes: readonly { readonly key: string; readonly value: OtlpValue }[];
};

const valueOf = ({ stringValue, intValue, boolValue, arrayValue }: OtlpValue): unknown =>
  stringValue ??
  (intValue === undefined ? undefined : Number(intValue)) ??
  boolValue ??
  arrayValue?.values.map(valueOf);

/** Receives OTLP over HTTP, in JSON. */
class Collector {
  readonly bodies: string[] = [];
  readonly spans: Span[] = [];
  private readonly server: Server = createServer((request, response) => {
    void (async () => {
      const body = await text(request);
      this.bodies.push(body);
      const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[] };
      for (const { scopeSpans } of resourceSpans)
        for (const { spans } of scopeSpans)
          for (const { attributes, status, parentSpanId, ...span } of spans)
            this.spans.push({
              ...span,
              parentSpanId: parentSpanId || undefined,
              failed: status.code === 2,
              attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, valueOf(value)])),
            });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    })();
  });

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1/traces`;
  }

  /** Resolves with the first span that fits once it has arrived. */
  span(what: string, fits: (span: Span) => boolean): Promise<Span> {
    return until(`a span arrives: ${what}`, async () => this.spans.find(fits));
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

const SECRETS = '/api/v1/domains/:domainId/applications/:applicationId/secrets';

describe('tracing', () => {
  const collector = new Collector();
  let system: TestSystem;
  let application: string;

  beforeAll(async () => {
    const url = await collector.start();
    system = await TestSystem.start({ env: { REKEY_TRACING_ENABLED: 'true', REKEY_TRACING_URL: url } });
    await system.done('POST', '/domains', { id: 'acme', name: 'Acme' });
    application = (await system.done('POST', '/domains/acme/applications', { clientId: 'billing', name: 'Billing' }))
      .id;
  });
  afterAll(async () => {
    await system.stop();
    collector.stop();
  });

  const add = (headers: Record<string, string> = {}) =>
    system.ask(
      'POST',
      `/domains/acme/applications/${application}/secrets`,
      { description: randomBytes(4).toString('hex') },
      { headers },
    );

  it('follows a command from the request through the bus to the append, and links the projection to it', async () => {
    const added = await add();
    expect(added.status).toBe(201);
    const commandId = added.headers.get('rekey-command-id');
    const isOf = (span: Span): boolean => span.attributes['rekey.command_id'] === commandId;
    const send = await collector.span('send', (span) => span.name === 'send AddSecret' && isOf(span));
    const handle = await collector.span('handle', (span) => span.name === 'handle AddSecret' && isOf(span));
    const request = await collector.span('request', ({ spanId }) => spanId === send.parentSpanId);
    const append = await collector.span('append', ({ parentSpanId }) => parentSpanId === handle.spanId);

    expect(new Set([send, handle, request, append].map(({ traceId }) => traceId)).size).toBe(1);
    expect(handle.parentSpanId).toBe(send.spanId);
    expect(request).toMatchObject({
      name: `POST ${SECRETS}`,
      kind: 2,
      parentSpanId: undefined,
      failed: false,
      attributes: { 'http.request.method': 'POST', 'http.route': SECRETS, 'http.response.status_code': 201 },
    });
    expect(request.attributes['rekey.correlation_id']).toBe(handle.attributes['rekey.correlation_id']);
    expect(handle).toMatchObject({ kind: 2, attributes: { 'rekey.outcome': 'accepted' } });
    expect(append).toMatchObject({
      name: 'append',
      attributes: { 'rekey.stream': `application-${application}`, 'rekey.event_types': ['SecretAdded'] },
    });
    for (const view of ['authentication', 'secrets']) {
      const page = await collector.span(
        view,
        ({ name, attributes }) =>
          name === `project ${view}` && (attributes['rekey.command_ids'] as string[]).includes(commandId ?? ''),
      );
      expect(page.attributes).toMatchObject({ 'rekey.view': view, 'rekey.events': expect.any(Number) });
      expect(page.attributes['rekey.correlation_ids']).toContain(request.attributes['rekey.correlation_id']);
    }
  });

  it("continues the caller's trace and ignores an invalid traceparent", async () => {
    const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
    const of = async (traceparent: string): Promise<Span> => {
      const id = (await add({ traceparent })).headers.get('rekey-command-id');
      const send = await collector.span(
        'send',
        ({ name, attributes }) => name === 'send AddSecret' && attributes['rekey.command_id'] === id,
      );
      return collector.span('request', (span) => span.spanId === send.parentSpanId);
    };
    expect(await of(`00-${traceId}-${spanId}-01`)).toMatchObject({ traceId, parentSpanId: spanId });
    for (const none of [`ff-${traceId}-${spanId}-01`, `00-${'0'.repeat(32)}-${spanId}-01`, `00-${traceId}-x-01`])
      expect((await of(none)).parentSpanId).toBeUndefined();
    await add({ traceparent: `00-${traceId}-${spanId}-00` });
    await add();
    expect(collector.spans.filter((span) => span.traceId === traceId && span.kind === 2).length).toBe(2);
  });

  it('records a rejection by its code, not as an error', async () => {
    expect((await system.ask('GET', '/domains/none')).status).toBe(404);
    const missing = await collector.span('404', ({ attributes }) => attributes['http.response.status_code'] === 404);
    expect(missing).toMatchObject({ failed: false, attributes: { 'rekey.code': 'domain_not_found' } });
    expect((await system.ask('POST', '/domains', { id: 'acme', name: 'Again' })).status).toBe(409);
    const handled = await collector.span('409', ({ attributes }) => attributes['rekey.outcome'] === 'domain_taken');
    expect(handled.failed).toBe(false);
  });

  it('contains no secrets and no text from callers', async () => {
    const added = await add({ 'x-request-id': 'not an id of anybody', cookie: 'session=in-a-cookie' });
    const { secret } = added.body as { secret: string };
    expect(await system.check('acme', 'billing', secret)).toBe(200);
    expect(await system.check('acme', 'billing', 'a-wrong-secret')).toBe(401);
    expect((await system.ask('GET', '/domains?q=looked-for-this')).status).toBe(200);
    await collector.span('check', ({ attributes }) => attributes['http.response.status_code'] === 401);
    await collector.span('list', ({ name }) => name === 'GET /api/v1/domains');
    const all = collector.bodies.join('\n');
    const told = [
      secret,
      'a-wrong-secret',
      system.token('admin'),
      'argon2',
      'looked-for-this',
      'not an id',
      'in-a-cookie',
      'Billing',
      'Bearer',
    ];
    expect(told.filter((each) => all.includes(each))).toEqual([]);
    expect(all).not.toMatch(/rk[ya]_[0-9A-Za-z]/);
    expect(collector.spans.some(({ name }) => /health|metrics/.test(name))).toBe(false);
  });
});

describe('tracing with a ratio', () => {
  it('samples at its own ratio even if callers request tracing', async () => {
    const collector = new Collector();
    const url = await collector.start();
    const env = { REKEY_TRACING_ENABLED: 'true', REKEY_TRACING_URL: url, REKEY_TRACING_SAMPLERATIO: '0' };
    const system = await TestSystem.start({ env });
    const traceparent = `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
    await system.done('POST', '/domains', { id: 'acme', name: 'Acme' }, { headers: { traceparent } });
    await system.stop();
    expect(collector.bodies).toEqual([]);
    collector.stop();
  });
});

describe('tracing to an unavailable collector', () => {
  it('delays no request', async () => {
    const system = await TestSystem.start({
      env: { REKEY_TRACING_ENABLED: 'true', REKEY_TRACING_URL: 'http://127.0.0.1:1/v1/traces' },
    });
    expect((await system.ask('POST', '/domains', { id: 'acme', name: 'Acme' })).status).toBe(201);
    const startedMs = performance.now();
    await system.stop();
    expect(performance.now() - startedMs).toBeLessThan(15_000);
  });
});
