import type { CloudEvent } from '@rekey/contracts';
import { ManualClock, type StoredEvent } from '@rekey/ports';
import { exampleEvent } from '@rekey/ports/conformance';
import { createHmac } from 'node:crypto';
import { type IncomingHttpHeaders, type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebhookEventPublisher, type WebhookPublisherOptions } from './webhook-event-publisher';

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const clock = new ManualClock(Date.parse('2026-03-01T00:00:00.000Z'));
const secret = Buffer.from('a key for tests only, of some length');
const received: Received[] = [];
let server: Server;
let url: string;
/** Status of each answer to come, then 204; 0: no answer at all. */
let statuses: number[] = [];

beforeEach(async () => {
  received.length = 0;
  statuses = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      received.push({ headers: request.headers, body });
      const status = statuses.shift() ?? 204;
      if (status > 0) response.writeHead(status, status === 302 ? { location: url } : {}).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const publisher = (more: Partial<WebhookPublisherOptions> = {}) =>
  new WebhookEventPublisher({ url, secret, source: 'urn:rekey:test', ...more }, clock);

const stored = (count: number): StoredEvent[] =>
  Array.from({ length: count }, (_, revision) => ({
    ...exampleEvent({ secretId: `s${revision}`, verifier: 'not-a-real-verifier' }),
    stream: 'application-a',
    revision,
    position: String(revision + 1).padStart(20, '0'),
  }));

const bodies = (): CloudEvent[][] => received.map(({ body }) => JSON.parse(body) as CloudEvent[]);

it('posts events in order, in batches, without verifiers, and signs what it posts', async () => {
  const events = stored(5);
  await publisher({ batchSize: 2 }).publish(events);
  expect(bodies().map((batch) => batch.map(({ id }) => id))).toEqual(
    [events.slice(0, 2), events.slice(2, 4), events.slice(4)].map((batch) => batch.map(({ eventId }) => eventId)),
  );
  expect(bodies()[0]?.[0]).toMatchObject({
    specversion: '1.0',
    source: 'urn:rekey:test',
    type: 'rekey.application.SecretAdded',
    subject: 'application-a',
    data: { secretId: 's0', verifierDigest: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
  });
  for (const { headers, body } of received) {
    expect(body).not.toContain('not-a-real-verifier');
    expect(headers['content-type']).toBe('application/cloudevents-batch+json; charset=utf-8');
    expect(headers['rekey-timestamp']).toBe(String(Date.parse('2026-03-01T00:00:00.000Z') / 1_000));
    const signed = createHmac('sha256', secret).update(`${headers['rekey-timestamp']}.${body}`).digest('hex');
    expect(headers['rekey-signature']).toBe(signed);
  }
});

it('posts nothing where there is nothing', async () => {
  await publisher().publish([]);
  expect(received).toEqual([]);
});

it.each([500, 404, 302, 429])('throws where the receiver answers %i, so that all comes again', async (status) => {
  statuses = [204, status];
  const target = publisher({ batchSize: 2 });
  await expect(target.publish(stored(6))).rejects.toMatchObject({ code: 'unavailable' });
  expect(received).toHaveLength(2);
  await target.publish(stored(6));
  expect(received).toHaveLength(5);
});

it('throws where the receiver does not answer in time, or is not there, and does not name it', async () => {
  statuses = [0];
  await expect(publisher({ timeoutMs: 50 }).publish(stored(1))).rejects.toThrow('did not answer in time');
  const gone = publisher({ url: 'http://127.0.0.1:1/token-in-path' });
  const error: unknown = await gone.publish(stored(1)).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'unavailable' });
  expect(String(error)).not.toContain('127.0.0.1');
  expect(JSON.stringify(error)).not.toContain('token-in-path');
});

it('breaks off at close', async () => {
  statuses = [0];
  const target = publisher();
  const publishing = target.publish(stored(1));
  while (received.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await target.close();
  await expect(publishing).rejects.toMatchObject({ code: 'unavailable' });
});

it.each([
  ['url', { url: 'ftp://example.com' }],
  ['url', { url: 'https://user:word@example.com' }],
  ['url', { url: 'nonsense' }],
  ['secret', { secret: Buffer.alloc(15) }],
])('refuses a wrong %s', (field, more) => {
  expect(() => publisher(more)).toThrow(expect.objectContaining({ details: { field } }) as Error);
});
