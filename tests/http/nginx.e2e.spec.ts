import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort, isRequired, temporaryFolder } from '@rekey/testing';
import { StandaloneProcess } from '../support/standalone.testing';

const EXAMPLE = path.resolve(__dirname, '../../deploy/examples/nginx');
const NGINX = ['/usr/sbin/nginx', 'nginx'].find((name) => spawnSync(name, ['-v']).status === 0);
const required = isRequired('nginx');
if (!NGINX && !required) process.stderr.write('Skipped: the nginx example, because nginx is not installed\n');
const describeHere = NGINX || required ? describe : describe.skip;

describeHere('nginx with auth_request to Rekey in front of a service', () => {
  const folder = temporaryFolder();
  const token = randomBytes(24).toString('base64url');
  const children: ChildProcess[] = [];
  let rekey: StandaloneProcess;
  let edge = '';
  let secrets = '';
  const basic = (id: string, secret: string) => ({
    authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
  });

  const start = (command: string, args: string[]): ChildProcess => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    return child;
  };
  const ask = async (headers: Record<string, string> = {}) => {
    const response = await fetch(`${edge}/orders?id=1`, { headers });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  const addSecret = async (description: string, more: object = {}): Promise<{ id: string; secret: string }> => {
    const { status, body } = await rekey.request('POST', secrets, { description, ...more });
    expect(status).toBe(201);
    return body as { id: string; secret: string };
  };

  beforeAll(async () => {
    const digest = createHash('sha256').update(token).digest('hex');
    rekey = await StandaloneProcess.start(folder.path, {
      env: {
        REKEY_ACCESS_TOKENS: JSON.stringify([
          { name: 'nginx', sha256: digest, roles: ['authenticator'], domains: ['acme'] },
        ]),
        REKEY_HTTP_TRUSTEDPROXIES: '127.0.0.1/32',
      },
    });
    await rekey.request('POST', '/domains', { id: 'acme', name: 'Acme' });
    const { body } = await rekey.request('POST', '/domains/acme/applications', {
      clientId: 'billing',
      name: 'Billing',
    });
    secrets = `/domains/acme/applications/${(body as { id: string }).id}/secrets`;

    const upstream = start(process.execPath, [path.join(EXAMPLE, 'upstream.mjs'), '0']);
    const [line] = (await once(upstream.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const port = await freePort();
    const prefix = path.join(folder.path, 'edge');
    mkdirSync(prefix);
    const tokenFile = path.join(prefix, 'token.conf');
    writeFileSync(tokenFile, `proxy_set_header Rekey-Authorization "Bearer ${token}";\n`, { mode: 0o600 });
    const names: Record<string, string> = {
      '@LISTEN@': `127.0.0.1:${port}`,
      '@REKEY@': new URL(rekey.url).host,
      '@UPSTREAM@': `127.0.0.1:${/\d+/.exec(line.toString())?.[0]}`,
      '@DOMAIN@': 'acme',
      '@TOKEN_FILE@': tokenFile,
    };
    const template = readFileSync(path.join(EXAMPLE, 'nginx.conf'), 'utf8').replace(/^# .*\n/gm, '');
    const config = Object.entries(names).reduce((text, [name, value]) => text.replaceAll(name, value), template);
    writeFileSync(path.join(prefix, 'nginx.conf'), config);
    const nginx = start(NGINX ?? 'nginx', [
      '-p',
      prefix,
      '-c',
      path.join(prefix, 'nginx.conf'),
      '-e',
      path.join(prefix, 'error.log'),
    ]);
    let said = '';
    nginx.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    edge = `http://127.0.0.1:${port}`;
    for (;;) {
      if (nginx.exitCode !== null) throw new Error(`nginx ended: ${said}`);
      if (
        await fetch(edge).then(
          () => true,
          () => false,
        )
      )
        break;
    }
  });
  afterAll(async () => {
    for (const child of children) {
      const exited = child.exitCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGTERM');
      await exited;
    }
    await rekey.stop();
    folder.remove();
  });

  it('lets a client with a valid secret through and passes its identity to the service', async () => {
    const { id, secret } = await addSecret('Edge');
    const { status, body } = await ask(basic('billing', secret));
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({
      path: '/orders?id=1',
      'x-rekey-client-id': 'billing',
      'x-rekey-secret-id': id,
      'x-rekey-secret-version': '1',
      'x-rekey-domain-id': 'acme',
    });
    expect(body).not.toContain('authorization');
    expect(body).not.toContain(secret);
  });

  it('answers 401 with a challenge to everyone else', async () => {
    const { secret } = await addSecret('Guess');
    const none = await ask();
    expect(none.status).toBe(401);
    expect(none.headers.get('www-authenticate')).toMatch(/^Basic realm="acme"/);
    expect((await ask(basic('billing', `${secret.slice(0, -1)}0`))).status).toBe(401);
    expect((await ask(basic('nobody', secret))).status).toBe(401);
    expect((await ask({ authorization: `Bearer ${token}` })).status).toBe(401);
  });

  it('overwrites identity headers that a client sends', async () => {
    const { id, secret } = await addSecret('Honest');
    const { body } = await ask({
      ...basic('billing', secret),
      'x-rekey-client-id': 'admin',
      'x-rekey-secret-id': 'mine',
      'x-rekey-expires-at': 'never',
    });
    expect(JSON.parse(body)).toMatchObject({ 'x-rekey-client-id': 'billing', 'x-rekey-secret-id': id });
    expect(body).not.toContain('never');
  });

  it('rejects a revoked secret as soon as the revocation is acknowledged', async () => {
    const { id, secret } = await addSecret('Leaked');
    expect((await ask(basic('billing', secret))).status).toBe(200);
    expect((await rekey.request('POST', `${secrets}/${id}/revoke`, { reason: 'keyCompromise' })).status).toBe(200);
    expect((await ask(basic('billing', secret))).status).toBe(401);
  });

  it('identifies the client by its connection address and ignores what its headers claim', async () => {
    const { secret } = await addSecret('Elsewhere', { allowedCidrs: ['203.0.113.0/24'] });
    expect((await ask({ ...basic('billing', secret), 'x-forwarded-for': '203.0.113.9' })).status).toBe(401);
    const { secret: local } = await addSecret('Local', { allowedCidrs: ['127.0.0.0/8'] });
    expect((await ask(basic('billing', local))).status).toBe(200);
  });

  it('passes on 429 after too many failures, and still admits a valid secret', async () => {
    const { secret } = await addSecret('Busy');
    let status = 401;
    for (let attempt = 0; attempt < 30 && status === 401; attempt++)
      ({ status } = await ask(basic('billing', `${secret.slice(0, -1)}0`)));
    expect(status).toBe(429);
    expect((await ask(basic('billing', secret))).status).toBe(200);
  });

  it('admits no client while Rekey does not respond', async () => {
    const { secret } = await addSecret('Outage');
    rekey.process.signal('SIGSTOP');
    try {
      expect((await ask(basic('billing', secret))).status).toBe(503);
    } finally {
      rekey.process.signal('SIGCONT');
    }
    expect((await ask(basic('billing', secret))).status).toBe(200);
  });
});
