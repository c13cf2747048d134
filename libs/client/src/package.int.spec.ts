import { applicationIdOf } from '@rekey/domain';
import { execFile, execFileSync, type ExecFileException } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../../..');
/** The compiler is slow on a busy machine. */
const COMPILING_MS = 300_000;
const MODULES = path.join(ROOT, 'node_modules');

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: { readonly '.': Readonly<Record<string, string>> };
}

/** Packs the package and installs it in an empty project, next to its dependencies only. */
describe('the package @rekey/client', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-package-'));
  const installed = path.join(folder, 'node_modules/@rekey/client');
  const manifest = (): Manifest => JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8')) as Manifest;
  const put = (file: string, text: string): string => {
    const name = path.join(folder, file);
    writeFileSync(name, text);
    return name;
  };
  const run = (...args: string[]): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, args, { cwd: folder }, (error: ExecFileException | null, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
      );
    });
  const tsc = (...more: string[]) =>
    run(
      path.join(MODULES, 'typescript/bin/tsc'),
      '--strict',
      '--noEmit',
      '--target',
      'es2022',
      '--types',
      'node',
      ...more,
    );

  beforeAll(() => {
    const built = path.join(folder, 'built');
    execFileSync(process.execPath, [path.join(ROOT, 'tools/build-client.mjs'), built]);
    const npm = ['pack', '--silent', '--offline', '--pack-destination', folder, built];
    const archive = execFileSync('npm', npm, { cwd: folder, encoding: 'utf8' }).trim();
    mkdirSync(installed, { recursive: true });
    execFileSync('tar', ['-xzf', path.join(folder, archive), '-C', installed, '--strip-components=1']);
    for (const name of [...Object.keys(manifest().dependencies), '@types/node', 'undici-types']) {
      const link = path.join(folder, 'node_modules', name);
      mkdirSync(path.dirname(link), { recursive: true });
      symlinkSync(path.join(MODULES, name), link);
    }
  }, COMPILING_MS);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('contains exactly the files that its manifest names', () => {
    const files = readdirSync(installed);
    expect(files.sort()).toEqual(['README.md', 'index.cjs', 'index.d.ts', 'index.mjs', 'package.json']);
    const named = Object.values(manifest().exports['.']).map((file) => path.basename(file));
    expect(files).toEqual(expect.arrayContaining(named));
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;
    expect(manifest().version).toBe(version);
  });

  it('depends on published packages only', () => {
    expect(Object.keys(manifest().dependencies)).toContain('kafkajs');
    expect(JSON.stringify(manifest().dependencies)).not.toMatch(/@rekey|@nestjs|file:|workspace:/);
    for (const file of ['index.mjs', 'index.cjs', 'index.d.ts'])
      expect(readFileSync(path.join(installed, file), 'utf8')).not.toMatch(/['"](@rekey|@nestjs|\.\.)\//);
  });

  const USE = `
    const refused = await RekeyClient.connect({
      brokers: ['127.0.0.1:1'], name: 'x', connectTimeoutMs: 100,
      privateKey: { kid: 'k', ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) },
    }).catch((error) => error);
    console.log(refused instanceof RekeyError, refused.code, applicationIdOf('shop', 'billing'));
  `;
  const SAYS = `true unavailable ${applicationIdOf('shop', 'billing')}\n`;

  it('can be imported as an ES module, and the process exits by itself', async () => {
    const file = put(
      'esm.mjs',
      `import { generateKeyPairSync } from 'node:crypto';
       import { RekeyClient, RekeyError, applicationIdOf } from '@rekey/client';${USE}`,
    );
    const { code, output } = await run(file);
    expect([code, output]).toEqual([0, SAYS]);
  });

  it('has the same classes for import and require', async () => {
    const file = put(
      'both.mjs',
      `import { createRequire } from 'node:module';
       import { RekeyError } from '@rekey/client';
       console.log(createRequire(import.meta.url)('@rekey/client').RekeyError === RekeyError);`,
    );
    expect(await run(file)).toEqual({ code: 0, output: 'true\n' });
  });

  it('can be required as CommonJS', async () => {
    const file = put(
      'cjs.cjs',
      `const { generateKeyPairSync } = require('node:crypto');
       const { RekeyClient, RekeyError, applicationIdOf } = require('@rekey/client');
       (async () => {${USE}})();`,
    );
    const { code, output } = await run(file);
    expect([code, output]).toEqual([0, SAYS]);
  });

  const CONSUMER = `
    import { RekeyClient, RekeyError, type CommandData, type ReplyOf, type RekeyClientOptions } from '@rekey/client';

    declare const options: RekeyClientOptions;
    const data: CommandData<'RevokeSecret'> = { domainId: 'd', applicationId: 'a', secretId: 's', reason: 'superseded' };
    export const use = async (): Promise<string | null> => {
      const client = await RekeyClient.connect({ ...options, ssl: { ca: 'pem' }, brokers: ['b:9092'] });
      const revoked = await client.send('RevokeSecret', data, { retryForMs: Infinity });
      const effective: boolean | undefined = revoked.result?.effective;
      const { secret, secretId } = await client.addSecret({ domainId: 'd', applicationId: 'a', description: 'CI' });
      const renewed: ReplyOf<'RenewSecret'> = await client.renewSecret({ domainId: 'd', applicationId: 'a', secretId });
      try {
        await client.close();
      } catch (error) {
        if (error instanceof RekeyError && error.code === 'timeout') console.log(error.details['commandId'], effective);
      }
      return secret ?? renewed.secret;
    };
  `;

  it(
    'has types that compile in every module mode',
    async () => {
      const files = ['consumer.ts', 'consumer.mts', 'consumer.cts'].map((name) => put(name, CONSUMER));
      expect(await tsc(...files, '--module', 'nodenext')).toEqual({ code: 0, output: '' });
      const bundled = ['--module', 'preserve', '--moduleResolution', 'bundler', '--skipLibCheck'];
      const example = readFileSync(path.join(ROOT, 'deploy/examples/service/service.mjs'), 'utf8');
      const others = [put('bundled.ts', CONSUMER), put('service.mjs', example), '--allowJs', '--checkJs'];
      expect(await tsc(...others, ...bundled)).toEqual({ code: 0, output: '' });
    },
    COMPILING_MS,
  );

  it(
    'has types that refuse invalid commands',
    async () => {
      const wrong = [
        "client.send('Revoke', {} as never)",
        "client.send('RevokeSecret', { domainId: 'd' })",
        "client.send('DeleteDomain', { domainId: 'd', force: true })",
        "client.send('DeleteDomain', { domainId: 'd' }).then(({ secret }) => secret)",
      ];
      const lines = wrong.map((line) => `export const _${line.length} = ${line};`);
      const head = "import type { RekeyClient } from '@rekey/client'; declare const client: RekeyClient;";
      const { output } = await tsc(
        put('wrong.ts', [head, ...lines].join('\n')),
        '--module',
        'nodenext',
        '--skipLibCheck',
      );
      expect([...output.matchAll(/^wrong\.ts\((\d+),\d+\): error/gm)].map(([, line]) => line)).toEqual([
        '2',
        '3',
        '4',
        '5',
      ]);
      for (const named of ['"Revoke"', 'applicationId', "'force'", "'secret'"]) expect(output).toContain(named);
    },
    COMPILING_MS,
  );
});
