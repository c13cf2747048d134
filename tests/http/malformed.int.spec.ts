import { ERRORS } from '@rekey/contracts';
import type { Route } from '@rekey/gateway';
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { z } from 'zod';
import { TestSystem } from '../support/http.testing';

/** Runs of each property per route, and requests that each run sends at once. */
const RUNS = Number(process.env['REKEY_MALFORMED_RUNS'] ?? 30);
const AT_ONCE = 10;
const RAW_RUNS = RUNS * 15;

interface Malformed {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

// ── Generated requests: careless and malicious ───────────────────────────────────────────────────────────────────

const PROTOTYPE_KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', ''];
const TEXTS = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\n',
  '\r\nX-Evil: 1',
  '..',
  '../..',
  '%00',
  "' OR 1=1 --",
  '$ne',
  '\ud800',
  '\u202e',
  'İ',
  'ß'.repeat(200),
  'null',
  'undefined',
  'NaN',
  '-1',
  '1e999',
  '0x10',
  '9007199254740993',
  'true',
  '[]',
  '{}',
  '2026-02-30T00:00:00Z',
  '9999-12-31T23:59:60Z',
  '+275760-09-13T00:00:00.000Z',
  '0000-01-01T00:00:00Z',
  '10.0.0.0/99',
  '::ffff:1.2.3.4',
  'x'.repeat(5_000),
  '{"a":1}',
  'text/csv',
  '*',
  '%',
  '"1"',
  ',',
];
const VALUES: readonly unknown[] = [
  ...TEXTS,
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  [],
  {},
  [[]],
  [null],
  { amount: 1, unit: 'days' },
  { amount: 1e9, unit: 'years' },
  { amount: -1, unit: 'seconds' },
  { mode: 'after' },
  { mode: 'after', after: { amount: 1, unit: 'eons' } },
  Array(1_000).fill('a@example.org'),
];

const text = fc.oneof(
  fc.constantFrom(...TEXTS),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 40 }),
);
const value = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
);

/** Lone surrogates cannot be encoded as UTF-8. */
const wellFormed = (held: string): string => Buffer.from(held).toString();

/** Percent-encoded, unencoded or wrongly encoded. A request line may not contain control characters or spaces. */
const encoded = fc.tuple(text, fc.constantFrom('right', 'twice', 'broken', 'latin')).map(([part, how]) => {
  const safe = encodeURIComponent(wellFormed(part));
  if (how === 'twice') return encodeURIComponent(safe);
  if (how === 'broken') return `${safe.slice(0, 20)}%${safe.slice(20, 21)}`;
  return how === 'latin' ? `${safe}%ff` : safe;
});

const fieldsOf = (schema: z.ZodType | undefined): string[] => {
  if (!schema) return [];
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    properties?: object;
  };
  return Object.keys(properties);
};

const paths = (route: Route, known: Readonly<Record<string, string>>): fc.Arbitrary<string> => {
  const segments = route.url.split('/').map((segment) => {
    const own = known[segment.slice(1)];
    if (!segment.startsWith(':')) return fc.constant(segment);
    return fc.oneof({ weight: 6, arbitrary: fc.constant(own ?? randomUUID()) }, { weight: 1, arbitrary: encoded });
  });
  return fc.tuple(...segments).map((parts) => parts.join('/'));
};

const queries = (route: Route): fc.Arbitrary<string> => {
  const name = fc.oneof(fc.constantFrom('after', 'limit', ...fieldsOf(route.query), ...PROTOTYPE_KEYS), encoded);
  const pair = fc.tuple(name, encoded, fc.boolean()).map(([key, part, bare]) => (bare ? key : `${key}=${part}`));
  const some = fc.array(pair, { minLength: 1, maxLength: 4 }).map((pairs) => `?${pairs.join('&')}`);
  return fc.oneof({ weight: 2, arbitrary: fc.constant('') }, { weight: 1, arbitrary: some });
};

/** The example body of a route with one change, or a body that is not JSON. */
const bodies = (route: Route): fc.Arbitrary<Buffer | undefined> => {
  const json = (body: unknown): Buffer => Buffer.from(JSON.stringify(body) ?? '');
  const example = (route.example ?? {}) as Record<string, unknown>;
  const names = [...fieldsOf(route.body), ...Object.keys(example), ...PROTOTYPE_KEYS, 'more'];
  const changed = fc.array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 3 }).map((changes) => {
    const members = [...Object.entries(example), ...changes].map(
      ([key, held]) => `${JSON.stringify(key)}:${JSON.stringify(held)}`,
    );
    return Buffer.from(`{${members.join(',')}}`);
  });
  const nested = fc.constantFrom('[', '{"a":').map((open) => Buffer.from(open.repeat(10_000)));
  const closed = fc
    .constantFrom(1_000, 20_000, 40_000)
    .map((depth) => Buffer.from('['.repeat(depth) + ']'.repeat(depth)));
  const cut = fc.nat({ max: 40 }).map((length) => json(example).subarray(0, length));
  const bytes = fc.uint8Array({ maxLength: 60 }).map((held) => Buffer.from(held));
  const noise = fc.tuple(fc.nat({ max: 200 }), fc.integer({ min: 128, max: 255 })).map(([place, byte]) => {
    const body = json(example);
    if (body.length > 0) body[place % body.length] = byte;
    return body;
  });
  const marked = fc.constant(Buffer.concat([Buffer.from('\ufeff'), json(example)]));
  return fc.oneof(
    { weight: 8, arbitrary: changed },
    { weight: 2, arbitrary: fc.constant(undefined) },
    ...[value.map(json), nested, closed, cut, bytes, noise, marked].map((arbitrary) => ({ weight: 1, arbitrary })),
  );
};

/** Node's client rejects characters that a header may not contain; the raw requests below send those too. */
const headerText = text.map((held) =>
  Buffer.from(held)
    .toString('latin1')
    .replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
    .slice(0, 3_000),
);
const TYPES = [
  'application/json',
  'application/json; charset=utf-16',
  'APPLICATION/JSON;charset="x',
  'text/plain',
  'application/xml',
  'application/json, text/plain',
  '',
  ';',
  'application/problem+json',
  'multipart/form-data',
];
/** `proxy`: sends a proxy's token, as forward-auth requires, with client credentials that are mutated in many ways. */
const headers = (token: string, proxy?: string): fc.Arbitrary<Record<string, string>> => {
  const seldom = fc.record(
    {
      'if-match': headerText,
      'idempotency-key': headerText,
      'last-event-id': headerText,
      // The gateway waits for a valid future position; other tests cover that.
      'rekey-at-least': headerText.filter((held) => held.length !== 20),
      'rekey-authorization': headerText,
      'x-forwarded-for': headerText,
      'x-request-id': headerText,
      accept: headerText,
      'content-encoding': fc.constantFrom('gzip', 'identity', 'nonsense'),
      cookie: headerText,
      expect: headerText,
      traceparent: headerText,
    },
    { requiredKeys: [] },
  );
  const credentials = fc.oneof(
    headerText,
    text.map((held) => `Basic ${Buffer.from(held).toString('base64')}`),
  );
  const bearer = fc.oneof(
    { weight: 9, arbitrary: fc.constant(`Bearer ${token}`) },
    { weight: 1, arbitrary: headerText },
  );
  const authorization = proxy === undefined ? bearer : credentials;
  const type = fc.oneof(
    { weight: 6, arbitrary: fc.constant('application/json') },
    { weight: 1, arbitrary: fc.constantFrom(...TYPES) },
  );
  return fc
    .tuple(authorization, type, fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: seldom }))
    .map(([who, what, more]) => ({
      authorization: who,
      'content-type': what,
      ...(proxy !== undefined && { 'rekey-authorization': `Bearer ${proxy}` }),
      ...more,
    }));
};

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe('malformed input', () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  let system: TestSystem;
  let routes: readonly Route[];
  const crashes: unknown[] = [];
  const onCrash = (error: unknown): void => void crashes.push(error);

  beforeAll(async () => {
    process.on('uncaughtException', onCrash).on('unhandledRejection', onCrash);
    system = await TestSystem.start({ env: { REKEY_HTTP_BODYLIMITBYTES: '65536' } });
    ({ routes } = system.standalone);
  });
  afterAll(async () => {
    agent.destroy();
    await system.stop();
    process.off('uncaughtException', onCrash).off('unhandledRejection', onCrash);
  });
  afterEach(() => expect(crashes).toEqual([]));

  const headersFor = ({ action }: Route) =>
    headers(system.token('admin'), action === 'proxy' ? system.token('proxy') : undefined);

  const send = (method: string, { path, headers: given, body }: Malformed) =>
    new Promise<{ status: number; headers: Headers; text: string }>((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': String(body.length) };
      const options = { agent, host: '127.0.0.1', port: system.port, method, path, headers: { ...given, ...length } };
      const request = http.request(options, (response) => {
        const answered = {
          status: response.statusCode ?? 0,
          headers: new Headers(response.headers as Record<string, string>),
        };
        // A stream never ends: its head is the answer.
        if (response.headers['content-type'] === 'text/event-stream') {
          request.destroy();
          return resolve({ ...answered, text: '' });
        }
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ ...answered, text: Buffer.concat(chunks).toString() }));
      });
      request.on('error', reject);
      request.end(body);
    });

  /** Checks that every error is a problem document with a known code, and that every answer matches the OpenAPI document. */
  const judge = (method: string, path: string, answer: { status: number; headers: Headers; text: string }): void => {
    const { status, headers: told, text: said } = answer;
    expect(status).toBeGreaterThanOrEqual(200);
    expect(status).toBeLessThan(500);
    const type = told.get('content-type') ?? '';
    const body = /[/+]json(;|$)/.test(type) && said !== '' ? JSON.parse(said) : undefined;
    if (status >= 400) {
      expect(type).toMatch(/^application\/problem\+json/);
      const { status: statusOfCode } = ERRORS[body.code as keyof typeof ERRORS];
      expect(status === 412 ? 'revision_conflict' : status).toBe(status === 412 ? body.code : statusOfCode);
    }
    if (type !== 'text/event-stream') system.validate(method, path, { ...answer, body });
  };

  const things = async (): Promise<Record<string, string>> => {
    const domainId = `d-${randomUUID()}`;
    await system.done('POST', '/domains', { id: domainId, name: 'Acme' });
    const { id: applicationId } = await system.done('POST', `/domains/${domainId}/applications`, { name: 'A' });
    const path = `/domains/${domainId}/applications/${applicationId}/secrets`;
    const { id: secretId } = await system.done('POST', path, { description: 'A' });
    return { domainId, applicationId, secretId, view: 'secrets' };
  };

  it('gets only described errors from every route', async () => {
    for (const route of routes) {
      const known = await things();
      const request: fc.Arbitrary<Malformed> = fc
        .tuple(paths(route, known), queries(route), headersFor(route), bodies(route))
        .map(([path, query, given, body]) => ({ path: path + query, headers: given, body }));
      const statuses = new Map<number, number>();
      await fc.assert(
        fc.asyncProperty(fc.array(request, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (requests) => {
          const answers = await Promise.all(requests.map((each) => send(route.method, each)));
          answers.forEach((answer, index) => {
            statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
            judge(route.method, requests[index]?.path ?? '', answer);
          });
        }),
        { numRuns: RUNS },
      );
      // Enough requests pass validation to test what comes after it.
      const stopped = (statuses.get(401) ?? 0) + (statuses.get(415) ?? 0);
      if (route.action !== 'proxy') expect([route.url, stopped < (RUNS * AT_ONCE) / 2]).toEqual([route.url, true]);
    }
  }, 120_000);

  it('gets only described errors from paths without a route', async () => {
    const methods = fc.constantFrom(
      'GET',
      'POST',
      'PUT',
      'PATCH',
      'DELETE',
      'HEAD',
      'OPTIONS',
      'TRACE',
      'PROPFIND',
      'QUERY',
    );
    const anywhere = fc.array(fc.oneof(encoded, fc.constantFrom('api', 'v1', 'domains', 'health', '', '.', '..')), {
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(methods, anywhere, headers(system.token('admin')), async (method, parts, given) => {
        const path = `/${parts.join('/')}`;
        const answer = await send(method, { path, headers: given, body: undefined });
        if (method !== 'HEAD') judge(method, path, answer);
        else expect(answer.status).toBeLessThan(500);
      }),
      { numRuns: RUNS * 10 },
    );
  }, 60_000);

  it('gets only described errors for arbitrary bytes', async () => {
    const good = `POST /api/v1/domains HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${system.token('viewer')}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 12\r\n\r\n{"name":"x"}`;
    const byte = fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }));
    const flipped = fc.array(byte, { minLength: 1, maxLength: 4 }).map((bytes) => {
      const request = Buffer.from(good, 'latin1');
      for (const [place, to] of bytes) request[place] = to;
      return request;
    });
    const line = fc.tuple(
      fc.constantFrom('GET', 'POST', 'get', 'G ET', ''),
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/9.9', 'HTTP', ''),
    );
    const odd = line.map(([method, target, version]) =>
      Buffer.from(`${method} /${target} ${version}\r\nHost: x\r\nConnection: close\r\n\r\n`),
    );
    const header = fc
      .tuple(headerText, fc.string({ unit: 'binary', maxLength: 20 }))
      .map(([name, held]) =>
        Buffer.from(`GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${name}: ${held}\r\n\r\n`),
      );
    await fc.assert(
      fc.asyncProperty(fc.oneof(flipped, odd, header), async (bytes) => {
        // The server waits for the rest of an incomplete request until the client closes its side.
        const said = await system.raw(bytes, /\r\n\r\n[^]*\}$/, 300);
        if (said === '') return;
        expect(said).toMatch(/^HTTP\/1\.1 [234]\d\d /);
        if (said.startsWith('HTTP/1.1 4')) expect(said).toMatch(/^content-type: application\/problem\+json/im);
      }),
      { numRuns: RAW_RUNS },
    );
    expect((await system.ask('GET', '//health/live')).status).toBe(200);
  }, 120_000);
});
