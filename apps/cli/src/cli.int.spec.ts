import type { domainAnswer, receiptAnswer, secretWithValueAnswer } from '@rekey/contracts';
import { addSecretBody, registerApplicationBody, renewSecretBody } from '@rekey/contracts';
import { applicationIdOf, composeSecret } from '@rekey/domain';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { z } from 'zod';
import { FakeServer, Sandbox, buildCli, problem, type Outcome, type RunOptions } from './cli.testing';

const APPLICATION = applicationIdOf('acme', 'billing');
const SECRET = '0a8f1f0e-3b0e-5d3c-8f5e-1f2f3f4f5f6f';
const SECRETS = `/api/v1/domains/acme/applications/${APPLICATION}/secrets`;
const ONE = `${SECRETS}/${SECRET}`;
const OF = ['-d', 'acme', '--client-id', 'billing'];
const VALUE = composeSecret('0'.repeat(10), Buffer.alloc(32));

const domain: z.infer<typeof domainAnswer> = {
  id: 'acme',
  name: 'Acme',
  contacts: ['security@acme.example'],
  enabled: true,
  policy: { expiry: { mode: 'after', after: { amount: 90, unit: 'days' } } },
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
  applications: 2,
};
const secret: Omit<z.infer<typeof secretWithValueAnswer>, 'secret'> = {
  id: SECRET,
  applicationId: APPLICATION,
  domainId: 'acme',
  clientId: 'billing',
  applicationName: 'Billing',
  version: 1,
  description: 'CI',
  status: 'active',
  hint: 'x7Qa',
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: { type: 'token', id: 'admin' },
  expiresAt: '9000-01-01T00:00:00.000Z',
  expirySource: 'command',
  allowedCidrs: [],
};
const receipt: z.infer<typeof receiptAnswer> = { position: '00042', effectiveAt: '2026-01-01T00:00:00.000Z' };

const sandbox = new Sandbox();
const server = new FakeServer();
let url: string;

beforeAll(async () => {
  buildCli();
  url = await server.start();
}, 60_000);
beforeEach(() => server.forget());
afterAll(async () => {
  await server.stop();
  sandbox.remove();
});

/** Runs the CLI against the fake server. No failure may print a stack. */
const rekey = async (args: readonly string[], options: RunOptions = {}): Promise<Outcome> => {
  const outcome = await sandbox.run(args, {
    ...options,
    env: { REKEY_URL: url, REKEY_TOKEN: 'rka_test', ...options.env },
  });
  expect(outcome.stderr).not.toMatch(/^\s+at /m);
  return outcome;
};

describe('reads', () => {
  it('prints a table', async () => {
    server.on('GET', '/api/v1/domains', { status: 200, body: { items: [domain] } });
    const { code, stdout, stderr } = await rekey(['domain', 'list', '-q', 'ac', '--limit', '7']);
    expect(stdout.split('\n')[0]).toMatch(/^DOMAIN +NAME +STATUS +POLICY +APPLICATIONS +CREATED$/);
    expect(stdout.split('\n')[1]).toMatch(/^acme +Acme +enabled +after 90 days +2 +2026-01-01T00:00:00.000Z$/);
    expect([code, stderr]).toEqual([0, '']);
    expect(server.seen[0]).toMatchObject({
      query: { q: 'ac', limit: '7' },
      headers: { authorization: 'Bearer rka_test' },
    });
  });

  it('prints the unchanged body with --json', async () => {
    const text = '{"items": [ {"id":"acme","extra":1} ]}';
    server.on('GET', '/api/v1/domains', { status: 200, text });
    expect(await rekey(['domain', 'list', '--json'])).toEqual({ code: 0, stdout: `${text}\n`, stderr: '' });
  });

  it('notes that more pages follow, and fetches all of them with --all', async () => {
    const pages = (): void =>
      void server.on('GET', '/api/v1/domains', ({ query }) => ({
        status: 200,
        body: query['after'] === 'p2' ? { items: [{ ...domain, id: 'globex' }] } : { items: [domain], next: 'p2' },
      }));
    pages();
    expect((await rekey(['domain', 'list'])).stderr).toContain('--after p2');
    pages();
    const all = await rekey(['--json', 'domain', 'list', '--all']);
    expect(JSON.parse(all.stdout).items.map(({ id }: { id: string }) => id)).toEqual(['acme', 'globex']);
  });

  it('continues after an empty page that has a next cursor', async () => {
    server.on(
      'GET',
      '/api/v1/history',
      { status: 200, body: { items: [], next: 'p2' } },
      { status: 200, body: { items: [] } },
    );
    expect((await rekey(['history'])).stdout).toBe('None.\n');
    expect(server.seen.map(({ query }) => query['after'])).toEqual([undefined, 'p2']);
  });

  it('prints "None." for an empty list', async () => {
    server.on('GET', '/api/v1/domains', { status: 200, body: { items: [] } });
    expect((await rekey(['domain', 'list'])).stdout).toBe('None.\n');
  });

  it('shows exact times with their distance', async () => {
    server.on('GET', ONE, { status: 200, body: secret, headers: { etag: '"7"' } });
    const { stdout } = await rekey(['secret', 'get', SECRET, ...OF]);
    expect(stdout).toMatch(/^Expires +9000-01-01T00:00:00\.000Z \(in \d+ years\), by request$/m);
    expect(stdout).toMatch(/^Revision +7$/m);
  });

  it('finds an unrevoked secret by its description', async () => {
    const revoked = { ...secret, id: '11111111-3b0e-5d3c-8f5e-1f2f3f4f5f6f', status: 'revoked' };
    server.on('GET', SECRETS, { status: 200, body: { items: [revoked, secret] } });
    server.on('GET', ONE, { status: 200, body: secret });
    expect((await rekey(['secret', 'get', 'CI', ...OF])).code).toBe(0);
    expect(server.seen.at(-1)?.path).toBe(ONE);
    const missing = await rekey(['secret', 'get', 'Other', ...OF]);
    expect([missing.code, missing.stdout]).toEqual([1, '']);
  });

  it('names the field that does not match in an unexpected answer', async () => {
    server.on('GET', '/api/v1/domains/acme', { status: 200, body: { ...domain, name: 3 } });
    const { code, stderr } = await rekey(['domain', 'get', 'acme']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('(name)')]);
  });

  it('prints all pages of an inventory as CSV with one header line', async () => {
    server.on('GET', '/api/v1/secrets', ({ query, headers }) => {
      expect(headers.accept).toBe('text/csv');
      const link = { link: '</api/v1/secrets?status=expired&after=p2>; rel="next"' };
      return query['after'] ? { status: 200, text: 'id\nb\n' } : { status: 200, text: 'id\na\n', headers: link };
    });
    const { code, stdout } = await rekey(['secret', 'inventory', '--csv', '--all', '--status', 'expired']);
    expect([code, stdout]).toEqual([0, 'id\na\nb\n']);
    expect(server.seen[0]?.query).toEqual({ status: 'expired', limit: '200' });
  });

  it('accepts durations in time filters', async () => {
    server.on('GET', '/api/v1/secrets', { status: 200, body: { items: [] } });
    await rekey(['secret', 'inventory', '--expires-before', '30d', '--unused-since', '90d']);
    const { expiresBefore = '', unusedSince = '' } = server.seen[0]?.query ?? {};
    expect(Date.parse(expiresBefore) - Date.parse(unusedSince)).toBeGreaterThan(119 * 86_400_000);
  });
});

describe('writes', () => {
  it('sends a body that matches the contract, with its own idempotency key', async () => {
    server.on('POST', SECRETS, { status: 201, body: { ...secret, secret: VALUE } });
    const args = ['CI', ...OF, '--expires-in', '3months', '--not-before', '2030-01-01', '--allow', '10.0.0.0/8'];
    await rekey(['secret', 'add', ...args]);
    await rekey(['secret', 'add', ...args, '--if-match', '7']);
    expect(addSecretBody.parse(server.seen[0]?.body)).toEqual({
      description: 'CI',
      expiresIn: { amount: 3, unit: 'months' },
      notBefore: '2030-01-01T00:00:00.000Z',
      allowedCidrs: ['10.0.0.0/8'],
    });
    const [first, second] = server.seen.map(({ headers }) => headers['idempotency-key']);
    expect(first).toMatch(/^cli-/);
    expect(second).not.toBe(first);
    expect(server.seen.map(({ headers }) => headers['if-match'])).toEqual([undefined, '"7"']);
  });

  it.each([
    [['--never'], { expiresAt: null }],
    [['--expires-at', '2030-01-01T00:00+01:00'], { expiresAt: '2029-12-31T23:00:00.000Z' }],
    [['--overlap', '2d', '--if-version', '1'], { overlap: { amount: 2, unit: 'days' }, version: 1 }],
    [[], {}],
  ])('renews with %j', async (args, expected) => {
    server.on('POST', `${ONE}/renew`, { status: 200, body: { ...secret, version: 2, secret: VALUE } });
    expect((await rekey(['secret', 'renew', SECRET, ...OF, ...args])).code).toBe(0);
    expect(renewSecretBody.parse(server.seen[0]?.body)).toEqual(expected);
  });

  it('shows a new value once, with a warning on standard error', async () => {
    server.on('POST', SECRETS, { status: 201, body: { ...secret, secret: VALUE } });
    const { stdout, stderr } = await rekey(['secret', 'add', 'CI', ...OF]);
    expect(stdout.split(VALUE)).toHaveLength(2);
    expect(stderr).toContain('Store this value now; it cannot be shown again.');
    expect(stderr).not.toContain(VALUE);
  });

  it('prints only the value with --value-only', async () => {
    server.on('POST', SECRETS, { status: 201, body: { ...secret, secret: VALUE } });
    expect(await rekey(['secret', 'add', 'CI', ...OF, '--value-only'])).toEqual({
      code: 0,
      stdout: `${VALUE}\n`,
      stderr: '',
    });
  });

  it('fails and prints nothing when the server no longer has the value', async () => {
    server.on('POST', `${ONE}/renew`, { status: 200, body: { ...secret, secret: null, replayed: true } });
    const { code, stdout, stderr } = await rekey(['secret', 'renew', SECRET, ...OF, '--value-only']);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('it cannot be shown again');
  });

  it('registers with a first secret and with an imported one that it does not show', async () => {
    const registered = {
      id: APPLICATION,
      domainId: 'acme',
      clientId: 'billing',
      name: 'Billing',
      contacts: [],
      enabled: true,
      policy: { expiry: { mode: 'inherit' } },
      createdAt: domain.createdAt,
      updatedAt: domain.createdAt,
      secrets: 1,
      firstSecret: { id: SECRET, version: 1, description: 'Default', secret: VALUE },
    };
    server.on('POST', '/api/v1/domains/acme/applications', { status: 201, body: registered });
    const register = ['app', 'register', 'Billing', ...OF];
    expect((await rekey([...register, '--first-secret', '--value-only'])).stdout).toBe(`${VALUE}\n`);
    await rekey([...register, '--import-secret', 'Old'], { input: ' my own value \r\n' });
    const bodies = server.seen.map(({ body }) => registerApplicationBody.parse(body).firstSecret);
    expect(bodies).toEqual([{}, { description: 'Old', value: ' my own value ' }]);
    expect((await rekey([...register, '--value-only'])).code).toBe(2);
  });

  it('retries a write with the same idempotency key', async () => {
    const busy = problem(503, 'unavailable', 'A store is away.');
    server.on(
      'POST',
      SECRETS,
      { ...busy, headers: { 'retry-after': '0' } },
      { status: 200, text: '{"id":', broken: true, headers: { 'content-length': '100' } },
      { status: 201, body: { ...secret, secret: VALUE } },
    );
    expect((await rekey(['secret', 'add', 'CI', ...OF, '--value-only'])).stdout).toBe(`${VALUE}\n`);
    expect(new Set(server.seen.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
    expect(server.seen).toHaveLength(3);
  });

  it('gives up after four attempts and says how to retry safely', async () => {
    server.on('POST', SECRETS, { ...problem(504, 'timeout', 'No outcome yet.'), headers: { 'retry-after': '0' } });
    const { code, stderr } = await rekey(['secret', 'add', 'CI', ...OF]);
    expect(code).toBe(3);
    expect(server.seen).toHaveLength(4);
    expect(stderr).toContain(`--idempotency-key ${String(server.seen[0]?.headers['idempotency-key'])}`);
  });

  it('revokes with a reason and shows when it takes effect', async () => {
    server.on('POST', `${ONE}/revoke`, { status: 200, body: receipt });
    const { code, stdout } = await rekey(['secret', 'revoke', SECRET, ...OF, '--reason', 'keyCompromise', '--force']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('2026-01-01T00:00:00.000Z')]);
    expect(server.seen[0]?.body).toEqual({ reason: 'keyCompromise', force: true });
  });

  it('waits until a revocation is in effect, or exits with 5', async () => {
    const later = { status: 202, body: { position: '42', effective: false }, headers: { 'rekey-command-id': 'c-1' } };
    server.on('POST', `${ONE}/revoke`, later, { status: 200, body: receipt });
    expect((await rekey(['secret', 'revoke', SECRET, ...OF])).code).toBe(0);
    expect(server.seen).toHaveLength(2);
    server.on('POST', `${ONE}/revoke`, later);
    const { code, stdout, stderr } = await rekey(['secret', 'revoke', SECRET, ...OF]);
    expect([code, stdout]).toEqual([5, expect.not.stringContaining('In effect')]);
    expect(stderr).toContain('rekey command c-1');
  });

  it('changes only the given parts of a policy, at the revision it has read', async () => {
    server.on('GET', '/api/v1/domains/acme', { status: 200, body: domain, headers: { etag: '"3"' } });
    server.on('PUT', '/api/v1/domains/acme/policy', ({ body }) => ({
      status: 200,
      body: { policy: body, affected: { count: 0, items: [] } },
    }));
    expect((await rekey(['policy', 'set', '-d', 'acme', '--max-lifetime', '1y'])).code).toBe(0);
    expect(server.seen[1]).toMatchObject({
      headers: { 'if-match': '"3"' },
      body: {
        expiry: { mode: 'after', after: { amount: 90, unit: 'days' } },
        maxLifetime: { amount: 1, unit: 'years' },
      },
    });
  });

  it('previews a policy without an idempotency key', async () => {
    const item = {
      applicationId: APPLICATION,
      secretId: SECRET,
      description: 'CI',
      expiresAt: null,
      wouldExpireAt: '2030-01-01T00:00:00.000Z',
      wouldSource: 'application',
    };
    const affected = { count: 1, items: [item] };
    const route = `/api/v1/domains/acme/applications/${APPLICATION}/policy`;
    server.on('PUT', route, ({ body }) => ({ status: 200, body: { policy: body, affected } }));
    const { stdout } = await rekey(['policy', 'set', ...OF, '--expire-after', '90d', '--preview']);
    expect(stdout).toMatch(/nothing was changed/);
    expect(stdout).toMatch(/CI +never +2030-01-01T00:00:00.000Z +application/);
    expect(server.seen[0]).toMatchObject({ query: { preview: 'true' } });
    expect(server.seen[0]?.headers['idempotency-key']).toBeUndefined();
  });

  it('deletes only after a confirmation', async () => {
    server.on('DELETE', '/api/v1/domains/acme', { status: 204 });
    const refused = await rekey(['domain', 'delete', 'acme']);
    expect([refused.code, server.seen.length]).toEqual([2, 0]);
    expect((await rekey(['domain', 'delete', 'acme', '--yes'])).stdout).toBe('Deleted domain acme.\n');
    expect((await rekey(['domain', 'delete', 'acme', '--yes', '--json'])).stdout).toBe('');
  });
});

describe('check', () => {
  const route = '/api/v1/domains/acme/authenticate';
  const valid = {
    valid: true,
    domainId: 'acme',
    clientId: 'billing',
    applicationId: APPLICATION,
    secretId: SECRET,
    version: 1,
  };

  it('exits with 0 for valid credentials from standard input or a file', async () => {
    server.on('POST', route, { status: 200, body: valid });
    expect((await rekey(['check', ...OF], { input: `${VALUE}\n` })).code).toBe(0);
    writeFileSync(path.join(sandbox.folder, 'value'), `${VALUE}\r\n`);
    await rekey(['check', ...OF, '--secret-file', 'value', '--remote-address', '203.0.113.7']);
    expect(server.seen.map(({ body }) => body)).toEqual([
      { clientId: 'billing', clientSecret: VALUE },
      { clientId: 'billing', clientSecret: VALUE, remoteAddress: '203.0.113.7' },
    ]);
    expect(server.seen[0]?.headers['idempotency-key']).toBeUndefined();
  });

  it('exits with 4 for invalid credentials and with 1 for an unauthenticated caller', async () => {
    server.on('POST', route, problem(401, 'invalid_client_credentials', 'Not valid.'));
    const refused = await rekey(['check', ...OF], { input: VALUE });
    expect([refused.code, refused.stdout]).toEqual([4, '']);
    server.on('POST', route, problem(401, 'unauthenticated', 'Send a valid token.'));
    expect((await rekey(['check', ...OF], { input: VALUE })).code).toBe(1);
  });

  it('exits with 3 when the server did not check the credentials', async () => {
    server.on('POST', route, { ...problem(503, 'unavailable', 'Not now.'), headers: { 'retry-after': '0' } });
    expect((await rekey(['check', ...OF], { input: VALUE })).code).toBe(3);
    server.on('POST', route, { ...problem(429, 'rate_limited', 'Too many.'), headers: { 'retry-after': '7' } });
    const limited = await rekey(['check', ...OF], { input: VALUE });
    expect([limited.code, limited.stderr]).toEqual([3, expect.stringContaining('in 7 seconds')]);
  });

  it('refuses a secret on the command line and does not print it', async () => {
    for (const wrong of [[VALUE], ['--secret', VALUE], [`--secret=${VALUE}`], ['--client-secret=hunter2']]) {
      const { code, stdout, stderr } = await rekey(['check', ...OF, ...wrong]);
      expect([code, server.seen.length]).toEqual([2, 0]);
      expect(stdout + stderr).not.toContain(VALUE.slice(4));
      expect(stdout + stderr).not.toContain('hunter2');
    }
  });

  it('refuses an empty secret', async () => {
    expect((await rekey(['check', ...OF], { input: '\n' })).code).toBe(2);
    expect(server.seen).toHaveLength(0);
  });
});

describe('history and verify', () => {
  const event = {
    stream: 'domain-acme',
    revision: 0,
    position: '01',
    eventId: SECRET,
    type: 'DomainCreated',
    data: { domainId: 'acme', name: 'Acme' },
    metadata: { occurredAt: '2026-01-01T00:00:00.000Z', actor: { type: 'token', id: 'admin' } },
  };

  it('request everything, one domain or one application', async () => {
    const body = { items: [event] };
    server.on('GET', '/api/v1/history', { status: 200, body });
    server.on('GET', `/api/v1/domains/acme/applications/${APPLICATION}/history`, { status: 200, body });
    const { stdout } = await rekey(['history', '--type', 'DomainCreated', '--actor', 'admin', '--from', '2026-01-01']);
    expect(stdout).toMatch(/2026-01-01T00:00:00.000Z +DomainCreated +domain-acme +0 +admin +name=Acme/);
    await rekey(['history', '-d', 'acme']);
    await rekey(['history', ...OF]);
    expect(server.seen.map(({ path, query }) => [path.split('/').length, query])).toEqual([
      [4, { type: 'DomainCreated', actor: 'admin', from: '2026-01-01T00:00:00.000Z' }],
      [4, { stream: 'domain-acme' }],
      [8, {}],
    ]);
  });

  it('end with 0 when the reader closes the pipe', async () => {
    const text = `${JSON.stringify(event)}\n`.repeat(20_000);
    server.on('GET', '/api/v1/history', { status: 200, text });
    const { code, stdout, stderr } = await rekey(['history', '--ndjson'], { stopReading: true });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.length).toBeLessThan(text.length);
  });

  it('stream NDJSON unchanged', async () => {
    const text = `${JSON.stringify(event)}\n`.repeat(3);
    server.on('GET', '/api/v1/history', { status: 200, text, headers: { 'content-type': 'application/x-ndjson' } });
    expect((await rekey(['history', '--ndjson'])).stdout).toBe(text);
    expect(server.seen[0]?.headers.accept).toBe('application/x-ndjson');
  });

  it('exit with 3 when the stream breaks', async () => {
    server.on('GET', '/api/v1/history', { status: 200, text: '{"a":1}\n', broken: true });
    expect((await rekey(['history', '--ndjson'])).code).toBe(3);
  });

  it('show descriptions of secrets and no stream columns for one application', async () => {
    const about = (type: string, data: object) => ({ ...event, stream: `application-${APPLICATION}`, type, data });
    const other = SECRET.replace(/^./, 'f');
    const items = [
      about('SecretAdded', { secretId: SECRET, description: 'Nightly jobs', version: 1 }),
      about('SecretRevoked', { secretId: SECRET, reason: 'superseded' }),
      about('SecretRevoked', { secretId: other, reason: 'superseded' }),
    ];
    server.on('GET', `/api/v1/domains/acme/applications/${APPLICATION}/history`, { status: 200, body: { items } });
    const { stdout } = await rekey(['history', ...OF]);
    expect(stdout).toMatch(/SecretAdded +admin +description="Nightly jobs" version=1\n/);
    expect(stdout).toMatch(/SecretRevoked +admin +secret="Nightly jobs" reason=superseded\n/);
    expect(stdout).toContain(`secret=${other} reason=superseded`);
    expect(stdout).not.toContain('application-');
  });

  it('exit with 6 when the history was altered', async () => {
    server.on('POST', '/api/v1/history/verify', { status: 200, body: { streams: 2, events: 9, broken: [] } });
    const whole = await rekey(['verify']);
    expect([whole.code, whole.stdout]).toEqual([0, expect.stringContaining('9 events in 2 streams')]);
    const broken = [{ stream: 'domain-acme', revision: 3, eventId: SECRET, cause: 'hash' }];
    server.on('POST', '/api/v1/history/verify', { status: 200, body: { streams: 2, events: 9, broken } });
    const found = await rekey(['verify', '--stream', 'domain-acme']);
    expect([found.code, found.stdout]).toEqual([6, expect.stringMatching(/domain-acme +3 +\S+ +hash/)]);
    expect(server.seen[1]?.body).toEqual({ stream: 'domain-acme' });
  });
});

describe('notifications', () => {
  const notice = {
    id: `${SECRET}.1.5.ui`,
    domainId: 'acme',
    applicationId: APPLICATION,
    secretId: SECRET,
    version: 1,
    threshold: 5,
    channel: 'ui',
    state: 'sent',
    sentAt: '2026-01-01T00:00:00.000Z',
    clientId: 'billing',
    description: 'Nightly',
  };

  it('lists, acknowledges and resends notices', async () => {
    server.on('GET', '/api/v1/notifications', { status: 200, body: { items: [notice] } });
    server.on('POST', `/api/v1/notifications/${notice.id}/acknowledge`, {
      status: 200,
      body: { ...notice, state: 'acknowledged' },
    });
    server.on('POST', `/api/v1/notifications/${notice.id}/retry`, { status: 200, body: notice });
    const { stdout } = await rekey(['notifications', 'list', '--unacknowledged']);
    expect(stdout).toMatch(/01-01T00:00:00.000Z +expires within 5 days +Nightly +billing +acme +ui +sent/);
    expect((await rekey(['notifications', 'ack', notice.id])).stdout).toMatch(/State +acknowledged/);
    expect((await rekey(['notifications', 'retry', notice.id])).code).toBe(0);
    expect(server.seen[0]?.query).toEqual({ acknowledged: 'false' });
  });
});

describe('a failure', () => {
  it('shows code, field and correlation id, or the problem document with --json', async () => {
    const refusal = problem(400, 'invalid_request', 'Too long.', { field: 'name' });
    server.on('POST', '/api/v1/domains', refusal);
    const words = await rekey(['domain', 'create', 'Acme']);
    expect(words).toEqual({
      code: 1,
      stdout: '',
      stderr: 'rekey: Too long. (invalid_request, field name)\nCorrelation id: c0rr\n',
    });
    const { stderr } = await rekey(['domain', 'create', 'Acme', '--json']);
    expect(JSON.parse(stderr)).toEqual(refusal.body);
  });

  it('exits with 3 when the connection is refused', async () => {
    const { code, stderr } = await rekey(['domain', 'list'], { env: { REKEY_URL: 'http://127.0.0.1:9' } });
    expect([code, stderr]).toEqual([3, expect.stringContaining('Cannot reach Rekey')]);
  });

  it('exits with 3 on a timeout', async () => {
    server.on('GET', '/health/ready', { status: 200, text: 'x', headers: { 'content-length': '100' } });
    const { code, stderr } = await rekey(['health', '--timeout', '1s']);
    expect([code, stderr]).toEqual([3, expect.stringContaining('within 1 s')]);
  });

  it.each([
    [{ status: 200, text: '<html>' }, 1, 'not a list'],
    [{ status: 404, text: '<html>' }, 1, 'This is not a Rekey answer'],
    [{ status: 502, text: 'bad gateway' }, 3, 'This is not a Rekey answer'],
    [{ status: 301, headers: { location: 'https://other.example/' } }, 1, 'redirects to https://other.example/'],
  ])('reports an answer that is not from Rekey: %j', async (reply, expected, words) => {
    server.on('GET', '/api/v1/domains', reply);
    const { code, stderr } = await rekey(['domain', 'list']);
    expect([code, stderr]).toEqual([expected, expect.stringContaining(words)]);
  });

  it.each([
    [['frobnicate']],
    [['domain']],
    [['domain', 'get', '..']],
    [['domain', 'create']],
    [['domain', 'update', 'acme']],
    [['secret', 'add', 'CI', '-d', 'acme']],
    [['secret', 'add', 'CI', '--client-id', 'billing']],
    [['secret', 'add', 'CI', ...OF, '--app', APPLICATION]],
    [['secret', 'add', 'CI', ...OF, '--never', '--expires-in', '1d']],
    [['secret', 'add', 'CI', ...OF, '--value-only', '--json']],
    [['history', '--ndjson', '--json']],
    [['secret', 'inventory', '--csv', '--json']],
    [['secret', 'revoke', SECRET, ...OF, '--reason', 'because']],
    [['policy', 'set', ...OF, '--max-lifetime', '1y']],
    [['policy', 'set', '-d', 'acme', '--inherit']],
    [['notifications', 'ack', '..']],
    [['domain', 'list', '--limit', '201']],
    [['domain', 'list', '--timeout', '1y']],
  ])('exits with 2 and sends nothing for %j', async (args) => {
    const { code, stdout, stderr } = await rekey(args);
    expect([code, stdout, server.seen]).toEqual([2, '', []]);
    expect(stderr).not.toBe('');
  });

  it('refuses a token file that everyone can read', async () => {
    const file = path.join(sandbox.folder, 'token');
    writeFileSync(file, 'rka_file\n');
    chmodSync(file, 0o644);
    const { code, stderr } = await rekey(['domain', 'list', '--token-file', file]);
    expect([code, server.seen.length]).toEqual([2, 0]);
    expect(stderr).toContain('chmod 600');
    expect(stderr).not.toContain(readFileSync(file, 'utf8').trim());
  });
});

describe('health', () => {
  it('shows the probes and sends no token', async () => {
    const probes = { store: { ready: true }, views: { ready: false, cause: 'being built' } };
    server.on('GET', '/health/ready', { status: 503, body: { status: 'not ready', probes } });
    const { code, stdout } = await rekey(['health'], { env: { REKEY_TOKEN: '' } });
    expect([code, stdout]).toEqual([1, expect.stringMatching(/views +ready: false, cause: being built/)]);
    expect(server.seen).toHaveLength(1);
    server.on('GET', '/health/ready', { status: 200, body: { status: 'ready', probes: {} } });
    expect((await rekey(['health'])).code).toBe(0);
  });
});

describe('projections', () => {
  const at = '/api/v1/projections';
  const build = 'secrets.v1.000002b';
  const standing = (name: string, active: boolean, owner?: string) => ({
    view: 'secrets',
    version: 1,
    build: name,
    active,
    ready: active,
    checkpoint: '00042',
    lagSeconds: 1.25,
    parkedStreams: 2,
    owner,
  });
  const list = (...items: object[]) => ({ status: 200, body: { items } });

  it('lists every build', async () => {
    server.on('GET', at, list(standing('secrets.v1.000001a', true, 'projector@one'), standing(build, false)));
    const lines = (await rekey(['projections', 'list'])).stdout.split('\n');
    expect(lines[0]).toMatch(/^VIEW +VERSION +BUILD +ACTIVE +READY +CHECKPOINT +LAG +PARKED +OWNER$/);
    expect(lines[1]).toMatch(/^secrets +1 +secrets\.v1\.000001a +yes +yes +00042 +1\.3 s +2 +projector@one$/);
    expect(lines[2]).toMatch(/^secrets +1 +secrets\.v1\.000002b +no +no +00042 +1\.3 s +2 +-$/);
  });

  it('starts a build and with --wait waits until it is active', async () => {
    server.on('POST', `${at}/secrets/rebuild`, { status: 202, body: { view: 'secrets', build } });
    expect(await rekey(['projections', 'rebuild', 'secrets'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(build),
    });
    server.on('GET', at, list(standing(build, false)), list(standing(build, true)));
    expect((await rekey(['projections', 'rebuild', 'secrets', '--wait'])).stdout).toBe(
      `${build} is now the active build of secrets.\n`,
    );
    expect(server.seen.filter(({ method }) => method === 'GET')).toHaveLength(2);
    // A later build counts as well; without one the command fails.
    server.on('GET', at, list(standing('secrets.v1.000003c', true)));
    expect((await rekey(['projections', 'rebuild', 'secrets', '--wait'])).code).toBe(0);
    server.on('GET', at, list(standing('secrets.v1.000001a', true)));
    expect(await rekey(['projections', 'rebuild', 'secrets', '--wait'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('was removed'),
    });
    expect((await rekey(['projections', 'rebuild', 'usage'])).code).toBe(2);
  });

  it('lists failed events and their replays', async () => {
    const failed = {
      view: 'secrets',
      build,
      stream: 'application-x',
      revision: 4,
      position: '00040',
      type: 'SecretAdded',
      cause: 'unknown type',
      waiting: 3,
    };
    const replay = { askedAt: '2026-01-01T00:00:00.000Z', askedBy: 'token:ops', answered: false };
    const result = { at: '2026-01-01T00:00:01.000Z', events: 0, waiting: 3, cause: 'unknown type' };
    server.on(
      'GET',
      `${at}/failed`,
      list(failed, { ...failed, replay }, { ...failed, replay: { ...replay, answered: true, result } }),
    );
    const lines = (await rekey(['projections', 'failed', '--view', 'secrets'])).stdout.split('\n');
    expect(lines[0]).toMatch(/^VIEW +STREAM +REVISION +EVENT +CAUSE +WAITING +REPLAY +BUILD$/);
    expect(lines[1]).toMatch(/^secrets +application-x +4 +SecretAdded +unknown type +3 +- +secrets\.v1\.000002b$/);
    expect(lines[2]).toContain('requested by token:ops at 2026-01-01T00:00:00.000Z');
    expect(lines[3]).toContain('0 events applied, 3 waiting (unknown type), requested by token:ops');
    expect(server.seen[0]?.query).toEqual({ view: 'secrets' });
  });

  it('returns the result of a replay as its exit code', async () => {
    const run = async (status: number, result?: object) => {
      const body = { view: 'secrets', stream: 'application-x', builds: [{ build, result }] };
      server.on('POST', `${at}/secrets/replay`, { status, body });
      return rekey(['projections', 'replay', 'secrets', 'application-x']);
    };
    const whole = await run(200, { events: 3, waiting: 0 });
    expect([whole.code, whole.stdout]).toEqual([0, expect.stringContaining('3 events applied, 0 waiting')]);
    expect(server.seen[0]?.body).toEqual({ stream: 'application-x' });
    expect((await run(200, { events: 1, waiting: 2, cause: 'unknown type' })).code).toBe(1);
    expect(await run(202)).toMatchObject({ code: 5, stdout: expect.stringContaining('requested') });
  });
});
