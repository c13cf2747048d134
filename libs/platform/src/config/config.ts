import { existsSync, readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { adaptersOf, type Adapters } from './config-engines';
import { CONFIG_KEYS, configSchema, variableOf, type ConfigKey, type Settings } from './config-schema';
import { readSecretFile } from '../keys/secret-file';

/** Contents of the files that the configuration names. */
export interface Secrets {
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  readonly pepper?: Buffer;
  readonly webhookSecret?: Buffer;
  /** Connection strings, which may hold passwords. */
  readonly eventstore?: string;
  readonly mongodb?: string;
  readonly redis?: string;
  readonly kafka: {
    readonly ca?: Buffer;
    readonly cert?: Buffer;
    readonly key?: Buffer;
    readonly password?: string;
  };
}

export interface Config extends Omit<Settings, 'adapters' | 'eventstore' | 'mongodb' | 'redis'> {
  readonly adapters: Adapters;
  readonly eventstore: Omit<Settings['eventstore'], 'connectionString' | 'connectionStringFile'>;
  readonly mongodb: Omit<Settings['mongodb'], 'uri' | 'uriFile'>;
  readonly redis: Omit<Settings['redis'], 'url' | 'urlFile'>;
  /** Not enumerable, so that printing or serialising a configuration does not show it. */
  readonly secrets: Secrets;
  /** Warnings to log at the start. */
  readonly warnings: readonly string[];
}

/** All problems of a configuration. Names keys, never their values. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The configuration is invalid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

export interface ConfigSource {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of the file; default `REKEY_CONFIG`, else `rekey.yml` in the working directory if it exists. */
  readonly file?: string | undefined;
}

type Tree = Record<string, unknown>;

const PREFIX = 'REKEY_';
const FILE_VARIABLE = 'REKEY_CONFIG';
const DEFAULT_FILE = 'rekey.yml';

/** Variables of the CLI and the scripts in deploy/native, which may share their environment with a server. */
export const CLIENT_VARIABLES: readonly string[] = [
  'REKEY_URL',
  'REKEY_TOKEN',
  'REKEY_TOKEN_FILE',
  'REKEY_DOMAIN',
  'REKEY_NATIVE_CACHE',
];

/** Variables that Kubernetes and Docker links set for a service called `rekey…`. */
const isServiceLink = (name: string, value: string): boolean =>
  /_SERVICE_(HOST|PORT)(_\w+)?$/.test(name) ||
  /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
  (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value));

/**
 * Loads the configuration: reads the file, overrides it with environment variables, validates it, and reads the files that
 * it names. Throws `ConfigError` with all problems.
 */
export const loadConfig = ({ env = process.env, file }: ConfigSource = {}): Config => {
  const tree = fileTree(file ?? env[FILE_VARIABLE], file === undefined ? FILE_VARIABLE : 'the file');
  const { used, problems } = applyEnvironment(tree, env);
  const parsed = configSchema.safeParse(withoutEmptySections(tree));
  if (!parsed.success) throw new ConfigError([...problems, ...problemsOf(parsed.error, used)]);
  if (problems.length > 0) throw new ConfigError(problems);
  const warnings: string[] = [];
  const secrets = readSecrets(parsed.data, warnings);
  const { eventstore, mongodb, redis, ...settings } = parsed.data;
  const { database, checkReadConcern } = mongodb;
  const config = {
    ...settings,
    adapters: adaptersOf(parsed.data),
    eventstore: { streamPrefix: eventstore.streamPrefix },
    mongodb: { database, checkReadConcern },
    redis: { prefix: redis.prefix },
    warnings,
  };
  return Object.defineProperty(config as unknown as Config, 'secrets', { value: secrets, enumerable: false });
};

const fileTree = (given: string | undefined, givenBy: string): Tree => {
  const path = given ?? DEFAULT_FILE;
  if (given === undefined && !existsSync(path)) return {};
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const cause = (error as NodeJS.ErrnoException).code ?? 'unknown cause';
    throw new ConfigError([`${given === undefined ? DEFAULT_FILE : givenBy}: the file cannot be read (${cause})`]);
  }
  // With pretty errors, messages would quote the file, which may hold secrets.
  const document = parseDocument(text, { prettyErrors: false, stringKeys: true });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ code, pos }) => {
      const line = text.slice(0, pos[0]).split('\n').length;
      return `line ${line} of the file: not valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`;
    });
    throw new ConfigError(problems);
  }
  let tree: unknown;
  try {
    tree = document.toJS() ?? {};
  } catch {
    throw new ConfigError(['the file: anchors and aliases cannot be resolved']);
  }
  if (isTree(tree)) return tree;
  throw new ConfigError(['the file: must be a mapping of keys to values']);
};

/** Sets the values of variables, sections before their keys. Returns the used variables by path, and problems. */
const applyEnvironment = (
  tree: Tree,
  env: Readonly<Record<string, string | undefined>>,
): { used: Map<string, string>; problems: string[] } => {
  const keys = new Map(CONFIG_KEYS.map((key) => [variableOf(key.path), key]));
  const used = new Map<string, string>();
  const problems: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    const other = !name.startsWith(PREFIX) || name === FILE_VARIABLE || CLIENT_VARIABLES.includes(name);
    if (other || value === undefined || keys.has(name) || isServiceLink(name, value)) continue;
    problems.push(`${name}: unknown key`);
  }
  for (const [name, key] of keys) {
    const text = env[name];
    if (text === undefined) continue;
    used.set(key.path.join('.'), name);
    const read = valueOf(key, text);
    if ('problem' in read) problems.push(`${name}: ${read.problem}`);
    else setAt(tree, key.path, read.value);
  }
  return { used, problems };
};

/** Parses the text of a variable. Keeps invalid text as it is: the schema refuses it. */
const valueOf = ({ kind, of }: ConfigKey, text: string): { value: unknown } | { problem: string } => {
  if (kind === 'text') return { value: text };
  if (kind === 'boolean') return { value: text === 'true' ? true : text === 'false' ? false : text };
  if (kind === 'number') return { value: numberOr(text) };
  if (kind === 'list' && of !== 'object' && !text.trimStart().startsWith('[')) {
    const parts = text.split(',').map((part) => part.trim());
    if (text.trim() === '') return { value: [] };
    return { value: of === 'number' ? parts.map(numberOr) : parts };
  }
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { problem: 'must be JSON' };
  }
};

const numberOr = (text: string): number | string => (/^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text);

const setAt = (tree: Tree, path: readonly string[], value: unknown): void => {
  let place = tree;
  for (const name of path.slice(0, -1)) {
    const next = (place[name] ??= {});
    if (!isTree(next)) return;
    place = next;
  }
  const last = path.at(-1) ?? '';
  place[last] = isTree(value) && isTree(place[last]) ? { ...place[last], ...value } : value;
};

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** Removes sections that are null: `http:` with every line below it commented out. */
const withoutEmptySections = (tree: Tree): Tree => {
  const sections = CONFIG_KEYS.filter(({ kind }) => kind === 'section');
  for (const { path } of sections) {
    let place: unknown = tree;
    for (const name of path.slice(0, -1)) place = isTree(place) ? place[name] : undefined;
    const last = path.at(-1) ?? '';
    if (isTree(place) && place[last] === null) delete place[last];
  }
  return tree;
};

/** Returns messages with keys and what is allowed. Zod's messages do not quote the given values. */
const problemsOf = (error: z.ZodError, fromEnvironment: ReadonlyMap<string, string>): string[] =>
  error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    const variable = path
      .map((_, index) => fromEnvironment.get(path.slice(0, path.length - index).join('.')))
      .find((name) => name !== undefined);
    const named = (names: readonly string[]): string => names.join('.') + (variable ? ` (${variable})` : '');
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${named([...path, key])}: unknown key`);
    return [`${named(path)}: ${issue.message}`];
  });

const readSecrets = (config: Settings, warnings: string[]): Secrets => {
  const problems: string[] = [];
  const read = (key: string, path: string | undefined, lengthMin: number, isPublic = false): Buffer | undefined => {
    if (path === undefined) return undefined;
    const result = readSecretFile(path, isPublic);
    if ('problem' in result) problems.push(`${key}: ${result.problem}`);
    else if (result.content.length < lengthMin) problems.push(`${key}: the file must hold at least ${lengthMin} bytes`);
    else {
      if (result.warning) warnings.push(`${key}: ${result.warning}`);
      return result.content;
    }
    return undefined;
  };
  const cert = read('http.tls.certFile', config.http.tls?.certFile, 1, true);
  const key = read('http.tls.keyFile', config.http.tls?.keyFile, 1);
  const pepper = read('hashing.pepperFile', config.hashing.pepperFile, 16);
  const { enabled, secretFile } = config.notifiers.webhook;
  const webhookSecret = read('notifiers.webhook.secretFile', enabled ? secretFile : undefined, 16);
  const text = (key: string, path: string | undefined, given?: string): string | undefined =>
    read(key, path, 1)?.toString('utf8') ?? given;
  const { kafka, eventstore, mongodb, redis } = config;
  const connections = {
    eventstore: text('eventstore.connectionStringFile', eventstore.connectionStringFile, eventstore.connectionString),
    mongodb: text('mongodb.uriFile', mongodb.uriFile, mongodb.uri),
    redis: text('redis.urlFile', redis.urlFile, redis.url),
  };
  const forKafka = {
    ca: read('kafka.ssl.caFile', kafka.ssl.caFile, 1, true),
    cert: read('kafka.ssl.certFile', kafka.ssl.certFile, 1, true),
    key: read('kafka.ssl.keyFile', kafka.ssl.keyFile, 1),
    password: text('kafka.sasl.passwordFile', kafka.sasl?.passwordFile),
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    ...given(connections),
    kafka: given(forKafka),
    ...(cert && key && { tls: { cert, key } }),
    ...(pepper && { pepper }),
    ...(webhookSecret && { webhookSecret }),
  };
};

/** Drops undefined entries. */
const given = <T extends object>(entries: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } =>
  Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as never;
