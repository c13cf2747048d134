import { RekeyError, type Caller, type CommandReply, type ViewName } from '@rekey/contracts';
import { Access, seal } from '@rekey/platform';
import { EngineUnavailable, ManualClock, type CommandRequest, type StoredEvent } from '@rekey/ports';
import type { FastifyInstance } from 'fastify';
import type { JWK } from 'jose';
import { createHash, generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { addRoutes } from './dispatch';
import { gatewayRoutes } from './gateway';
import { createHttpServer } from './server';
import type { GatewayOptions } from './services';

const CLOCK = new ManualClock(Date.parse('2026-12-01T09:00:00.000Z'));
const VALUE = 'not a secret, but sent as one';
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const recipient = {
  publicKey: keys.publicKey.export({ format: 'jwk' }) as JWK,
  privateKey: keys.privateKey.export({ format: 'jwk' }) as JWK,
};
const APPLICATION = '5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10';
const SECRETS = `/api/v1/domains/acme/applications/${APPLICATION}/secrets`;

describe('the gateway, if a service that it uses fails', () => {
  let server: FastifyInstance;
  let logged: string;
  // The behaviour of the fake services; a test replaces what should fail.
  let bus: (request: CommandRequest) => Promise<CommandReply>;
  let waits: (view: ViewName) => boolean | Promise<boolean>;
  let read: (view: ViewName) => Promise<never[]>;
  let subscribe: (signal: AbortSignal) => AsyncGenerator<{ events: StoredEvent[]; caughtUp: boolean }>;

  const accepted = async ({ command }: CommandRequest, more: object = {}): Promise<CommandReply> => ({
    id: command.id,
    status: 'accepted',
    replayed: false,
    revision: 1,
    position: '00000000000000000007',
    result: {
      secretId: APPLICATION,
      version: 1,
      hint: 'x7Qa',
      expirySource: 'none',
      ...(command.recipientKey && { sealedSecret: await seal(VALUE, command.recipientKey as JWK) }),
      ...more,
    },
  });

  beforeEach(async () => {
    logged = '';
    bus = (request) => accepted(request);
    waits = () => true;
    read = () => Promise.reject(new RekeyError('unavailable', 'MongoDB is unavailable.', { view: 'secrets' }));
    const view = (name: ViewName) => ({
      waitFor: async () => waits(name),
      status: () => ({ ready: true, checkpoint: '00000000000000000007' }),
      read: () => read(name),
      find: () => read(name),
      count: () => read(name),
    });
    const names: ViewName[] = [
      'authentication',
      'domains',
      'applications',
      'secrets',
      'expiry-schedule',
      'notifications',
    ];
    const views = Object.fromEntries(names.map((name) => [name, view(name)]));
    const token = {
      name: 'admin',
      sha256: createHash('sha256').update('t').digest('hex'),
      roles: ['admin' as const],
      domains: [],
    };
    const options = {
      access: new Access({ tokens: [token], clock: CLOCK }),
      bus: { send: (request: CommandRequest) => bus(request) },
      views,
      recipient,
      clock: CLOCK,
      forwardAuthFrom: [],
      version: '1',
      expiringWithinDays: 20,
      commandTimeoutMs: 1,
      waitTimeoutMs: 1,
      usage: () => Promise.resolve(new Map()),
      outcomes: {
        find: () => Promise.reject(new EngineUnavailable('outcomes', { cause: new Error('db.internal:27017') })),
      },
      store: {
        head: () => Promise.resolve('00'),
        readFeed: () => Promise.resolve([]),
        subscribe: ({ signal }: { signal: AbortSignal }) => subscribe(signal),
      },
      signal: new AbortController().signal,
    } as unknown as GatewayOptions;
    const log = pino({ level: 'debug' }, { write: (line: string) => void (logged += line) });
    const limits = { bodyLimitBytes: 10_000, requestTimeoutMs: 1_000, trustedProxies: [] };
    const serving = { log, metrics: { httpRequest: () => undefined }, http: limits };
    server = createHttpServer(serving);
    addRoutes(server, gatewayRoutes(options), {
      ...serving,
      access: options.access,
      viewOf: (name) => options.views[name],
      waitTimeoutMs: 1,
    });
    await server.listen({ port: 0, host: '127.0.0.1' });
  });
  afterEach(() => server.close());

  const url = (): string => `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url()}${path}`, {
      method,
      headers: {
        authorization: 'Bearer t',
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: text === '' ? undefined : JSON.parse(text),
    };
  };
  const add = () => ask('POST', SECRETS, { description: 'CI' });

  it('returns the new value if a view is unavailable after the command was executed', async () => {
    const { status, headers, body } = await add();
    expect(status).toBe(202);
    expect(body).toMatchObject({ secret: VALUE, version: 1, hint: 'x7Qa', position: '00000000000000000007' });
    expect(headers.get('location')).toBe(`/api/v1/commands/${body.commandId}`);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(logged).not.toContain(VALUE);
  });

  it('returns the new value if the application was deleted meanwhile', async () => {
    read = () => Promise.resolve([]);
    expect(await add()).toMatchObject({ status: 202, body: { secret: VALUE } });
  });

  it('returns 202 if a view or a check does not apply the command in time', async () => {
    for (const late of ['authentication', 'secrets']) {
      waits = (view) => view !== late;
      expect(await add()).toMatchObject({ status: 202, body: { secret: VALUE } });
    }
    waits = () => true;
    bus = (request) => accepted(request, { effective: false });
    const revoked = await ask('POST', `${SECRETS}/${APPLICATION}/revoke`);
    expect(revoked).toMatchObject({ status: 202, body: { effective: false } });
    bus = (request) => accepted(request, { effective: true, effectiveAt: CLOCK.now() });
    const done = await ask('POST', `${SECRETS}/${APPLICATION}/revoke`);
    expect([done.status, done.body]).toEqual([200, { position: '00000000000000000007', effectiveAt: CLOCK.now() }]);
  });

  it('returns null for a value sealed to an old key', async () => {
    bus = (request) => accepted(request, { sealedSecret: 'e.e.e.e.e' });
    expect(await add()).toMatchObject({ status: 202, body: { secret: null } });
  });

  it.each([
    ['unavailable', 503, '1'],
    ['timeout', 504, null],
  ] as const)('returns %s with the command id for a retry', async (code, status, retryAfter) => {
    bus = () => Promise.reject(new RekeyError(code, 'Try again.'));
    const answer = await add();
    expect(answer).toMatchObject({ status, body: { code, commandId: expect.stringMatching(/^[0-9a-f-]{36}$/) } });
    expect(answer.headers.get('retry-after')).toBe(retryAfter);
  });

  it('returns 503 if a store is unavailable, without naming its address', async () => {
    for (const path of ['/api/v1/domains', '/api/v1/secrets', `/api/v1/commands/${APPLICATION}`]) {
      const answer = await ask('GET', path);
      expect(answer).toMatchObject({ status: 503, body: { code: 'unavailable' } });
      expect(answer.headers.get('retry-after')).toBe('1');
      expect(answer.text).not.toContain('internal:');
    }
  });

  it('logs an unexpected error, and returns only its correlation id', async () => {
    bus = () => Promise.reject(new TypeError('undefined is not a function at /srv/rekey/secret-place.js'));
    const { status, body, text } = await add();
    expect([status, body.code]).toEqual([500, 'internal']);
    expect(text).not.toMatch(/function|srv|stack/);
    const line = logged.split('\n').find((each) => each.includes(body.correlationId)) ?? '{}';
    expect(JSON.parse(line)).toMatchObject({
      code: 'internal',
      err: { message: expect.stringContaining('secret-place') },
    });
  });

  it('sends every command with its caller and the request id', async () => {
    const seen: { caller: Caller; correlationId: string }[] = [];
    bus = (request) => (seen.push(request), accepted(request));
    const id = '3f2b8c1e-9a40-4f6e-8d57-1c0b6a7e2d94';
    await ask('POST', SECRETS, { description: 'CI' }, { 'x-request-id': id });
    expect(seen).toMatchObject([{ caller: { type: 'token', name: 'admin', roles: ['admin'] }, correlationId: id }]);
  });

  it('stops reading events while a slow client does not, and when it disconnects', async () => {
    let produced = 0;
    let ended = false;
    const event = {
      type: 'X',
      stream: 'domain-acme',
      revision: 0,
      position: '01',
      data: { domainId: 'acme', applicationId: 'x'.repeat(10_000) },
      metadata: { occurredAt: CLOCK.now() },
    } as unknown as StoredEvent;
    subscribe = async function* (signal) {
      try {
        while (!signal.aborted) {
          produced++;
          yield { events: Array.from({ length: 100 }, () => event), caughtUp: false };
        }
      } finally {
        ended = true;
      }
    };
    const response = await new Promise<http.IncomingMessage>((resolve) =>
      http.get(`${url()}/api/v1/events`, { headers: { authorization: 'Bearer t' }, agent: false }, resolve),
    );
    response.pause();
    /** Returns how many batches were read (1 MB each), once the number no longer grows. */
    const settled = async (): Promise<number> => {
      for (let before = -1; before !== produced;) {
        before = produced;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return produced;
    };
    const held = await settled();
    expect(held).toBeLessThan(100);
    let taken = 0;
    response.on('data', (chunk: Buffer) => (taken += chunk.length));
    response.resume();
    while (taken < 20_000_000) await new Promise((resolve) => setImmediate(resolve));
    expect(produced).toBeGreaterThan(held);
    response.destroy();
    while (!ended) await new Promise((resolve) => setImmediate(resolve));
  });
});
