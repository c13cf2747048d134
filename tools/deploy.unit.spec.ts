import { addressOf, SERVICES, type ServiceName } from '@rekey/composition';
import { Health, loadConfig, Metrics, type Config } from '@rekey/platform';
import { healthRoutes } from '@rekey/gateway';
import type { Command } from 'commander';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { programOf } from '../apps/cli/src/program';
import type { Io } from '../apps/cli/src/session';
import {
  composeFile,
  imageEnvironment,
  fileExists,
  lastStage,
  manifestsIn,
  ROOT,
  textOf,
  type Env,
} from './deploy.testing';

const APPS: readonly string[] = ['standalone', ...SERVICES];

/** Returns the services that an app runs. */
const servicesOf = (app: string): readonly ServiceName[] =>
  app === 'standalone' ? SERVICES : SERVICES.filter((name) => name === app);

const portOf = (config: Config, app: string): number => addressOf(config, servicesOf(app)).port;

/** Whether the CLI has a command; `words` start with `rekey`. */
const runsOnCommandLine = async (words: readonly string[]): Promise<boolean> => {
  const silent = { write: () => true };
  const program = programOf({ stdout: silent, stderr: silent, environment: {}, version: '0' } as unknown as Io);
  let ran = false;
  const leaves = (command: Command): Command[] =>
    command.commands.length ? command.commands.flatMap(leaves) : [command];
  for (const command of leaves(program)) command.action(() => void (ran = true));
  await program.parseAsync(words.slice(1), { from: 'user' });
  return ran && words[0] === 'rekey';
};

describe('deploy/Dockerfile', () => {
  const dockerfile = textOf('deploy/Dockerfile');

  it('names the existing apps', () => {
    const named = /^# APP: (.*?)\. /m.exec(dockerfile)?.[1]?.match(/[a-z-]{5,}/g);
    expect(named?.filter((word) => word !== 'default').sort()).toEqual([...APPS].sort());
    for (const app of [...APPS, 'cli']) expect(fileExists(`apps/${app}/src/main.ts`)).toBe(true);
  });

  it('copies existing files', () => {
    for (const [, file = ''] of dockerfile.matchAll(/^RUN node (tools\/\S+)/gm)) expect(fileExists(file)).toBe(true);
    const copied = [...dockerfile.matchAll(/^COPY (?!\.)(.*) \S+$/gm)].flatMap(([, words = '']) => words.split(' '));
    const made = ['node_modules', 'dist'];
    const files = copied.filter((word) => !word.startsWith('--')).map((word) => word.replace('/source/', ''));
    expect(files.filter((file) => !made.includes(file) && !fileExists(file))).toEqual([]);
    expect(textOf('.dockerignore').split('\n')).toEqual(
      expect.arrayContaining(['.git', 'data', 'node_modules', 'rekey.yml']),
    );
  });

  it('exposes the ports of the services', () => {
    const config = loadConfig({ env: imageEnvironment() });
    const exposed = /^EXPOSE (.*)$/m.exec(lastStage())?.[1]?.split(' ').map(Number);
    expect(exposed).toEqual([...new Set(APPS.map((app) => portOf(config, app)))].sort());
    for (const app of APPS) expect(addressOf(config, servicesOf(app)).host).toBe('0.0.0.0');
    expect(lastStage()).toMatch(new RegExp(`^VOLUME ${config.storage.path}$`, 'm'));
  });

  it('checks the health of each app on its port', () => {
    const config = loadConfig({ env: {} });
    const ports = [...textOf('deploy/health.mjs').matchAll(/^ {2}'?([a-z-]+)'?: \['[\w.]+', (\d+)\],$/gm)];
    expect(Object.fromEntries(ports.map(([, app, port]) => [app, Number(port)]))).toEqual(
      Object.fromEntries(APPS.map((app) => [app, portOf(config, app)])),
    );
    expect(lastStage()).toMatch(/^HEALTHCHECK .* CMD \["node", "health.mjs"\]$/m);
  });

  it('runs as an unprivileged user, without development dependencies', () => {
    expect(lastStage()).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
    expect(lastStage()).not.toMatch(/npm|COPY \. /);
    expect(dockerfile).toContain('npm ci --omit=dev');
  });
});

describe.each(['docker-compose.yml', 'deploy/standalone.yml'])('%s', (file) => {
  const { services, volumes } = composeFile(file);
  const own = Object.entries(services).flatMap(([name, service]) =>
    service.build ? [{ name, ...service, build: service.build }] : [],
  );
  const configOf = (environment: Env = {}): Config => loadConfig({ env: { ...imageEnvironment(), ...environment } });

  it('builds existing apps, each under its name', () => {
    expect(own.length).toBeGreaterThan(0);
    for (const { name, image, build, command } of own) {
      const folder = path.join(ROOT, path.dirname(file), build.context);
      expect(existsSync(path.join(folder, build.dockerfile))).toBe(true);
      expect(APPS).toContain(build.args.APP);
      expect(image).toBe(`rekey-${build.args.APP}`);
      if (command === undefined && name !== 'rekey') expect(build.args.APP).toBe(name);
    }
  });

  it('sets a valid configuration and publishes the ports', () => {
    for (const { build, environment, ports = [], volumes: mounts = [] } of own) {
      const config = configOf(environment);
      const published = ports.map((port) => port.split(':'));
      for (const [host, , port] of published)
        expect([host, Number(port)]).toEqual(['127.0.0.1', portOf(config, build.args.APP)]);
      expect(mounts.map((mount) => mount.split(':')[1])).toEqual([config.storage.path]);
    }
    expect(own.flatMap(({ ports = [] }) => ports)).toHaveLength(1);
  });

  it('mounts the root read-only and drops all privileges', () => {
    const rights = { read_only: true, tmpfs: ['/tmp'], cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] };
    for (const service of own) expect(service).toMatchObject(rights);
  });

  it('names existing volumes and services', () => {
    for (const { volumes: mounts = [], depends_on = {} } of Object.values(services)) {
      for (const mount of mounts) expect(volumes).toHaveProperty(mount.split(':')[0] ?? '');
      expect(Object.keys(services)).toEqual(expect.arrayContaining(Object.keys(depends_on)));
      for (const [name, { condition }] of Object.entries(depends_on))
        if (condition === 'service_healthy') expect(services[name]?.healthcheck?.test).toBeDefined();
    }
  });

  it('runs existing CLI commands', async () => {
    for (const { command } of own) if (command) expect(await runsOnCommandLine(command)).toBe(true);
  });
});

describe('docker-compose.yml', () => {
  const { services } = composeFile('docker-compose.yml');

  it('has every service and its engines', () => {
    expect(Object.keys(services)).toEqual(expect.arrayContaining([...SERVICES]));
    for (const name of SERVICES) {
      const config = loadConfig({ env: { ...imageEnvironment(), ...services[name]?.environment } });
      expect(config.adapters).toEqual({ events: 'eventstoredb', views: 'mongodb', bus: 'kafka', jobs: 'bullmq' });
      const { eventstore = '', mongodb = '', redis = '' } = config.secrets;
      const hosts = [eventstore, mongodb, redis].map((url) => new URL(url).hostname);
      expect(hosts.filter((host) => services[host]?.image === undefined)).toEqual([]);
      const advertised = services['kafka']?.environment?.['KAFKA_ADVERTISED_LISTENERS'];
      expect(advertised).toBe(`PLAINTEXT://${config.kafka.brokers[0]}`);
    }
  });

  it('has the engine versions that the tests use', () => {
    const images = ['eventstore', 'kafka', 'mongodb', 'redis'].map((name) => services[name]?.image);
    for (const image of images) expect(textOf('tools/engine-container.mjs')).toContain(`'${image}'`);
  });
});

describe('deploy/engines.yml', () => {
  const file = 'deploy/engines.yml';
  const { services, volumes } = composeFile(file);
  const all = composeFile('docker-compose.yml');

  it('has all engines of docker-compose.yml with their volumes', () => {
    const engines = Object.keys(all.services).filter((name) => all.services[name]?.build === undefined);
    expect(Object.keys(services).sort()).toEqual(engines.sort());
    for (const [name, { extends: base }] of Object.entries(services))
      expect(base).toEqual({ file: '../docker-compose.yml', service: name });
    expect(Object.keys(volumes)).toEqual(Object.keys(all.volumes).filter((name) => name !== 'rekey-data'));
  });

  it('documents the addresses of the published ports', () => {
    const lines = [...textOf(file).matchAll(/^# +(REKEY_\w+)=(\S+)$/gm)];
    const env = Object.fromEntries(lines.map(([, name = '', value = '']) => [name, value]));
    const { secrets, kafka } = loadConfig({ env });
    const urls = [secrets.eventstore, secrets.mongodb, `kafka://${kafka.brokers[0]}`, secrets.redis];
    const told = urls.map((url = '') => new URL(url).host);
    const published = Object.values(services).flatMap(({ ports = [] }) =>
      ports.map((port) => port.replace(/:\d+$/, '')),
    );
    expect(told.sort()).toEqual(published.sort());
    expect(services['kafka']?.environment?.['KAFKA_ADVERTISED_LISTENERS']).toContain(`//${kafka.brokers[0]}`);
  });
});

describe('deploy/kubernetes', () => {
  const base = 'deploy/kubernetes/base';
  const files = (parse(textOf(`${base}/kustomization.yaml`)) as { resources: string[] }).resources;
  const manifests = files.flatMap((file) => manifestsIn(textOf(`${base}/${file}`)));
  const of = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
  const [pods] = manifestsIn(textOf(`${base}/all-pods.yaml`));
  const [common] = manifestsIn(textOf(`${base}/all-services.yaml`));
  const podSpec = pods!.spec.template.spec;
  const podContainer = podSpec.containers[0]!;
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-kubernetes-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Loads the configuration of the pods, with `/etc/rekey` replaced by a local folder that has every named file. */
  const configOf = (file: string): Config => {
    const text = textOf(file).replaceAll('/etc/rekey/', `${folder}/`);
    for (const [name] of text.matchAll(new RegExp(`${folder}/\\S+`, 'g'))) {
      mkdirSync(path.dirname(name), { recursive: true });
      const scheme = /(eventstore|mongodb|redis)/.exec(path.basename(name))?.[1];
      writeFileSync(name, scheme ? `${scheme}://elsewhere` : 'x'.repeat(32), { mode: 0o600 });
    }
    const copy = path.join(folder, 'rekey.yml');
    writeFileSync(copy, text);
    const env = Object.fromEntries(podContainer.env!.map(({ name, value }) => [name, value]));
    return loadConfig({ env: { ...imageEnvironment(), ...env }, file: copy });
  };
  const configFiles = [`${base}/rekey.yml`, 'deploy/kubernetes/example/rekey.yml'];

  it('has a deployment, a service and a disruption budget for each service', () => {
    const names = SERVICES.map((name) => `rekey-${name}`).sort();
    for (const kind of ['Deployment', 'Service', 'PodDisruptionBudget'])
      expect(
        of(kind)
          .map(({ metadata }) => metadata.name)
          .sort(),
      ).toEqual(names);
    for (const { metadata, spec } of of('Deployment'))
      expect(spec.template.spec.containers[0]?.image).toBe(metadata.name);
  });

  it.each(configFiles)('has a configuration in %s that every service accepts', (file) => {
    const config = configOf(file);
    expect(config.adapters.bus).toBe('kafka');
    for (const name of SERVICES) {
      const { template } = of('Deployment').find(({ metadata }) => metadata.name === `rekey-${name}`)!.spec;
      const { host, port } = addressOf(config, [name]);
      const container = template.spec.containers[0]!;
      expect([host, container.ports]).toEqual(['0.0.0.0', [{ name: 'http', containerPort: port }]]);
      expect(template.metadata.annotations).toMatchObject({ 'prometheus.io/port': String(port) });
      expect(container.resources).toMatchObject({
        requests: { memory: expect.any(String) },
        limits: { memory: expect.any(String) },
      });
    }
  });

  it.each(configFiles)('mounts every file named in %s', (file) => {
    const named = [...textOf(file).matchAll(/^ +\w+File: (\S+)$/gm)].map(([, name = '']) => path.dirname(name));
    const mounts = podContainer.volumeMounts!.filter(({ readOnly }) => readOnly === true);
    expect(mounts.map(({ mountPath }) => mountPath)).toEqual(expect.arrayContaining(named));
    expect(named.length).toBeGreaterThan(0);
    const volumes = podSpec.volumes.map(({ name }) => name);
    expect(podContainer.volumeMounts!.map(({ name }) => name).sort()).toEqual(volumes.sort());
    const variables = Object.fromEntries(podContainer.env!.map(({ name, value }) => [name, value]));
    const places = mounts.map(({ mountPath }) => mountPath);
    expect(places).toContain(path.dirname(variables['REKEY_CONFIG']!));
    expect(places).toContain(variables['REKEY_STORAGE_PATH']);
  });

  it('documents how to create the mounted secrets', () => {
    const page = textOf('docs/deployment.md');
    for (const { secret } of podSpec.volumes)
      if (secret) expect(page).toContain(`secret generic ${secret.secretName} `);
    const named = configFiles.flatMap((file) => [...textOf(file).matchAll(/^ +\w+File: (\S+)$/gm)]);
    for (const [, file = ''] of named) expect(page).toContain(path.basename(file));
  });

  it('probes existing health routes', () => {
    const container = common!.spec.template.spec.containers[0]!;
    const routes = healthRoutes({ health: new Health(), metrics: new Metrics({ processMetrics: false }) });
    const paths = routes.map(({ url }) => url);
    for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      expect(probe?.httpGet.port).toBe('http');
      expect(paths).toContain(probe?.httpGet.path);
    }
    expect(container.readinessProbe?.httpGet.path).toBe('/health/ready');
    for (const { spec } of of('Deployment'))
      expect(paths).toContain(spec.template.metadata.annotations?.['prometheus.io/path']);
  });

  it('gives pods no privileges', () => {
    expect(podSpec).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(podContainer.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(lastStage()).toContain('USER 1000:1000');
  });

  it('creates topics with an existing command', async () => {
    const { command = [], args = [] } = of('Job')[0]!.spec.template.spec.containers[0]!;
    expect(await runsOnCommandLine([...command, ...args])).toBe(true);
  });

  it('has an example that patches existing objects', () => {
    const example = parse(textOf('deploy/kubernetes/example/kustomization.yaml')) as {
      readonly resources: readonly string[];
      readonly images: readonly { readonly name: string; readonly newTag: string }[];
      readonly replicas: readonly { readonly name: string }[];
    };
    const { version } = JSON.parse(textOf('package.json')) as { version: string };
    const images = [...of('Deployment'), ...of('Job')].map(({ spec }) => spec.template.spec.containers[0]!.image);
    expect(example.images.map(({ name }) => name).sort()).toEqual([...new Set(images)].sort());
    expect(new Set(example.images.map(({ newTag }) => newTag))).toEqual(new Set([version]));
    for (const { name } of example.replicas)
      expect(of('Deployment').map(({ metadata }) => metadata.name)).toContain(name);
    for (const file of example.resources) expect(fileExists(path.join('deploy/kubernetes/example', file))).toBe(true);
  });
});
