import { addressOf, SERVICES } from '@rekey/composition';
import { loadConfig } from '@rekey/platform';
import { isRequired } from '@rekey/testing';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { manifestsIn, ROOT, type Env } from './deploy.testing';

/** Defines tests that need a program. Skips them if it is not installed; fails if REKEY_REQUIRE lists it. */
const describeWith = (name: string, command: readonly [string, ...string[]], tests: () => void): void => {
  const [program, ...args] = command;
  const isInstalled = spawnSync(program, args, { stdio: 'ignore' }).status === 0;
  if (isInstalled || isRequired(name)) return describe(`by ${name}`, tests);
  process.stderr.write(`Not run: files of deploy by ${name}, which is not there.\n`);
  describe.skip(`by ${name}, which is not there`, tests);
};

describeWith('kubectl', ['kubectl', 'version', '--client'], () => {
  const render = (folder: string) =>
    manifestsIn(execFileSync('kubectl', ['kustomize', `deploy/kubernetes/${folder}`], { cwd: ROOT, encoding: 'utf8' }));

  it.each(['base', 'example'])('builds complete deployments from %s that mount its configuration', (folder) => {
    const manifests = render(folder);
    const config = manifests.find(({ kind }) => kind === 'ConfigMap');
    expect(Object.keys(config?.data ?? {})).toEqual(['rekey.yml']);
    const pods = manifests.filter(({ kind }) => kind === 'Deployment' || kind === 'Job');
    expect(pods).toHaveLength(SERVICES.length + 1);
    for (const { kind, spec } of pods) {
      const { containers, volumes, securityContext } = spec.template.spec;
      expect(containers).toHaveLength(1);
      expect(containers[0]).toMatchObject({
        name: 'rekey',
        env: expect.arrayContaining([{ name: 'REKEY_CONFIG', value: '/etc/rekey/config/rekey.yml' }]),
        securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
        ...(kind === 'Deployment' && { readinessProbe: { httpGet: { path: '/health/ready', port: 'http' } } }),
      });
      expect(securityContext).toMatchObject({ runAsNonRoot: true });
      expect(volumes.find(({ configMap }) => configMap)?.configMap?.name).toBe(config?.metadata.name);
    }
  });

  it('changes images, namespace and configuration in the example', () => {
    const [base, example] = [render('base'), render('example')];
    const configOf = (all: typeof base) => all.find(({ kind }) => kind === 'ConfigMap');
    expect(configOf(example)?.metadata.name).not.toBe(configOf(base)?.metadata.name);
    expect(new Set(example.map(({ metadata }) => metadata.namespace))).toEqual(new Set(['rekey']));
    const pods = example.filter(({ kind }) => kind === 'Deployment' || kind === 'Job');
    for (const { spec } of pods)
      expect(spec.template.spec.containers[0]?.image).toMatch(/^registry\.example\.com\/rekey-[a-z-]+:\d/);
  });
});

describeWith('docker compose', ['docker', 'compose', 'version'], () => {
  it.each(['docker-compose.yml', 'deploy/engines.yml', 'deploy/standalone.yml'])('accepts %s', (file) => {
    const { status, stderr } = spawnSync('docker', ['compose', '-f', file, 'config', '--quiet'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('health check of the image', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-health-'));
  const asked: string[] = [];
  let status = 200;
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(status).end();
  });
  let port: number;
  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    server.close();
    await once(server, 'close');
    rmSync(folder, { recursive: true });
  });

  const check = async (env: Env): Promise<number | null> => {
    const file = path.join(ROOT, 'deploy/health.mjs');
    const child = spawn(process.execPath, [file], { cwd: folder, env, stdio: 'inherit' });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  };
  const portKeys = {
    standalone: 'REKEY_HTTP_PORT',
    gateway: 'REKEY_HTTP_PORT',
    'command-service': 'REKEY_OPERATIONS_PORTS_COMMANDSERVICE',
    projector: 'REKEY_OPERATIONS_PORTS_PROJECTOR',
    'expiry-watcher': 'REKEY_OPERATIONS_PORTS_EXPIRYWATCHER',
  };

  it.each(Object.entries(portKeys))(
    'asks %s at the port where it listens, by variable or by file',
    async (app, variable) => {
      const services = app === 'standalone' ? SERVICES : SERVICES.filter((name) => name === app);
      const env = { [variable]: String(port) };
      expect(addressOf(loadConfig({ env }), services).port).toBe(port);
      asked.length = 0;
      expect(await check({ APP: app, ...env })).toBe(0);

      const [, ...key] = variable.toLowerCase().split('_');
      const names = key.map(
        (name) => ({ commandservice: 'commandService', expirywatcher: 'expiryWatcher' })[name] ?? name,
      );
      const file = path.join(folder, 'rekey.yml');
      writeFileSync(file, JSON.stringify(names.reduceRight<unknown>((value, name) => ({ [name]: value }), port)));
      expect(addressOf(loadConfig({ env: {}, file }), services).port).toBe(port);
      expect(await check({ APP: app })).toBe(0);
      rmSync(file);
      expect(asked).toEqual(['/health/ready', '/health/ready']);
    },
  );

  it('fails when the service is not ready or does not listen', async () => {
    status = 503;
    expect(await check({ APP: 'gateway', REKEY_HTTP_PORT: String(port) })).toBe(1);
    status = 200;
    expect(await check({ APP: 'gateway', REKEY_HTTP_PORT: '9' })).toBe(1);
  });
});
