import { describeOn, temporaryFolder, until } from '@rekey/testing';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { Client } from '../support/client.testing';
import { ServiceProcesses, createTopics, environmentOf } from '../support/services.testing';

const ROOT = path.resolve(__dirname, '../..');
const EXAMPLE = path.join(ROOT, 'deploy/examples/service/service.mjs');
const CLI = path.join(ROOT, 'dist/apps/cli/main.js');
const PATIENT = { timeoutMs: 60_000 };

interface State {
  readonly clientId: string;
  readonly credentials?: { readonly secretId: string; readonly secret: string; readonly version: number };
  readonly pending?: { readonly commandId: string };
}

describeOn(['kafka', 'mongodb', 'redis'], (urls) => {
  const folder = temporaryFolder();
  const home = path.join(folder.path, 'billing');
  const file = path.join(home, 'credentials.json');
  const env = environmentOf(folder.path, urls);
  let services: ServiceProcesses;
  let api: Client;

  const launch = (more: Readonly<Record<string, string>> = {}, ...args: string[]): ChildProcess =>
    spawn(process.execPath, ['service.mjs', ...args], {
      cwd: home,
      env: { KAFKA_BROKERS: urls.kafka, KAFKA_TOPIC_PREFIX: env['REKEY_KAFKA_TOPICPREFIX'], ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const run = async (more: Readonly<Record<string, string>> = {}, ...args: string[]) => {
    const child = launch(more, ...args);
    const [output, [code]] = await Promise.all([
      Promise.all([child.stdout, child.stderr].map((stream) => text(stream!))),
      once(child, 'exit') as Promise<[number | null]>,
    ]);
    return { code, output: output.join('') };
  };
  const state = (): State => JSON.parse(readFileSync(file, 'utf8')) as State;
  const secret = (): string => state().credentials?.secret ?? '';
  const authenticates = async (clientSecret: string): Promise<boolean> => {
    const body = { clientId: 'billing', clientSecret };
    const { status } = await api.ask({ method: 'POST', target: '/domains/shop/authenticate', body });
    expect([200, 401]).toContain(status);
    return status === 200;
  };

  beforeAll(async () => {
    const installed = path.join(home, 'node_modules/@rekey/client');
    mkdirSync(path.dirname(installed), { recursive: true });
    copyFileSync(EXAMPLE, path.join(home, 'service.mjs'));
    execFileSync(process.execPath, [path.join(ROOT, 'tools/build-client.mjs'), installed]);
    const { dependencies } = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    for (const name of Object.keys(dependencies))
      symlinkSync(path.join(ROOT, 'node_modules', name), path.join(home, 'node_modules', name));

    const keys = [
      'keys',
      '--json',
      '--out',
      'billing-key.json',
      '--name',
      'billing',
      '--role',
      'manager',
      '--only-domain',
      'shop',
    ];
    const { service } = JSON.parse(execFileSync(process.execPath, [CLI, ...keys], { cwd: home, encoding: 'utf8' })) as {
      service: object;
    };
    writeFileSync(path.join(folder.path, 'rekey.yml'), JSON.stringify({ access: { services: [service] } }));
    await createTopics(env);
    services = await ServiceProcesses.start(folder.path, env);
    api = new Client(services.url, services.token);
    const ready = async (): Promise<boolean> =>
      (await api.ask({ method: 'GET', target: '//health/ready' })).status === 200;
    await until('readiness', ready, PATIENT);
    const { status } = await api.ask({ method: 'POST', target: '/domains', body: { id: 'shop', name: 'Shop' } });
    expect(status).toBe(201);
  }, 300_000);
  afterAll(async () => {
    api?.close();
    await services?.stop();
    folder.remove();
  });

  it('registers its application and gets a secret', async () => {
    expect(await run()).toEqual({
      code: 0,
      output: 'version 1 of the secret of billing is in credentials.json\n',
    });
    await until('the secret to authenticate', () => authenticates(secret()), PATIENT);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(state()).not.toHaveProperty('pending');
  });

  it('does not renew a recent secret', async () => {
    const before = state();
    expect(await run()).toMatchObject({ code: 0 });
    expect(state()).toEqual(before);
  });

  it('renews an old secret and keeps the previous value for an hour', async () => {
    const before = secret();
    expect(await run({}, '--renew')).toMatchObject({ code: 0, output: expect.stringContaining('version 2') });
    expect(secret()).not.toBe(before);
    await until('the new value to authenticate', () => authenticates(secret()), PATIENT);
    expect(await authenticates(before)).toBe(true);
  });

  it('is killed before the reply, and gets the value of the same renewal on its next run', async () => {
    const commandService = services.running.find(({ app }) => app === 'command-service')!;
    commandService.signal('SIGSTOP');
    const child = launch({}, '--renew');
    await until('its pending command', () => state().pending !== undefined, PATIENT);
    const asked = state().pending?.commandId;
    child.kill('SIGKILL');
    await once(child, 'exit');
    commandService.signal('SIGCONT');
    // This run repeats the same command, whether or not the killed one had sent it.
    expect(await run()).toMatchObject({ code: 0, output: expect.stringContaining('version 3') });
    await until('the value to authenticate', () => authenticates(secret()), PATIENT);
    const application = (await api.ask({ method: 'GET', target: '/history?type=SecretRenewed' })).body.items;
    expect(application).toHaveLength(2);
    expect(application.map(({ metadata }: { metadata: object }) => metadata)).toContainEqual(
      expect.objectContaining({ commandId: asked, actor: { type: 'service', id: 'billing' } }),
    );
  });

  it('renews again when the reply can no longer be repeated', async () => {
    const { clientId, credentials } = state();
    writeFileSync(file, JSON.stringify({ clientId, credentials: { ...credentials, secret: null } }));
    expect(await run()).toMatchObject({ code: 0, output: expect.stringContaining('version 4') });
    await until('the value to authenticate', () => authenticates(secret()), PATIENT);
  });

  it('reports a rejection by Rekey', async () => {
    renameSync(file, `${file}.kept`);
    expect(await run({ REKEY_DOMAIN: 'elsewhere' })).toEqual({
      code: 1,
      output: 'domain_not_found: This domain does not exist, or you have no access to it.\n',
    });
    expect(state()).toEqual({ clientId: 'billing' });
    expect(await run()).toMatchObject({ code: 1, output: expect.stringContaining('client_id_taken') });
    expect(state()).toEqual({ clientId: 'billing' });
    renameSync(`${file}.kept`, file);
  });

  it('leaves no secret value in the logs of the services', () => {
    expect(secret()).toMatch(/^rky_/);
    for (const { output } of services.running) expect(output).not.toContain(secret());
  });
});
