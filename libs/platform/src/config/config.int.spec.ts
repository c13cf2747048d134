import fc from 'fast-check';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import { CLIENT_VARIABLES, ConfigError, loadConfig, type Config } from './config';
import { CONFIG_KEYS, configSchema, variableOf } from './config-schema';

const EXAMPLE = join(__dirname, '../../../../rekey.example.yml');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekey-config-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const fileWith = (text: string, name = 'rekey.yml', mode = 0o600): string => {
  const path = join(folder, name);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
};

const empty = (): string => fileWith('', 'empty.yml');
const load = (text: string, env: Record<string, string> = {}): Config => loadConfig({ env, file: fileWith(text) });

const problems = (run: () => unknown): readonly string[] => {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('The configuration was taken.');
};

/** Defaults of the schema by dotted path, where it states any. */
const leaves = (tree: unknown, path: readonly string[] = []): [string, unknown][] =>
  typeof tree === 'object' && tree !== null && !Array.isArray(tree) && Object.keys(tree).length > 0
    ? Object.entries(tree).flatMap(([name, value]) => leaves(value, [...path, name]))
    : [[path.join('.'), tree]];

describe('rekey.example.yml', () => {
  const text = readFileSync(EXAMPLE, 'utf8');
  /** A section in which everything is commented out is YAML's null. */
  const stated = (yaml: string): unknown =>
    JSON.parse(JSON.stringify(parse(yaml), (_key, value: unknown) => value ?? {}));
  const everything = text.replaceAll(/^( *)#((?: {2})*\w+:.*)$/gm, '$1$2');

  it('contains every default', () => {
    expect(stated(text)).toEqual(configSchema.parse({}));
  });

  it('contains every key of the schema, some commented out', () => {
    const given = new Set(leaves(parse(everything)).map(([path]) => path));
    const keys = CONFIG_KEYS.filter(({ kind }) => kind !== 'section').map(({ path }) => path.join('.'));
    expect([...given].sort()).toEqual(keys.sort());
  });

  it('is valid with and without the commented keys', () => {
    expect(configSchema.safeParse(stated(text)).success).toBe(true);
    expect(configSchema.parse(parse(everything))).toMatchObject({
      http: { publicUrl: 'https://rekey.example.com', tls: { certFile: '/etc/rekey/tls/cert.pem' } },
      access: { oidc: { audience: 'rekey', rolesClaim: 'roles' } },
    });
  });

  it('has the defaults of the commented sections', () => {
    const oidc = configSchema.parse({ access: { oidc: { issuer: 'https://a.example', audience: 'rekey' } } }).access
      .oidc;
    const { roleMap, rolesClaim } = (parse(everything) as { access: { oidc: Record<string, unknown> } }).access.oidc;
    expect({ roleMap, rolesClaim }).toEqual({ roleMap: oidc?.roleMap, rolesClaim: oidc?.rolesClaim });
  });
});

describe('the file', () => {
  it('is optional', () => {
    const config = loadConfig({ env: {}, file: empty() });
    expect(config).toMatchObject({ applications: { secretsMax: 10 }, http: { host: '127.0.0.1', port: 8080 } });
    expect(config.warnings).toEqual([]);
  });

  it('is found by REKEY_CONFIG', () => {
    const path = fileWith('applications: { secretsMax: 3 }', 'other.yml');
    expect(loadConfig({ env: { REKEY_CONFIG: path } }).applications.secretsMax).toBe(3);
  });

  it('must exist if REKEY_CONFIG names it', () => {
    const gone = join(folder, 'gone.yml');
    expect(problems(() => loadConfig({ env: { REKEY_CONFIG: gone } }))).toEqual([
      'REKEY_CONFIG: the file cannot be read (ENOENT)',
    ]);
  });

  it('may have empty sections', () => {
    expect(load('http:\n  # port: 1\nnotifiers:\n  ui:\n').http.port).toBe(8080);
  });

  it('is refused with unknown keys at any depth, and the error names all', () => {
    const text =
      'kafak: {}\nhttp: { prot: 1, tls: { certFile: a, keyFile: b, ca: c } }\nhashing: { imported: { memory: 1 } }';
    expect(problems(() => load(text)).toSorted()).toEqual([
      'hashing.imported.memory: unknown key',
      'http.prot: unknown key',
      'http.tls.ca: unknown key',
      'kafak: unknown key',
    ]);
  });

  it.each([
    ['a list', '- a'],
    ['a text', 'password: hunter2-marker'.replace(': ', '=')],
  ])('refuses a file that is not a mapping: %s', (_name, text) => {
    expect(problems(() => load(text))).toEqual(['the file: must be a mapping of keys to values']);
  });

  it.each([
    ['a tab', 'access:\n\ttokens: hunter2-marker'],
    ['a quote that does not end', 'storage:\n  path: "hunter2-marker'],
    ['a key that is there twice', 'storage: { path: hunter2-marker }\nstorage: { path: hunter2-marker }'],
    ['an anchor that is nowhere', 'storage: *hunter2-marker'],
  ])('is refused if it is not YAML (%s), and the error has the line but not the text', (_name, text) => {
    const found = problems(() => load(text));
    expect(found[0]).toMatch(/not valid YAML|cannot be resolved/);
    expect(found.join()).not.toContain('hunter2');
  });

  it('is refused with exponential aliases', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(',')}]`);
    expect(problems(() => load(['l0: &l0 [x]', ...levels].join('\n')))[0]).toBe(
      'the file: anchors and aliases cannot be resolved',
    );
  });
});

describe('the environment', () => {
  it('has its own variable for every key', () => {
    const names = CONFIG_KEYS.map(({ path }) => variableOf(path));
    expect(new Set(names).size).toBe(names.length);
    expect(names.every((name) => /^REKEY_[A-Z0-9_]+$/.test(name))).toBe(true);
    expect(names).not.toContain('REKEY_CONFIG');
    for (const name of CLIENT_VARIABLES) expect(names).not.toContain(name);
  });

  it('can set every default', () => {
    const env = Object.fromEntries(
      leaves(configSchema.parse({})).map(([path, value]) => [
        variableOf(path.split('.')),
        typeof value === 'string' ? value : JSON.stringify(value),
      ]),
    );
    expect(Object.keys(env).length).toBeGreaterThan(25);
    const settings = configSchema.parse({});
    const adapters = { events: 'sqlite', views: 'sqlite', bus: 'local', jobs: 'sqlite' };
    expect({ ...loadConfig({ env, file: empty() }) }).toEqual({ ...settings, adapters, warnings: [] });
  });

  it('refuses a stream prefix that could match the streams of another installation', () => {
    expect(load('', { REKEY_EVENTSTORE_STREAMPREFIX: 'shop_1.' }).eventstore.streamPrefix).toBe('shop_1.');
    expect(problems(() => load('', { REKEY_EVENTSTORE_STREAMPREFIX: 'application-' }))).toEqual([
      'eventstore.streamPrefix (REKEY_EVENTSTORE_STREAMPREFIX): must have at most 64 letters, digits, . and _',
    ]);
  });

  it('overrides the file key by key', () => {
    const config = load('http: { host: 10.0.0.1, port: 1 }', { REKEY_HTTP_PORT: '2' });
    expect(config.http).toMatchObject({ host: '10.0.0.1', port: 2 });
  });

  it('may set sections as JSON, and overrides single keys in them', () => {
    const config = load('notifiers: { webhook: { url: "https://file.example/" } }', {
      REKEY_NOTIFIERS: '{"log":{"enabled":false}}',
      REKEY_NOTIFIERS_LOG_ENABLED: 'true',
    });
    expect(config.notifiers.webhook.url).toBe('https://file.example/');
    expect(config.notifiers.log.enabled).toBe(true);
  });

  it('adds sections that the file does not have', () => {
    const env = { REKEY_ACCESS_OIDC_ISSUER: 'https://login.example', REKEY_ACCESS_OIDC_AUDIENCE: 'rekey' };
    expect(load('access:', env).access.oidc).toEqual({
      issuer: 'https://login.example',
      audience: 'rekey',
      rolesClaim: 'roles',
      roleMap: {},
    });
  });

  it('may set lists with commas or as JSON', () => {
    const networks = ['10.0.0.0/8', '2001:db8::/32'];
    for (const text of ['10.0.0.0/8, 2001:db8::/32', JSON.stringify(networks)])
      expect(load('', { REKEY_HTTP_TRUSTEDPROXIES: text }).http.trustedProxies).toEqual(networks);
    expect(load('', { REKEY_NOTIFICATIONS_EXPIRYTHRESHOLDS: '30,7,0.5' }).notifications.expiryThresholds).toEqual([
      30, 7, 0.5,
    ]);
    expect(load('http: { trustedProxies: [10.0.0.1] }', { REKEY_HTTP_TRUSTEDPROXIES: '' }).http.trustedProxies).toEqual(
      [],
    );
  });

  it('may set lists of objects and maps as JSON', () => {
    const tokens = [{ name: 'proxy', sha256: 'AB'.repeat(32), roles: ['authenticator'] }];
    const config = load('', {
      REKEY_ACCESS_TOKENS: JSON.stringify(tokens),
      REKEY_ACCESS_OIDC: '{"issuer":"https://login.example","audience":"rekey"}',
      REKEY_ACCESS_OIDC_ROLEMAP: '{"staff":"viewer"}',
    });
    expect(config.access.tokens).toEqual([{ ...tokens[0], sha256: 'ab'.repeat(32), domains: [] }]);
    expect(config.access.oidc?.roleMap).toEqual({ staff: 'viewer' });
    expect(problems(() => load('', { REKEY_ACCESS_TOKENS: 'name=hunter2-marker' }))).toEqual([
      'REKEY_ACCESS_TOKENS: must be JSON',
    ]);
  });

  it('is refused with unknown variables, and the error names all', () => {
    expect(problems(() => load('', { REKEY_HTPP_PORT: '1', REKEY_X: 'hunter2-marker', OTHER: 'x' }))).toEqual([
      'REKEY_HTPP_PORT: unknown key',
      'REKEY_X: unknown key',
    ]);
  });

  it('may have variables of the CLI, and those that Kubernetes sets for a service named rekey', () => {
    const env = {
      REKEY_URL: 'http://127.0.0.1:8080',
      REKEY_TOKEN: 'x',
      REKEY_SERVICE_HOST: '10.0.0.1',
      REKEY_SERVICE_PORT: '80',
      REKEY_SERVICE_PORT_HTTP: '80',
      REKEY_PORT: 'tcp://10.0.0.1:80',
      REKEY_PORT_80_TCP: 'tcp://10.0.0.1:80',
      REKEY_PORT_80_TCP_ADDR: '10.0.0.1',
      REKEY_GATEWAY_PORT: 'tcp://10.0.0.1:80',
    };
    expect(load('', env).http.port).toBe(8080);
  });
});

describe('values', () => {
  it('and keys that are invalid are reported together', () => {
    const env = { REKEY_NOPE: '1', REKEY_HTTP_PORT: 'x', REKEY_ACCESS_TOKENS: 'x' };
    const found = problems(() => load('applications: { secretsMax: 0, other: 1 }', env));
    for (const name of ['REKEY_NOPE', 'REKEY_HTTP_PORT', 'REKEY_ACCESS_TOKENS', 'secretsMax', 'applications.other'])
      expect(found.join('\n')).toContain(name);
    expect(found).toHaveLength(5);
  });

  it.each([
    ['applications.secretsMax', '0'],
    ['applications.secretsMax', '1.5'],
    ['applications.secretsMax', 'ten'],
    ['applications.secretsMax', ''],
    ['http.port', '65536'],
    ['http.publicUrl', 'ftp://rekey.example'],
    ['http.trustedProxies', '10.0.0.0/33'],
    ['http.tls', '{}'],
    ['access.tokens', '[{"name":"a","sha256":"short","roles":["admin"]}]'],
    ['access.tokens', `[{"name":"a","sha256":"${'a'.repeat(64)}","roles":["root"]}]`],
    ['access.tokens', `[{"name":"a","sha256":"${'a'.repeat(64)}","roles":[]}]`],
    ['access.oidc', '{"issuer":"https://login.example"}'],
    ['storage.kind', 'elsewhere'],
    ['storage.path', ''],
    ['hashing.imported.memoryKiB', '1024'],
    ['hashing.imported.iterations', '1'],
    ['hashing.generated.parallelism', '255'],
    ['commands.waitTimeoutMs', '-1'],
    ['notifications.enabled', 'yes'],
    ['notifications.cronExpression', '0 5 * * *'],
    ['notifications.cronExpression', 'every day at 5 a m'],
    ['notifications.timezone', 'Mars/Olympus'],
    ['notifications.expiryThresholds', '1,1'],
    ['notifications.expiryThresholds', '0'],
    ['notifiers.webhook.enabled', 'true'],
    ['logging.level', 'loud'],
  ])('refuses %s = %j, and names the key and the variable', (key, text) => {
    const variable = variableOf(key.split('.'));
    const [first] = problems(() => load('', { [variable]: text }));
    expect(first).toContain(key.split('.')[0]);
    if (key !== 'notifiers.webhook.enabled' && key !== 'hashing.generated.parallelism')
      expect(first).toContain(variable);
  });

  it('are never quoted in errors', () => {
    const marker = 'hunter2marker';
    for (const { path, kind } of CONFIG_KEYS) {
      const variable = variableOf(path);
      for (const text of [
        marker,
        `["${marker}"]`,
        `[{"name":"${marker} ü","sha256":"${marker}","roles":"${marker}"}]`,
      ]) {
        let message = '';
        try {
          loadConfig({ env: { [variable]: text }, file: empty() });
        } catch (error) {
          message = (error as ConfigError).message + (error as ConfigError).stack;
        }
        expect(message).not.toContain(marker);
        if (kind === 'section' || kind === 'map') expect(message).toContain(variable);
      }
    }
  });

  it('of any kind in the file give a configuration or a ConfigError', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CONFIG_KEYS), fc.jsonValue(), ({ path }, value) => {
        const text = JSON.stringify(path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value));
        try {
          load(text);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('are refused if two tokens have the same name or digest', () => {
    const token = (name: string, digit: string) => ({ name, sha256: digit.repeat(64), roles: ['viewer'] });
    const both = (...tokens: unknown[]) => problems(() => load(JSON.stringify({ access: { tokens } })));
    expect(both(token('a', 'a'), token('a', 'b'))).toEqual(['access.tokens: must have different names']);
    expect(both(token('a', 'a'), token('b', 'A'))).toEqual(['access.tokens: must have different digests']);
  });
});

describe('files with secrets', () => {
  const webhook = (secretFile: string): string =>
    JSON.stringify({ notifiers: { webhook: { enabled: true, url: 'https://hooks.example', secretFile } } });

  it('are read and trimmed at the start', () => {
    const secretFile = fileWith('  0123456789abcdef\n', 'secret');
    const config = load(webhook(secretFile));
    expect(config.secrets.webhookSecret?.toString()).toBe('0123456789abcdef');
    expect(config.warnings).toEqual([]);
  });

  it('are not shown when the configuration is printed', () => {
    const config = load(webhook(fileWith('0123456789abcdef', 'secret')));
    for (const text of [JSON.stringify(config), inspect(config, { depth: 9 }), JSON.stringify({ ...config })])
      expect(text).not.toContain('0123456789abcdef');
  });

  it('cause a warning with the name of the key if others can read them', () => {
    const config = load(webhook(fileWith('0123456789abcdef', 'secret', 0o644)));
    expect(config.warnings).toEqual([expect.stringMatching(/^notifiers\.webhook\.secretFile: .*chmod 600/)]);
  });

  it('must exist, and must not be empty or too short', () => {
    const pepper = (path: string) => problems(() => load(JSON.stringify({ hashing: { pepperFile: path } })));
    expect(pepper(join(folder, 'gone'))).toEqual(['hashing.pepperFile: the file cannot be read (ENOENT)']);
    expect(pepper(fileWith(' \n', 'blank'))).toEqual(['hashing.pepperFile: the file is empty']);
    expect(pepper(fileWith('short-marker', 'short'))).toEqual([
      'hashing.pepperFile: the file must hold at least 16 bytes',
    ]);
  });

  it('of TLS must be set together, and others may read the certificate', () => {
    const certFile = fileWith('certificate', 'cert.pem', 0o644);
    const keyFile = fileWith('key', 'key.pem');
    const config = load(JSON.stringify({ http: { tls: { certFile, keyFile } } }));
    expect(config.secrets.tls).toEqual({ cert: Buffer.from('certificate'), key: Buffer.from('key') });
    expect(config.warnings).toEqual([]);
  });
});

it('describes itself as JSON schema for editors', () => {
  expect(z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' })).toMatchObject({ type: 'object' });
});

describe('engines', () => {
  const DISTRIBUTED = {
    REKEY_STORAGE_KIND: 'distributed',
    REKEY_EVENTSTORE_CONNECTIONSTRING: 'esdb://127.0.0.1:2113?tls=false',
    REKEY_MONGODB_URI: 'mongodb://user:hunter2-marker@127.0.0.1',
    REKEY_KAFKA_BROKERS: '127.0.0.1:9092,[::1]:9092',
    REKEY_REDIS_URL: 'redis://:hunter2-marker@127.0.0.1:6379',
  };

  it('follow storage.kind', () => {
    expect(load('').adapters).toEqual({ events: 'sqlite', views: 'sqlite', bus: 'local', jobs: 'sqlite' });
    expect(load('', DISTRIBUTED).adapters).toEqual({
      events: 'eventstoredb',
      views: 'mongodb',
      bus: 'kafka',
      jobs: 'bullmq',
    });
  });

  it('can be chosen per port', () => {
    const { REKEY_EVENTSTORE_CONNECTIONSTRING: _none, ...others } = DISTRIBUTED;
    expect(load('adapters: { events: sqlite }', others).adapters).toMatchObject({ events: 'sqlite', bus: 'kafka' });
    expect(load('adapters: { views: mongodb }\nmongodb: { uri: mongodb://a }').adapters).toEqual({
      events: 'sqlite',
      views: 'mongodb',
      bus: 'local',
      jobs: 'sqlite',
    });
  });

  it('need an address if they are chosen', () => {
    expect(problems(() => load('storage: { kind: distributed }\nnotifiers: { kafka: { enabled: true } }'))).toEqual([
      'eventstore.connectionString: is required by adapters.events eventstoredb',
      'mongodb.uri: is required by adapters.views mongodb',
      'redis.url: is required by adapters.jobs bullmq',
      'kafka.brokers: is required by adapters.bus kafka',
      'kafka.brokers: is required by notifiers.kafka',
    ]);
  });

  it('have connection strings that are not shown when the configuration is printed', () => {
    const config = load('', DISTRIBUTED);
    expect(config.secrets).toMatchObject({
      mongodb: DISTRIBUTED.REKEY_MONGODB_URI,
      redis: DISTRIBUTED.REKEY_REDIS_URL,
      eventstore: DISTRIBUTED.REKEY_EVENTSTORE_CONNECTIONSTRING,
    });
    for (const shown of [inspect(config, { depth: 10 }), JSON.stringify(config)])
      expect(shown).not.toContain('hunter2');
  });

  it('may have connection strings in files, which take precedence', () => {
    const file = fileWith('mongodb://from-a-file\n', 'uri');
    const config = load(`mongodb: { uri: mongodb://a, uriFile: ${file} }`);
    expect(config.secrets.mongodb).toBe('mongodb://from-a-file');
    expect(problems(() => load('redis: { urlFile: /nowhere/at/all }'))).toEqual([
      'redis.urlFile: the file cannot be read (ENOENT)',
    ]);
  });

  it('are refused with an invalid address, which the error does not quote', () => {
    const found = problems(() => load('mongodb: { uri: "hunter2-marker://x" }\nkafka: { brokers: [hunter2-marker] }'));
    expect(found).toEqual([
      'mongodb.uri: must begin with mongodb:// or mongodb+srv://',
      'kafka.brokers.0: must be host:port',
    ]);
  });

  it('read the secrets of Kafka from files', () => {
    const [ca, password] = [fileWith('a certificate', 'ca.pem'), fileWith('a password', 'password')];
    const { secrets } = load(
      `kafka: { ssl: { enabled: true, caFile: ${ca} }, sasl: { mechanism: plain, username: u, passwordFile: ${password} } }`,
    );
    expect(secrets.kafka).toEqual({ ca: Buffer.from('a certificate'), password: 'a password' });
  });
});

describe('access.services', () => {
  const key = { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43), kid: 'k1' };
  const service = (keys: readonly object[], more: object = {}) =>
    JSON.stringify([{ name: 'billing', publicJwks: { keys }, roles: ['manager'], ...more }]);
  const services = (text: string) => load('', { REKEY_ACCESS_SERVICES: text }).access.services;

  it('have all domains, and may not act for others, by default', () => {
    expect(services(service([key]))).toEqual([
      { name: 'billing', publicJwks: { keys: [key] }, roles: ['manager'], domains: [], mayActFor: false },
    ]);
  });

  it('may use P-256', () => {
    expect(services(service([{ ...key, kty: 'EC', crv: 'P-256', y: 'A'.repeat(43) }]))).toHaveLength(1);
  });

  it.each([
    ['a private key', [{ ...key, d: 'A'.repeat(43) }]],
    ['no key', []],
    ['two keys of one kid', [key, key]],
    ['P-256 without y', [{ ...key, kty: 'EC', crv: 'P-256' }]],
    ['a key without kid', [{ ...key, kid: undefined }]],
  ])('are refused with %s', (_name, keys) => {
    expect(problems(() => services(service(keys)))[0]).toContain('REKEY_ACCESS_SERVICES');
  });
});
