import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ManualClock } from '@rekey/ports';
import { exampleNotice, notifierConformance } from '@rekey/ports/conformance';
import { freePort } from '@rekey/testing';
import pino from 'pino';
import { LogNotifier } from './log-notifier';
import { UiNotifier } from './ui-notifier';
import { WebhookNotifier } from './webhook-notifier';

const clock = new ManualClock(Date.parse('2026-12-27T00:00:00.000Z'));
const secret = Buffer.from('0123456789abcdef0123456789abcdef');

interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let server: Server;
let origin: string;
let received: Received[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const path = request.url ?? '';
      received.push({
        method: request.method ?? '',
        path,
        headers: request.headers,
        body: Buffer.concat(parts).toString(),
      });
      const status = Number(path.slice(1).split('?')[0]);
      if (path.startsWith('/silent')) return;
      if (path.startsWith('/hang-up')) return void request.socket.destroy();
      response.writeHead(status, { location: `${origin}/200` });
      response.end('x'.repeat(100_000));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

beforeEach(() => {
  received = [];
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const webhook = (path: string, timeoutMs?: number): WebhookNotifier =>
  new WebhookNotifier({ url: origin + path, secret, ...(timeoutMs === undefined ? {} : { timeoutMs }) }, clock);

notifierConformance('LogNotifier', () => new LogNotifier(pino({ enabled: false }), clock));
notifierConformance('UiNotifier', () => new UiNotifier());
notifierConformance('WebhookNotifier', () => webhook('/200'));

describe('LogNotifier', () => {
  it('logs one line with the fields and the text, without contacts', async () => {
    const lines: string[] = [];
    const notifier = new LogNotifier(pino({ base: null }, { write: (line) => void lines.push(line) }), clock);
    await notifier.send(exampleNotice());
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 40,
      notice: { messageId: exampleNotice().messageId, secretId: exampleNotice().secretId, threshold: 5 },
      msg: 'The secret "production" of application "Checkout" expires in 5 days, at 2027-01-01T00:00:00.000Z',
    });
    expect(lines[0]).not.toContain('@example.com');
  });
});

describe('UiNotifier', () => {
  it('counts the contacts', async () => {
    expect(await new UiNotifier().send(exampleNotice())).toEqual({ recipients: 2 });
    expect(await new UiNotifier().send(exampleNotice({ contacts: [] }))).toEqual({ recipients: 0 });
  });
});

describe('WebhookNotifier', () => {
  it('posts the notice and its text, with its id and a signature over timestamp and body', async () => {
    expect(await webhook('/204').send(exampleNotice())).toEqual({ recipients: 1 });
    expect(received).toHaveLength(1);
    const { method, headers, body } = received[0] as Received;
    expect(method).toBe('POST');
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'idempotency-key': exampleNotice().messageId,
      'rekey-timestamp': String(Date.parse('2026-12-27T00:00:00.000Z') / 1_000),
    });
    const signed = `${String(headers['rekey-timestamp'])}.${body}`;
    expect(headers['rekey-signature']).toBe(createHmac('sha256', secret).update(signed).digest('hex'));
    const { text, ...notice } = JSON.parse(body) as { text: { subject: string } };
    expect(notice).toEqual(exampleNotice());
    expect(text.subject).toContain('expires in 5 days, at 2027-01-01T00:00:00.000Z');
  });

  it.each([200, 201, 202, 204, 299])('treats status %d as delivered', async (status) => {
    expect(await webhook(`/${status}`).send(exampleNotice())).toEqual({ recipients: 1 });
  });

  it.each([400, 401, 404, 410, 429, 500, 503])('fails with an error that names status %d', async (status) => {
    await expect(webhook(`/${status}`).send(exampleNotice())).rejects.toMatchObject({
      code: 'unavailable',
      message: `The webhook answered with status ${status}.`,
    });
  });

  it.each([301, 302, 303, 307, 308])('does not follow a redirect with status %d', async (status) => {
    await expect(webhook(`/${status}`).send(exampleNotice())).rejects.toThrow(`status ${status}`);
    expect(received.map(({ path }) => path)).toEqual([`/${status}`]);
  });

  it('gives up after its time limit', async () => {
    await expect(webhook('/silent', 50).send(exampleNotice())).rejects.toThrow(
      'The webhook did not answer within 50 ms.',
    );
  });

  it('names the kind of connection failure, but never the URL', async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/path?token=url-token`;
    for (const notifier of [
      new WebhookNotifier({ url, secret }, clock),
      webhook('/hang-up?token=url-token'),
      webhook('/500?token=url-token'),
    ]) {
      const error: unknown = await notifier.send(exampleNotice()).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'unavailable', name: 'RekeyError' });
      const shown = JSON.stringify(error, Object.getOwnPropertyNames(error));
      for (const hidden of ['127.0.0.1', String(port), 'url-token', secret.toString()])
        expect(shown).not.toContain(hidden);
    }
    await expect(new WebhookNotifier({ url, secret }, clock).send(exampleNotice())).rejects.toThrow('ECONNREFUSED');
  });

  it.each(['', 'example.com', 'ftp://example.com', 'file:///etc/hosts', 'https://user:word@example.com/'])(
    'refuses the url "%s" without repeating it',
    (url) => {
      const make = (): WebhookNotifier => new WebhookNotifier({ url, secret }, clock);
      expect(make).toThrow(expect.objectContaining({ details: { field: 'notifiers.webhook.url' } }));
      if (url) expect(make).toThrow(expect.not.objectContaining({ message: expect.stringContaining(url) as string }));
    },
  );

  it('refuses a short secret', () => {
    expect(() => new WebhookNotifier({ url: origin, secret: Buffer.alloc(15) }, clock)).toThrow(
      expect.objectContaining({ details: { field: 'notifiers.webhook.secretFile' } }),
    );
  });
});
