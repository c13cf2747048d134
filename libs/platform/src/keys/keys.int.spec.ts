import { recipientKeySchema, type Caller } from '@rekey/contracts';
import { ManualClock } from '@rekey/ports';
import { execFile } from 'node:child_process';
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import { Access } from '../access/access';
import { CommandTokens, commandSigner } from '../access/command-tokens';
import { KeyError, ensureKeys } from './keys';
import { open, seal } from './sealing';

const FILES = ['admin-token', 'command-seal-key.json', 'index-key', 'sealing-key.json', 'signing-key.json'];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekey-keys-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe('the keys of a folder', () => {
  it('are created if missing, readable by their owner only, without leftover files', async () => {
    const keys = join(folder, 'deep/keys');
    expect(await ensureKeys(keys)).toMatchObject({ warnings: [], adminToken: { created: true } });
    expect(readdirSync(keys).sort()).toEqual(FILES);
    expect(modeOf(keys)).toBe(0o700);
    for (const name of FILES) expect(modeOf(join(keys, name))).toBe(0o600);
  });

  it('are the same at every start', async () => {
    const first = await ensureKeys(folder);
    const second = await ensureKeys(folder);
    expect(second).toEqual({ ...first, adminToken: { ...first.adminToken, created: false } });
  });

  it('differ between folders', async () => {
    const [one, other] = await Promise.all([ensureKeys(join(folder, 'a')), ensureKeys(join(folder, 'b'))]);
    expect(one.indexKey.equals(other.indexKey)).toBe(false);
    expect(one.sealing.privateKey.d).not.toBe(other.sealing.privateKey.d);
    expect(one.sealing.privateKey.d).not.toBe(one.commandSeal.privateKey.d);
    expect(one.adminToken.sha256).not.toBe(other.adminToken.sha256);
  });

  it('include an admin token that authenticates, of which only the digest is returned', async () => {
    const keys = await ensureKeys(folder);
    const token = readFileSync(keys.adminToken.file, 'utf8').trim();
    expect(token).toMatch(/^rka_[0-9A-Za-z]{43}$/);
    expect(JSON.stringify(keys)).not.toContain(token);
    const access = new Access({
      tokens: [{ name: 'admin', sha256: keys.adminToken.sha256, roles: ['admin'], domains: [] }],
      clock: new ManualClock(0),
    });
    expect(await access.authenticate(`Bearer ${token}`)).toMatchObject({ name: 'admin', roles: ['admin'] });
  });

  it('seal and open values, and the public keys are valid recipient keys', async () => {
    const { sealing, commandSeal, indexKey } = await ensureKeys(folder);
    for (const pair of [sealing, commandSeal]) {
      expect(recipientKeySchema.safeParse(pair.publicKey).success).toBe(true);
      expect(pair.publicKey).not.toHaveProperty('d');
      expect(await open(await seal('value', pair.publicKey), pair.privateKey)).toBe('value');
    }
    expect(indexKey).toHaveLength(32);
  });

  it('sign commands that verify with the public key', async () => {
    const { signing } = await ensureKeys(folder);
    expect(signing.publicKey).toEqual({
      kty: 'OKP',
      crv: 'Ed25519',
      x: expect.any(String),
      kid: expect.stringMatching(/^[\w-]{43}$/),
      use: 'sig',
      alg: 'EdDSA',
    });
    expect(signing.privateKey).toEqual({ ...signing.publicKey, d: expect.any(String) });
    const sender = { name: 'gateway', roles: ['admin' as const], domains: [], mayActFor: false };
    const tokens = new CommandTokens([{ ...sender, publicJwks: { keys: [signing.publicKey] } }], 'rekey');
    const clock = new ManualClock(0);
    const sign = commandSigner({ name: 'gateway', privateKey: signing.privateKey, audience: 'rekey', clock });
    const caller: Caller = { type: 'service', name: 'gateway', roles: [], domains: [] };
    const id = randomUUID();
    const record = { value: Buffer.from('{}') };
    const command = { id, type: 'DeleteDomain' as const, data: { domainId: 'shop' } };
    const authorization = await sign({ command, caller, correlationId: 'c' }, record);
    expect(await tokens.verify(authorization, record, id, 0)).toMatchObject({
      caller: { name: 'gateway' },
      fresh: true,
    });
  });

  it('include a new admin token after its file is deleted', async () => {
    const before = await ensureKeys(folder);
    rmSync(before.adminToken.file);
    const after = await ensureKeys(folder);
    expect(after.adminToken.created).toBe(true);
    expect(after.adminToken.sha256).not.toBe(before.adminToken.sha256);
    expect(after.indexKey).toEqual(before.indexKey);
  });

  it('include an admin token that the operator has chosen', async () => {
    const token = 'chosen.by-the_operator~0';
    writeFileSync(join(folder, 'admin-token'), `${token}\n`, { mode: 0o600 });
    const { sha256, created } = (await ensureKeys(folder)).adminToken;
    expect({ sha256, created }).toEqual({ sha256: createHash('sha256').update(token).digest('hex'), created: false });
  });

  it('come with a warning if others can read a file', async () => {
    await ensureKeys(folder);
    chmodSync(join(folder, 'index-key'), 0o640);
    expect((await ensureKeys(folder)).warnings).toEqual([expect.stringMatching(/index-key: .*chmod 600/)]);
  });

  it.each(FILES)('are refused, and not replaced, if %s is empty or holds something else', async (name) => {
    const path = join(folder, name);
    await ensureKeys(folder);
    for (const content of ['', 'hunter2 marker', '{"kty":"EC"}', '{"kty":"RSA","d":"hunter2"}', 'null']) {
      if (name === 'admin-token' && content === 'null') continue;
      writeFileSync(path, content);
      const error = await ensureKeys(folder).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(KeyError);
      expect(String(error)).toContain(path);
      expect(String(error)).not.toContain('hunter2');
      expect(readFileSync(path, 'utf8')).toBe(content);
    }
  });
});

describe('keys outside the folder', () => {
  it('sign on P-256 under their own kid', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signingKeyFile = join(folder, 'own.json');
    const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'of-2026' };
    writeFileSync(signingKeyFile, JSON.stringify(jwk), { mode: 0o600 });
    const { signing } = await ensureKeys(join(folder, 'keys'), { signingKeyFile });
    expect(signing.publicKey).toMatchObject({ kid: 'of-2026', alg: 'ES256', use: 'sig' });
  });

  it('are read from their files, and not created in the folder', async () => {
    const elsewhere = await ensureKeys(join(folder, 'elsewhere'));
    const at = (name: string) => join(folder, 'elsewhere', name);
    const keys = await ensureKeys(join(folder, 'keys'), {
      sealingKeyFile: at('sealing-key.json'),
      commandSealKeyFile: at('command-seal-key.json'),
      indexKeyFile: at('index-key'),
      signingKeyFile: at('signing-key.json'),
    });
    expect(keys.signing).toEqual(elsewhere.signing);
    expect(keys.sealing).toEqual(elsewhere.sealing);
    expect(keys.commandSeal).toEqual(elsewhere.commandSeal);
    expect(keys.indexKey).toEqual(elsewhere.indexKey);
    expect(readdirSync(join(folder, 'keys'))).toEqual(['admin-token']);
  });

  it('must exist', async () => {
    const indexKeyFile = join(folder, 'gone');
    await expect(ensureKeys(join(folder, 'keys'), { indexKeyFile })).rejects.toThrow(
      `${indexKeyFile}: the file cannot be read`,
    );
  });

  it.each(['X25519', 'P-384'])('seal on %s', async (crv) => {
    const { generateKeyPair, exportJWK } = await import('jose');
    const pair = await generateKeyPair('ECDH-ES+A256KW', { crv, extractable: true });
    const sealingKeyFile = join(folder, 'own.json');
    writeFileSync(sealingKeyFile, JSON.stringify(await exportJWK(pair.privateKey)), { mode: 0o600 });
    const { sealing } = await ensureKeys(join(folder, 'keys'), { sealingKeyFile });
    expect(recipientKeySchema.safeParse(sealing.publicKey).success).toBe(true);
    expect(await open(await seal('value', sealing.publicKey), sealing.privateKey)).toBe('value');
  });
});

it('returns the same keys to processes that start at the same time', async () => {
  const script = join(folder, 'start.cjs');
  buildSync({
    stdin: {
      contents: `import { ensureKeys } from './keys';
        void ensureKeys(process.argv[2]).then(({ warnings, adminToken: { created, ...adminToken }, ...keys }) =>
          console.log(JSON.stringify({ adminToken, ...keys })));`,
      resolveDir: __dirname,
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    tsconfig: join(__dirname, '../../../../tsconfig.base.json'),
    outfile: script,
    logLevel: 'error',
  });
  for (const round of ['one', 'two', 'three']) {
    const keys = join(folder, round);
    const starts = Array.from({ length: 6 }, () => promisify(execFile)(process.execPath, [script, keys]));
    const outputs = new Set((await Promise.all(starts)).map(({ stdout }) => stdout));
    expect(outputs.size).toBe(1);
    expect(readdirSync(keys).sort()).toEqual(FILES);
  }
});
