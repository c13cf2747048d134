import { RekeyError } from '@rekey/contracts';
import { seesDomain } from '@rekey/platform';
import type { EventStore, Position, StoredEvent } from '@rekey/ports';
import type { FastifyRequest } from 'fastify';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { route } from '../route';
import type { Services } from '../services';

const BATCH = 200;
const HEARTBEAT_MS = 15_000;
const STREAM = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
const EXAMPLE = {
  type: 'SecretRevoked',
  stream: 'application-5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10',
  revision: 3,
  position: '00000000000000000042',
  domainId: 'acme',
  applicationId: '5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10',
  secretId: '0a8f1f0e-3b0e-5d3c-8f5e-1f2f3f4f5f6f',
  occurredAt: '2026-12-01T09:00:00.000Z',
};

/** Server-sent events (WHATWG HTML §9.2). An event names what changed; read the resource for its new state. */
export const streamEvents = route({
  method: 'GET',
  url: '/api/v1/events',
  summary: 'Stream changes as server-sent events; `Last-Event-ID` resumes a stream',
  tag: 'Events',
  action: 'event.read',
  answers: {
    200: {
      description: 'A stream of changes: event type, stream, ids and instant.',
      type: 'text/event-stream',
      example: `id: ${EXAMPLE.position}\nevent: change\ndata: ${JSON.stringify(EXAMPLE)}\n\n`,
    },
  },
  handle: async ({ request, reply, caller }, { store, signal }: Services) => {
    const after = await startOf(request, store);
    if (request.method === 'HEAD') return { status: 200, headers: STREAM };
    if (signal.aborted) throw new RekeyError('unavailable', 'The server is shutting down; try again.');
    const out = reply.raw;
    const ending = new AbortController();
    const end = (): void => ending.abort();
    out.once('close', end);
    out.on('error', end);
    signal.addEventListener('abort', end, { once: true });
    if (out.destroyed) end();
    reply.hijack();
    out.writeHead(200, STREAM);
    out.write('retry: 2000\n\n');
    // No heartbeats while the client is behind: they would pile up in memory, and it still has data to read.
    const heartbeat = setInterval(() => out.writableNeedDrain || out.write(': heartbeat\n\n'), HEARTBEAT_MS);
    try {
      const visible = (event: StoredEvent): boolean => seesDomain(caller, String(event.data['domainId']));
      await copy(store, after, visible, out, ending.signal);
    } finally {
      clearInterval(heartbeat);
      signal.removeEventListener('abort', end);
      out.end();
    }
    return undefined;
  },
});

/** Returns the position after which to start: `Last-Event-ID`, or the head if that is missing or beyond the head. */
const startOf = async (
  { headers }: FastifyRequest,
  store: Pick<EventStore, 'head' | 'readFeed'>,
): Promise<Position> => {
  const head = await store.head();
  const last = headers['last-event-id'];
  if (last === undefined || last === '') return head;
  try {
    await store.readFeed({ after: String(last), limit: 1 });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RekeyError('invalid_request', 'Send the `id` of an event from this stream.', { field: 'Last-Event-ID' });
  }
  return String(last) < head ? String(last) : head;
};

const copy = async (
  store: Pick<EventStore, 'subscribe'>,
  after: Position,
  visible: (event: StoredEvent) => boolean,
  out: ServerResponse,
  signal: AbortSignal,
): Promise<void> => {
  for await (const { events } of store.subscribe({ after, batchSize: BATCH, signal })) {
    const text = events.filter(visible).map(asMessage).join('');
    // Waiting here slows down this stream only: a slow reader must not fill the memory.
    if (text !== '' && !out.write(text)) await once(out, 'drain', { signal }).catch(() => undefined);
  }
};

const asMessage = (event: StoredEvent): string => {
  const { domainId, applicationId, secretId } = event.data;
  const { type, stream, revision, position } = event;
  const { occurredAt } = event.metadata;
  const data = JSON.stringify({ type, stream, revision, position, domainId, applicationId, secretId, occurredAt });
  return `id: ${position}\nevent: change\ndata: ${data}\n\n`;
};
