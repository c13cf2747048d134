import { OtlpTracing } from './tracing-otlp';
import type { SpanOptions } from './tracing';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN_ID = '00f067aa0ba902b7';

const log = { warn: () => undefined, info: () => undefined };
const open = (sampleRatio: number): OtlpTracing =>
  new OtlpTracing(
    // Nothing listens there: spans are dropped.
    { enabled: true, url: 'http://127.0.0.1:9/v1/traces', sampleRatio },
    { service: 'gateway', version: '1', instance: 'one', log },
  );
const tracings: OtlpTracing[] = [];
afterAll(() => Promise.all(tracings.map((tracing) => tracing.stop())));

const traceparentWithin = (parent: SpanOptions['parent'], sampleRatio = 1): Promise<string | undefined> => {
  const tracing = open(sampleRatio);
  tracings.push(tracing);
  const options = { name: 'work', kind: 'server', ...(parent && { parent }) } as const;
  return tracing.within(options, () => Promise.resolve(tracing.traceparent()));
};

describe('OtlpTracing', () => {
  it('has no traceparent outside of a span', () => {
    const tracing = open(1);
    tracings.push(tracing);
    expect(tracing.traceparent()).toBeUndefined();
  });

  it.each([true, false])('continues the trace of a parent, foreign: %s', async (foreign) => {
    const traceparent = await traceparentWithin({ traceparent: `00-${TRACE_ID}-${SPAN_ID}-01`, foreign });
    expect(traceparent).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-01$`));
    expect(traceparent).not.toContain(SPAN_ID);
  });

  it('follows the sampling flag of its own processes, but not of a foreign caller', async () => {
    const sampled = `00-${TRACE_ID}-${SPAN_ID}-01`;
    expect(await traceparentWithin({ traceparent: sampled, foreign: false }, 0)).toMatch(/-01$/);
    expect(await traceparentWithin({ traceparent: sampled, foreign: true }, 0)).toMatch(/-00$/);
  });

  it.each([
    undefined,
    'anything',
    `ff-${TRACE_ID}-${SPAN_ID}-01`,
    `00-${'0'.repeat(32)}-${SPAN_ID}-01`,
    `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
    `00-${TRACE_ID}-x-01`,
    `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`,
  ])('starts a trace of its own for the traceparent %s', async (traceparent) => {
    const own = await traceparentWithin({ traceparent, foreign: true });
    expect(own).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(own).not.toContain(TRACE_ID);
  });

  it('reads the traceparent of a later version', async () => {
    const traceparent = `01-${TRACE_ID}-${SPAN_ID}-01-more`;
    expect(await traceparentWithin({ traceparent, foreign: true })).toContain(TRACE_ID);
  });
});
