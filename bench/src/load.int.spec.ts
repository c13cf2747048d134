import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, atRate, requestBytes, saturate, type Target } from './load';

const servers: Server[] = [];
const serve = async (listener: RequestListener): Promise<Target> => {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
};

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

const echo: RequestListener = (request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    const answer = Buffer.from(`${request.url} ${body}`);
    response.writeHead(body.includes('wrong') ? 401 : 200, { 'content-length': answer.length }).end(answer);
  });
};
const post = (body: string) => requestBytes('POST', '/echo', {}, body);
const times = { connections: 4, warmUpMs: 20, durationMs: 200 };

describe('load', () => {
  it('keeps connections busy and counts each status', async () => {
    const target = await serve(echo);
    const result = await saturate({ target, requests: [post('right'), post('wrong')], ...times });
    const { 200: right = 0, 401: wrong = 0 } = result.statuses;
    expect(right).toBeGreaterThan(0);
    expect(Math.abs(right - wrong)).toBeLessThanOrEqual(times.connections);
    expect(result.answers).toBe(right + wrong);
    expect(result.latencies.count).toBe(result.answers);
    expect(result.ownCpuShare).toBeGreaterThan(0);
  });

  it('sends at a fixed rate', async () => {
    const target = await serve(echo);
    const result = await atRate({ target, requests: [post('x')], ...times, durationMs: 500, perSecond: 400 });
    expect(result.perSecond).toBeGreaterThan(200);
    expect(result.perSecond).toBeLessThan(600);
  });

  it('charges a stalled server for every request that had to wait', async () => {
    let stalled = false;
    const target = await serve((_request, response) => {
      const wait = stalled ? 0 : 300;
      stalled = true;
      setTimeout(() => response.end('ok'), wait);
    });
    const options = { target, requests: [post('x')], connections: 1, warmUpMs: 0, durationMs: 800, perSecond: 100 };
    const result = await atRate(options);
    // One answer was late; the requests behind it were due earlier.
    expect(result.latencies.percentile(60)).toBeLessThan(300);
    expect(result.latencies.percentile(90)).toBeGreaterThan(100);
  });

  it('ends early when aborted', async () => {
    const target = await serve(echo);
    const ending = new AbortController();
    const run = atRate({
      target,
      requests: [post('x')],
      connections: 1,
      warmUpMs: 0,
      durationMs: 3_600_000,
      perSecond: 100,
      signal: ending.signal,
    });
    ending.abort();
    expect(await run).toMatchObject({ perSecond: expect.any(Number) });
  });

  it('fails when the server closes the connection', async () => {
    const target = await serve((request) => request.socket.destroy());
    await expect(saturate({ target, requests: [post('x')], ...times })).rejects.toThrow();
  });
});

describe('Client', () => {
  it('sends one request after the other and reads whole answers', async () => {
    const client = new Client(await serve(echo));
    expect(await client.ask(post('ä'))).toEqual({ status: 200, body: '/echo ä' });
    expect(await client.ask(post('x'.repeat(100_000)))).toEqual({ status: 200, body: `/echo ${'x'.repeat(100_000)}` });
    client.close();
  });

  it('fails when the server closes the connection', async () => {
    const client = new Client(await serve((request) => request.socket.destroy()));
    await expect(client.ask(post('x'))).rejects.toThrow();
    client.close();
  });
});
