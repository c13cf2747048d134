import { RekeyError } from '@rekey/contracts';
import { seesDomain } from '@rekey/platform';
import type { EventStore, Position, StoredEvent } from '@rekey/ports';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { route, type Route } from '../route';

export interface EventRoutesOptions {
  readonly store: Pick<EventStore, 'subscribe' | 'head'>;
  /** Ends all streams when the gateway closes. */
  readonly signal: AbortSignal;
}

const BATCH = 200;
const HEARTBEAT_MS = 15_000;
const POSITION = /^[\w.-]{1,128}$/;

/** Live changes (server-sent events, WHATWG HTML §9.2): names what changed; what it is now is for a read to say. */
export const eventRoutes = ({ store, signal }: EventRoutesOptions): Route[] => [
  route({
    method: 'GET',
    url: '/api/v1/events',
    summary: 'Live changes as server-sent events; goes on after Last-Event-ID',
    tag: 'Events',
    action: 'event.read',
    answers: { 200: { description: 'A stream of changes: type, stream, ids and instant.', type: 'text/event-stream' } },
    handle: async ({ request, reply, caller }) => {
      const last = request.headers['last-event-id'];
      if (last !== undefined && (typeof last !== 'string' || !POSITION.test(last)))
        throw new RekeyError('invalid_request', 'Send the id of an event of this stream.', { field: 'Last-Event-ID' });
      const after = last ?? (await store.head());
      const ending = new AbortController();
      const end = (): void => ending.abort();
      request.raw.socket.once('close', end);
      signal.addEventListener('abort', end, { once: true });
      reply.hijack();
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
      reply.raw.write(`retry: 2000\n\n`);
      const heartbeat = setInterval(() => reply.raw.write(': still here\n\n'), HEARTBEAT_MS);
      try {
        const visible = (event: StoredEvent): boolean => seesDomain(caller, String(event.data['domainId']));
        await copy(store, after, visible, reply.raw, ending.signal);
      } finally {
        clearInterval(heartbeat);
        signal.removeEventListener('abort', end);
        request.raw.socket.off('close', end);
        reply.raw.end();
      }
      return undefined;
    },
  }),
]; // prettier-ignore

const copy = async (
  store: Pick<EventStore, 'subscribe'>,
  after: Position,
  visible: (event: StoredEvent) => boolean,
  out: ServerResponse,
  signal: AbortSignal,
): Promise<void> => {
  for await (const { events } of store.subscribe({ after, batchSize: BATCH, signal })) {
    const text = events.filter(visible).map(asMessage).join('');
    // A reader that does not keep up holds its own stream back, and nobody else's.
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
