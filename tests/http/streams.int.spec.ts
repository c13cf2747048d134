import { temporaryFolder, until } from '@rekey/testing';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { TestSystem } from '../support/http.testing';

const DOMAIN = 'acme';

interface Change {
  readonly id: string;
  readonly data: { readonly type: string; readonly domainId: string; readonly secretId?: string };
}

/** Reads server-sent events as a browser does. */
class Reader {
  readonly changes: Change[] = [];
  ended = false;
  private text = '';

  private constructor(
    readonly response: http.IncomingMessage,
    private readonly request: http.ClientRequest,
  ) {
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => this.take(chunk));
    response.on('close', () => (this.ended = true));
    response.on('error', () => (this.ended = true));
  }

  static open(system: TestSystem, as: string, lastEventId?: string): Promise<Reader> {
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${system.token(as)}`,
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
      };
      const request = http.get(`${system.url}/api/v1/events`, { headers, agent: false }, (response) =>
        resolve(new Reader(response, request)),
      );
      request.on('error', reject);
    });
  }

  types(): string[] {
    return this.changes.map(({ data }) => data.type);
  }

  close(): void {
    this.request.destroy();
  }

  private take(chunk: string): void {
    this.text += chunk;
    for (let end = this.text.indexOf('\n\n'); end >= 0; end = this.text.indexOf('\n\n')) {
      const fields = new Map(
        this.text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as const),
      );
      this.text = this.text.slice(end + 2);
      if (fields.get('event') === 'change')
        this.changes.push({ id: fields.get('id') ?? '', data: JSON.parse(fields.get('data') ?? '') });
    }
  }
}

describe('live changes', () => {
  let system: TestSystem;
  const readers: Reader[] = [];
  const open = async (as: string, lastEventId?: string): Promise<Reader> => {
    const reader = await Reader.open(system, as, lastEventId);
    readers.push(reader);
    return reader;
  };

  beforeAll(async () => {
    system = await TestSystem.start({
      callers: { limited: { roles: ['viewer'], domains: [DOMAIN] } },
    });
    for (const id of [DOMAIN, 'globex']) await system.done('POST', '/domains', { id, name: id });
  });
  afterEach(() => readers.splice(0).forEach((reader) => reader.close()));
  afterAll(() => system.stop());

  it('arrive as they happen, without secret values or verifiers', async () => {
    const reader = await open('viewer');
    expect(reader.response.statusCode).toBe(200);
    expect(reader.response.headers).toMatchObject({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const { id } = await system.done('POST', `/domains/${DOMAIN}/applications`, { name: 'A' });
    const { secret, id: secretId } = await system.done('POST', `/domains/${DOMAIN}/applications/${id}/secrets`, {
      description: 'CI',
    });
    await until('both changes', async () => reader.changes.length === 2);
    expect(reader.types()).toEqual(['ApplicationRegistered', 'SecretAdded']);
    expect(reader.changes[1]?.data).toMatchObject({ domainId: DOMAIN, applicationId: id, secretId });
    expect(JSON.stringify(reader.changes)).not.toMatch(/argon2|verifier|rky_/);
    expect(JSON.stringify(reader.changes)).not.toContain(secret);
  });

  it('resume after the last event seen, without a gap', async () => {
    const first = await open('viewer');
    await system.done('PATCH', `/domains/${DOMAIN}`, { name: 'One' });
    await until('a change', async () => first.changes.length === 1);
    first.close();
    for (const name of ['Two', 'Three']) await system.done('PATCH', `/domains/${DOMAIN}`, { name });
    const second = await open('viewer', first.changes[0]?.id);
    await system.done('PATCH', `/domains/${DOMAIN}`, { name: 'Four' });
    await until('the missed changes and the new one', async () => second.changes.length === 3);
    const ids = second.changes.map(({ id }) => id);
    expect(ids).toEqual([...ids].sort());
    expect(ids.every((id) => id > (first.changes[0]?.id ?? ''))).toBe(true);
  });

  it('start at the end when Last-Event-ID is a future position', async () => {
    const reader = await open('viewer', '99999999999999999999');
    await system.done('PATCH', `/domains/${DOMAIN}`, { name: 'After a restore' });
    await until('the change', async () => reader.changes.length === 1);
  });

  it('show a caller only events of its domains', async () => {
    const reader = await open('limited');
    await system.done('PATCH', '/domains/globex', { name: 'Hidden' });
    await system.done('PATCH', `/domains/${DOMAIN}`, { name: 'Shown' });
    await until('the change', async () => reader.changes.length > 0);
    expect(reader.changes.map(({ data }) => data.domainId)).toEqual([DOMAIN]);
  });

  it('a stalled reader does not delay other readers', async () => {
    const stalled = await open('viewer', '00000000000000000000');
    stalled.response.pause();
    const live = await open('viewer');
    for (let count = 0; count < 30; count++)
      await system.done('PATCH', `/domains/${DOMAIN}`, { name: `Name ${count}` });
    await until('all changes', async () => live.changes.length === 30);
    stalled.response.resume();
    await until(
      'the changes to reach the other reader',
      async () => stalled.types().filter((type) => type === 'DomainRenamed').length >= 30,
    );
  });

  it('HEAD is answered at once and frees the connection', async () => {
    const { status, headers } = await system.ask('HEAD', '/events');
    expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    expect((await system.ask('GET', '/domains')).status).toBe(200);
  });

  it('end when the gateway closes', async () => {
    const closing = await TestSystem.start();
    const reader = await Reader.open(closing, 'viewer');
    await closing.stop();
    await until('the end', async () => reader.ended);
  });
});

describe('HTTP itself', () => {
  let system: TestSystem;
  beforeAll(async () => {
    system = await TestSystem.start({ env: { REKEY_HTTP_REQUESTTIMEOUTMS: '1000' } });
    await system.done('POST', '/domains', { id: DOMAIN, name: 'Acme' });
  });
  afterAll(() => system.stop());

  /** Splits raw text into status, headers and body of the first answer, and the rest. */
  const read = (text: string) => {
    const [head = '', ...rest] = text.split('\r\n\r\n');
    const [first = '', ...lines] = head.split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)] as const),
    );
    const body = rest.join('\r\n\r\n').slice(0, Number(headers.get('content-length') ?? 0));
    return { status: Number(first.split(' ')[1]), headers, body };
  };

  it('HEAD is GET without the body', async () => {
    for (const target of ['/domains', `/domains/${DOMAIN}`, '/secrets', '//health/live', '//openapi.json']) {
      const [head, get] = [await system.ask('HEAD', target), await system.ask('GET', target)];
      expect([target, head.status, head.text]).toEqual([target, 200, '']);
      for (const name of ['content-type', 'content-length', 'etag'])
        expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)]);
    }
    const stream = await system.ask('HEAD', '/history', undefined, { headers: { accept: 'application/x-ndjson' } });
    expect(stream.status).toBe(200);
    expect((await system.ask('HEAD', '/domains/none')).status).toBe(404);
    expect((await system.ask('HEAD', '/domains', undefined, { as: null })).status).toBe(401);
  });

  it('keeps connections alive and answers pipelined requests in order', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<Socket>();
    for (const status of [200, 404, 401, 400]) {
      const target = { 200: `/domains/${DOMAIN}`, 404: '/domains/none', 401: '/domains', 400: '/domains?x=1' }[status];
      const headers = status === 401 ? {} : { authorization: `Bearer ${system.token('admin')}` };
      const request = http.get(`${system.url}/api/v1${target}`, { agent, headers });
      request.on('socket', (socket) => sockets.add(socket));
      const answered = await new Promise<number | undefined>((resolve, reject) => {
        request.on('error', reject);
        request.on('response', (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode));
        });
      });
      expect(answered).toBe(status);
    }
    expect(sockets.size).toBe(1);
    agent.destroy();
    const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const text = await system.raw(get('/health/live') + get('/nothing') + get('/health/live'), /(HTTP[^]*){3}\}$/);
    expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['200', '404', '200']);
  });

  it('returns the correlation id that its log uses', async () => {
    const ask = async (id: string) =>
      (await system.ask('GET', '/nothing', undefined, { headers: { 'x-request-id': id } })).body.correlationId;
    const given = '3f2b8c1e-9a40-4f6e-8d57-1c0b6a7e2d94';
    expect(await ask(given)).toBe(given);
    // Any other text could be a secret sent by mistake, and would be stored in the history.
    const made = new Set(await Promise.all(['', 'two words', 'x'.repeat(65), '<script>', 'rky_x'].map(ask)));
    expect(made.size).toBe(5);
    for (const id of made) expect(id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    ['no HTTP at all', 'nonsense\r\n\r\n', 400, 'invalid_request'],
    ['TLS on a plain port', Buffer.from('16030100a5010000a10303', 'hex'), 400, 'invalid_request'],
    ['a method that nobody knows', 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'invalid_request'],
    ['a tunnel', 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n', 405, 'method_not_allowed'],
    ['no Host', `GET /api/v1/domains HTTP/1.1\r\n\r\n`, 400, 'invalid_request'],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      400,
      'invalid_request',
    ],
    [
      'length and chunks',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
      'invalid_request',
    ],
    ['a negative length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', 400, 'invalid_request'],
    [
      'broken chunks',
      'POST /api/v1/domains HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      400,
      'invalid_request',
    ],
    ['a header with NUL', 'GET / HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n', 400, 'invalid_request'],
    [
      'a header that is too long',
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      413,
      'payload_too_large',
    ],
    ['a path that is too long', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 413, 'payload_too_large'],
    ['a bad escape', 'GET /api/v1/domains/%zz HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'invalid_request'],
    ['an escape that is no UTF-8', 'GET /api/v1/domains/%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'invalid_request'],
    ['an unknown expectation', 'GET /nothing HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n', 404, 'not_found'],
    [
      'an upgrade',
      'GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
      404,
      'not_found',
    ],
    ['HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request'],
  ])('answers %s with a problem document', async (_what, bytes, status, code) => {
    const answer = read(await system.raw(bytes, /\}$/));
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const problem = JSON.parse(answer.body);
    expect({ status: answer.status, code: problem.code }).toEqual({ status, code });
    expect(problem).toMatchObject({ status, type: `urn:rekey:error:${code}`, correlationId: expect.any(String) });
  });

  it('closes a connection whose request does not arrive in time', async () => {
    const head =
      'POST /api/v1/domains HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n';
    const answer = read(await system.raw(`${head}{`));
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([
      400,
      { detail: expect.stringContaining('in time') },
    ]);
  });

  it('shuts down although a caller stalls', async () => {
    const closing = await TestSystem.start({ env: { REKEY_HTTP_REQUESTTIMEOUTMS: '1000' } });
    const head =
      'POST /api/v1/domains HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n';
    const answer = closing.raw(`${head}{`);
    await until(
      'the request',
      () =>
        new Promise<boolean>((resolve) => {
          closing.standalone.server.server.getConnections((_error, count) => resolve(count > 0));
        }),
    );
    await closing.stop();
    await answer;
  });

  it('drops a request whose caller disconnects before its end', async () => {
    for (let count = 0; count < 20; count++) {
      const socket = connect(system.port, '127.0.0.1');
      const body = JSON.stringify({ name: 'x'.repeat(1_000) });
      const head = `POST /api/v1/domains HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${system.token('admin')}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
      socket.write(head + body.slice(0, count * 50));
      await new Promise((resolve) => setImmediate(resolve));
      socket.destroy();
    }
    expect((await system.ask('GET', '/domains')).body.items).toHaveLength(1);
  });

  it('accepts JSON only in UTF-8, and stores the text unchanged', async () => {
    const post = (body: Buffer) =>
      fetch(`${system.url}/api/v1/domains`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${system.token('admin')}`,
          'content-type': 'application/json; charset=latin1',
        },
        body,
      });
    const made = await post(Buffer.from('{"name": "Größe 🔑"}'));
    expect(await made.json()).toMatchObject({ name: 'Größe 🔑' });
    const broken = await post(Buffer.from('{"name": "Größe"}', 'latin1'));
    expect([broken.status, ((await broken.json()) as { detail: string }).detail]).toEqual([
      400,
      'The body is not UTF-8.',
    ]);
  });
});

describe('TLS', () => {
  it('is used when a certificate is configured', async () => {
    const folder = temporaryFolder();
    const [cert, key] = [path.join(folder.path, 'cert.pem'), path.join(folder.path, 'key.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '1',
        '-keyout',
        key,
        '-out',
        cert,
        ...subject,
      ],
      { stdio: 'ignore' },
    );
    const system = await TestSystem.start({ env: { REKEY_HTTP_TLS_CERTFILE: cert, REKEY_HTTP_TLS_KEYFILE: key } });
    try {
      expect(system.url).toMatch(/^https:/);
      const ask = (options: https.RequestOptions) =>
        new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
          https
            .get(`${system.url}/health/ready`, { agent: false, ...options }, (response) => {
              let text = '';
              response.on('data', (chunk) => (text += chunk));
              response.on('end', () => resolve({ status: response.statusCode, text }));
            })
            .on('error', reject);
        });
      expect(await ask({ ca: readFileSync(cert) })).toMatchObject({
        status: 200,
        text: expect.stringContaining('ready'),
      });
      await expect(ask({ ca: readFileSync(cert), maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).rejects.toThrow();
      await expect(ask({})).rejects.toThrow(/self-signed/);
    } finally {
      await system.stop();
      folder.remove();
    }
  });
});
