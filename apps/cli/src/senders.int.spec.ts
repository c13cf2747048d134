import { applicationIdOf } from '@rekey/domain';
import { CommandTokens, ensureKeys, loadConfig, parseSigningKey, type ServiceSender } from '@rekey/platform';
import type { CommandRecord } from '@rekey/ports';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Sandbox, buildCli, type Outcome } from './cli.testing';

const APPLICATION = applicationIdOf('acme', 'billing');
const COMMAND_ID = '0a8f1f0e-3b0e-4d3c-8f5e-1f2f3f4f5f6f';
const command = {
  id: COMMAND_ID,
  type: 'RevokeSecret',
  data: { domainId: 'acme', applicationId: APPLICATION, secretId: '1a8f1f0e-3b0e-5d3c-8f5e-1f2f3f4f5f6f' },
};

const sandbox = new Sandbox();
const at = (file: string): string => path.join(sandbox.folder, file);
/** Runs the CLI without a server. */
const rekey = (...args: readonly string[]): Promise<Outcome> => sandbox.run(args);
const write = (file: string, content: string): void => writeFileSync(at(file), content);

beforeAll(buildCli, 60_000);
afterAll(() => sandbox.remove());

describe('rekey keys', () => {
  it.each([
    [[], 'EdDSA'],
    [['--alg', 'ES256'], 'ES256'],
  ])('creates a key pair with %j and a private file that only its owner can read', async (args, alg) => {
    const file = `${alg}.json`;
    const { code, stdout, stderr } = await rekey('keys', ...args, '--out', file, '--name', 'billing');
    const { publicKey } = await parseSigningKey(readFileSync(at(file), 'utf8'), file);
    expect([code, JSON.parse(stdout)]).toEqual([0, publicKey]);
    expect(publicKey).toMatchObject({ alg, use: 'sig', kid: expect.stringMatching(/^[\w-]{43}$/) });
    expect(statSync(at(file)).mode & 0o777).toBe(0o600);
    const { d } = JSON.parse(readFileSync(at(file), 'utf8')) as { d: string };
    expect(stdout + stderr).not.toContain(d);
  });

  it('prints a configuration entry that the server accepts unchanged', async () => {
    const args = [
      '--out',
      'c.json',
      '--name',
      'billing',
      '--role',
      'admin',
      '--role',
      'auditor',
      '--only-domain',
      'shop',
    ];
    const { stdout, stderr } = await rekey('keys', ...args);
    write('server.yml', stderr.slice(stderr.indexOf('access:')));
    expect(loadConfig({ env: {}, file: at('server.yml') }).access.services).toEqual([
      {
        name: 'billing',
        publicJwks: { keys: [JSON.parse(stdout)] },
        roles: ['admin', 'auditor'],
        domains: ['shop'],
        mayActFor: false,
      },
    ]);
  });

  it('prints one document with --json', async () => {
    const { stdout, stderr } = await rekey('keys', '--out', 'd.json', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ file: 'd.json', service: { name: 'my-service', roles: ['manager'] } });
    expect(stderr).toBe('');
  });

  it('does not overwrite a file', async () => {
    write('there', 'something');
    const { code, stdout, stderr } = await rekey('keys', '--out', 'there');
    expect([code, stdout, readFileSync(at('there'), 'utf8')]).toEqual([1, '', 'something']);
    expect(stderr).toContain('there already exists');
    expect((await rekey('keys', '--out', 'none/key')).stderr).toContain('ENOENT');
  });

  it('creates the keys of an installation once', async () => {
    const { code, stdout } = await rekey('keys', '--folder', 'installation');
    const files = ['signing-key.json', 'sealing-key.json', 'command-seal-key.json', 'index-key', 'admin-token'];
    expect([code, files.filter((file) => !existsSync(at(`installation/${file}`)))]).toEqual([0, []]);
    expect((await ensureKeys(at('installation'))).signing.publicKey).toEqual(JSON.parse(stdout));
    expect((await rekey('keys', '--folder', 'installation')).stdout).toBe(stdout);
    const valueKey = (await rekey('keys', '--folder', 'installation', '--value-key')).stdout;
    expect(JSON.parse(valueKey)).toEqual((await ensureKeys(at('installation'))).commandSeal.publicKey);
  });

  it.each([
    [[]],
    [['--out', 'x', '--folder', 'y']],
    [['--out', 'x', '--value-key']],
    [['--out', 'x', '--alg', 'RS256']],
    [['--out', 'x', '--name', 'ü']],
  ])('exits with 2 and creates nothing for %j', async (args) => {
    expect((await rekey('keys', ...args)).code).toBe(2);
    expect([existsSync(at('x')), existsSync(at('y'))]).toEqual([false, false]);
  });
});

describe('rekey sign', () => {
  const content = `${JSON.stringify(command, null, 2)}\n`;
  const sign = (...args: readonly string[]): Promise<Outcome> =>
    rekey('sign', '--key', 'key.json', '--name', 'billing', ...args, 'command.json');
  let sender: ServiceSender;

  beforeAll(async () => {
    await rekey('keys', '--out', 'key.json');
    write('command.json', content);
    const { publicKey } = await parseSigningKey(readFileSync(at('key.json'), 'utf8'), 'key.json');
    sender = { name: 'billing', publicJwks: { keys: [publicKey] }, roles: ['manager'], domains: [], mayActFor: true };
  });

  /** Holds a token against the record that it was made for, as the command-service does. */
  const verify = (token: string, record: Partial<CommandRecord> = {}, audience = 'rekey') =>
    new CommandTokens([sender], audience).verify(
      `Bearer ${token.trim()}`,
      { value: Buffer.from(content), key: Buffer.from(APPLICATION), ...record },
      COMMAND_ID,
      Date.now(),
    );

  it('creates a token that is valid only for the bytes of the file', async () => {
    const { code, stdout, stderr } = await sign();
    expect(code).toBe(0);
    expect(stderr).toContain(APPLICATION);
    const { caller, fresh } = await verify(stdout);
    expect([caller, fresh]).toEqual([{ type: 'service', name: 'billing', roles: ['manager'], domains: [] }, true]);
    await expect(verify(stdout, { value: Buffer.from(content.trim()) })).rejects.toThrow('no valid token');
    await expect(verify(stdout, { replyTopic: Buffer.from('rekey.replies.a') })).rejects.toThrow('no valid token');
  });

  it('covers the reply topic, partition and correlation id', async () => {
    const { stdout } = await sign(
      '--reply-topic',
      'rekey.replies.a',
      '--reply-partition',
      '3',
      '--correlation-id',
      'c 1',
    );
    const to = { replyTopic: Buffer.from('rekey.replies.a'), replyPartition: Buffer.from('3') };
    await expect(verify(stdout, { ...to, correlationId: Buffer.from('c 1') })).resolves.toMatchObject({ fresh: true });
    await expect(verify(stdout, to)).rejects.toThrow('no valid token');
  });

  it('sets the caller and the audience', async () => {
    const { stdout } = await sign(
      '--sub',
      'user:alice',
      '--roles',
      'manager,admin',
      '--domains',
      'acme',
      '--audience',
      'a',
    );
    const { caller } = await verify(stdout, {}, 'a');
    expect(caller).toEqual({ type: 'user', name: 'alice', roles: ['manager'], domains: ['acme'] });
    await expect(verify(stdout)).rejects.toThrow('no valid token');
  });

  it('prints the record key with --json: the domain for a command without application', async () => {
    const other = { id: COMMAND_ID, type: 'DeleteDomain', data: { domainId: 'acme' } };
    write('domain.json', JSON.stringify(other));
    const { stdout } = await rekey('sign', '--key', 'key.json', '--name', 'billing', '--json', 'domain.json');
    const { key, token } = JSON.parse(stdout) as { key: string; token: string };
    expect(key).toBe('acme');
    await verify(token, { key: Buffer.from(key), value: Buffer.from(JSON.stringify(other)) });
  });

  it.each([
    ['no JSON', 'hello', 'not JSON'],
    ['another type', JSON.stringify({ ...command, type: 'Explode' }), 'invalid value of type'],
    ['an unknown field', JSON.stringify({ ...command, extra: 1 }), 'unknown field extra'],
  ])('refuses %s', async (_what, text, words) => {
    write('wrong.json', text);
    const { code, stdout, stderr } = await rekey('sign', '--key', 'key.json', '--name', 'billing', 'wrong.json');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(words);
  });

  it('refuses an invalid key without showing it', async () => {
    write('none.json', '{"kty":"OKP","d":"hidden"}');
    const { code, stderr } = await rekey('sign', '--key', 'none.json', '--name', 'billing', 'command.json');
    expect(code).toBe(1);
    expect(stderr).toContain('none.json');
    expect(stderr).not.toContain('hidden');
  });

  it.each([
    [['--roles', 'admin']],
    [['--sub', 'user:a']],
    [['--sub', 'service:a', '--roles', 'admin']],
    [['--roles', 'x']],
  ])('exits with 2 for %j', async (args) => expect((await sign(...args)).code).toBe(2));

  it('exits with 2 when a file does not exist', async () => {
    const { code, stderr } = await rekey('sign', '--key', 'key.json', '--name', 'billing', 'missing.json');
    expect([code, stderr]).toEqual([2, expect.stringContaining('ENOENT')]);
  });
});
