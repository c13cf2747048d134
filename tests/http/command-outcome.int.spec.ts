import { loadConfig } from '@rekey/platform';
import { temporaryFolder } from '@rekey/testing';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createStandalone, type Standalone } from '../support/in-process.testing';

describe('the outcome of a command', () => {
  const folder = temporaryFolder();
  const stranger = randomBytes(24).toString('base64url');
  let standalone: Standalone;
  let owner: string;
  let base: string;

  const ask = (token: string, path: string, body?: object): Promise<Response> =>
    fetch(`${base}/api/v1${path}`, {
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });

  beforeAll(async () => {
    const sha256 = createHash('sha256').update(stranger).digest('hex');
    const tokens = JSON.stringify([{ name: 'stranger', sha256, roles: ['admin'], domains: [] }]);
    const env = {
      REKEY_STORAGE_PATH: folder.path,
      REKEY_HTTP_PORT: '0',
      REKEY_LOGGING_LEVEL: 'silent',
      REKEY_ACCESS_TOKENS: tokens,
    };
    standalone = await createStandalone(loadConfig({ env }));
    base = await standalone.listen();
    await standalone.ready();
    owner = readFileSync(standalone.keys.adminToken.file, 'utf8').trim();
  });
  afterAll(async () => {
    await standalone.close();
    folder.remove();
  });

  it('is shown only to the caller that sent the command, without the secret value', async () => {
    await ask(owner, '/domains', { id: 'acme', name: 'Acme' });
    const made = await ask(owner, '/domains/acme/applications', {
      clientId: 'billing',
      name: 'Billing',
      firstSecret: {},
    });
    const { firstSecret } = (await made.json()) as { firstSecret: { id: string; secret: string } };
    const commandId = made.headers.get('rekey-command-id') ?? '';

    const told = await ask(owner, `/commands/${commandId}`);
    expect(told.status).toBe(200);
    const text = await told.text();
    expect(JSON.parse(text)).toMatchObject({ id: commandId, status: 'accepted', result: { secretId: firstSecret.id } });
    expect(text).not.toContain(firstSecret.secret);

    expect((await ask(stranger, `/commands/${commandId}`)).status).toBe(404);
  });
});
