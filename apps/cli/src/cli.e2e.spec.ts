import { RekeyProcess, until } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Sandbox, type Outcome, type RunOptions } from './cli.testing';

const PATIENT = { timeoutMs: 60_000, intervalMs: 200 };
const OF = ['--client-id', 'billing'];

const sandbox = new Sandbox();
const values: string[] = [];
let server: RekeyProcess;
let url: string;
let managerToken: string;

/** Runs in the folder of the server, so that the CLI finds the admin token by default. */
const rekey = (args: readonly string[], { env = {}, ...options }: RunOptions = {}): Promise<Outcome> =>
  sandbox.run(args, { ...options, env: { REKEY_URL: url, REKEY_DOMAIN: 'acme', ...env } });

const done = async (args: readonly string[], options?: RunOptions): Promise<string> => {
  const { code, stdout, stderr } = await rekey(args, options);
  expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' });
  return stdout;
};

const value = async (args: readonly string[]): Promise<string> => {
  const made = (await done([...args, '--value-only'])).trimEnd();
  values.push(made);
  return made;
};

const check = async (secret: string): Promise<number | null> => (await rekey(['check', ...OF], { input: secret })).code;

beforeAll(async () => {
  const made = await sandbox.run([
    'token',
    'new',
    '--name',
    'deploy',
    '--role',
    'manager',
    '--only-domain',
    'acme',
    '--value-only',
  ]);
  managerToken = made.stdout.trim();
  // The printed entry must work unchanged in rekey.yml.
  writeFileSync(path.join(sandbox.folder, 'rekey.yml'), made.stderr.slice(made.stderr.indexOf('access:')));
  server = new RekeyProcess('standalone', sandbox.folder);
  url = await server.started;
  await until('readiness', async () => (await rekey(['health'])).code === 0, PATIENT);
});
afterAll(async () => {
  await server.stop();
  sandbox.remove();
});

it('adds, renews, suspends, resumes and revokes a secret', async () => {
  await done(['domain', 'create', 'Acme', '--id', 'acme', '--contact', 'security@acme.example']);
  await done(['policy', 'set', '--expire-after', '90d', '--max-lifetime', '1y']);
  await done(['app', 'register', 'Billing', ...OF]);
  const first = await value(['secret', 'add', 'Production', ...OF]);
  const second = await value(['secret', 'add', 'CI', ...OF, '--expires-in', '3months']);
  expect([await check(first), await check(second), await check(`${second.slice(0, -1)}!`)]).toEqual([0, 0, 4]);

  const third = await value(['secret', 'renew', 'CI', ...OF, '--overlap', '2d']);
  expect([await check(second), await check(third)]).toEqual([0, 0]);
  await done(['secret', 'end-overlap', 'CI', ...OF]);
  expect([await check(second), await check(third)]).toEqual([4, 0]);

  await done(['secret', 'suspend', 'CI', ...OF]);
  expect(await check(third)).toBe(4);
  await done(['secret', 'resume', 'CI', ...OF]);
  expect(await check(third)).toBe(0);

  await done(['secret', 'revoke', 'CI', ...OF, '--reason', 'keyCompromise']);
  expect([await check(third), await check(first)]).toEqual([4, 0]);
  const last = await rekey(['secret', 'revoke', 'Production', ...OF]);
  expect([last.code, last.stderr]).toEqual([1, expect.stringContaining('last_live_secret')]);

  const { items } = JSON.parse(await done(['secret', 'list', ...OF, '--json']));
  expect(items.map(({ description, status }: Record<string, string>) => [description, status]).sort()).toEqual([
    ['CI', 'revoked'],
    ['Production', 'active'],
  ]);
});

it('imports a secret that clients already use', async () => {
  const own = `own ${randomUUID()} value`;
  values.push(own);
  const app = ['--client-id', 'legacy'];
  const told = await done(['app', 'register', 'Legacy', ...app, '--import-secret', 'Before'], { input: `${own}\n` });
  expect(told).not.toContain(own);
  expect((await rekey(['check', ...app], { input: own })).code).toBe(0);
  expect((await rekey(['check', ...app], { input: `${own}x` })).code).toBe(4);
});

it('names the field when a lifetime is out of bounds', async () => {
  const { code, stderr } = await rekey(['secret', 'add', 'Forever', ...OF, '--never']);
  expect([code, stderr]).toEqual([1, expect.stringContaining('lifetime_out_of_bounds, field expiresAt')]);
});

it('applies a write once per idempotency key', async () => {
  const add = ['secret', 'add', 'Once', ...OF, '--idempotency-key', 'once-1'];
  expect(await value(add)).toBe(await value(add));
  const { stderr } = await rekey(['secret', 'add', 'Twice', ...OF, '--idempotency-key', 'once-1']);
  expect(stderr).toContain('idempotency_key_reused');
});

it('refuses an update when the revision does not match', async () => {
  const revision = /^Revision +(\d+)$/m.exec(await done(['secret', 'get', 'Once', ...OF]))?.[1] ?? '';
  await done(['secret', 'update', 'Once', ...OF, '--allow', '203.0.113.0/24', '--if-match', revision]);
  const late = await rekey(['secret', 'update', 'Once', ...OF, '--allow-any', '--if-match', revision]);
  expect([late.code, late.stderr]).toEqual([1, expect.stringContaining('revision_conflict')]);
});

it('lists and acknowledges the notice of an expired secret', async () => {
  const short = await value(['secret', 'add', 'Short', ...OF, '--expires-in', '1s']);
  const notices = async (): Promise<{ id: string; threshold: number; state: string }[]> =>
    JSON.parse(await done(['notifications', 'list', '--unacknowledged', '--json'])).items;
  await until(
    'the notice of the expiry',
    async () => (await notices()).some(({ threshold }) => threshold === 0),
    PATIENT,
  );
  expect(await check(short)).toBe(4);
  const { id } = (await notices()).find(({ threshold }) => threshold === 0)!;
  await done(['notifications', 'ack', id]);
  expect((await notices()).map((notice) => notice.id)).not.toContain(id);
});

it('shows the history and verifies it with and without the server', async () => {
  const shown = await done(['history', ...OF, '--all']);
  for (const type of ['ApplicationRegistered', 'SecretAdded', 'SecretRenewed', 'OverlapEnded', 'SecretRevoked'])
    expect(shown).toContain(type);
  await done(['verify']);
  const file = path.join(sandbox.folder, 'export.ndjson');
  writeFileSync(file, await done(['history', '--ndjson']));
  const offline = { env: { REKEY_URL: 'http://127.0.0.1:9', REKEY_TOKEN: '' } };
  await done(['verify', '--file', file], offline);
  writeFileSync(file, readFileSync(file, 'utf8').replace('"description":"CI"', '"description":"CD"'));
  expect((await rekey(['verify', '--file', file], offline)).code).toBe(6);
  expect((await rekey(['verify', '--file', '-'], { ...offline, input: '{"no":"event"}\n' })).code).toBe(1);
});

it('shows an application as of an earlier time', async () => {
  const events = JSON.parse(await done(['history', ...OF, '--json', '--type', 'SecretRenewed'])).items;
  const asOf: string = events[0].metadata.occurredAt;
  const then = await done(['app', 'get', ...OF, '--as-of', asOf]);
  expect(then).toMatch(/CI +active +2 +\S+ +version 2, version 1/);
});

it('creates a token that is limited to its roles and domains', async () => {
  const env = { REKEY_TOKEN: managerToken };
  await done(['app', 'update', ...OF, '--name', 'Billing EU'], { env });
  for (const [args, code] of [
    [['domain', 'create', 'Other'], 'forbidden'],
    [['history'], 'forbidden'],
    [['app', 'list', '-d', 'other'], 'domain_not_found'],
  ] as const) {
    const refused = await rekey(args, { env });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(code)]);
  }
  const stranger = await rekey(['domain', 'list'], { env: { REKEY_TOKEN: 'rka_nobody' } });
  expect([stranger.code, stranger.stderr]).toEqual([1, expect.stringContaining('unauthenticated')]);
});

it('backs up and restores the store while the server runs', async () => {
  const before = await value(['secret', 'add', 'Before', ...OF]);
  await done(['backup', 'store.backup']);
  const after = await value(['secret', 'add', 'After', ...OF]);
  expect([await check(before), await check(after)]).toEqual([0, 0]);
  const again = await rekey(['backup', 'store.backup']);
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('already exists')]);

  expect((await rekey(['restore', 'store.backup'])).code).toBe(2);
  await done(['restore', 'store.backup', '--yes']);
  await until(
    'the state of the backup',
    async () => (await check(after)) === 4 && (await check(before)) === 0,
    PATIENT,
  );
  expect(await done(['secret', 'list', ...OF, '--all'])).not.toContain('After');
  await done(['verify']);
});

it('does not log a secret value or a token', () => {
  expect(values.length).toBeGreaterThan(5);
  for (const secret of [
    ...values,
    managerToken,
    readFileSync(path.join(sandbox.folder, 'data/admin-token'), 'utf8').trim(),
  ])
    expect(server.output).not.toContain(secret);
});
