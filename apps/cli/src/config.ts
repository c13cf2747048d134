import { domainIdSchema } from '@rekey/contracts';
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { EXIT, Failure, usage } from './failure';

/** Environment variables that the CLI reads. */
export interface Environment {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly domain?: string | undefined;
  /** `XDG_CONFIG_HOME`, or `~/.config`. */
  readonly settingsFolder: string;
  readonly colour: boolean;
}

/** Returns the version from package.json. A bundle is as many folders below it as this source file. */
export const readVersion = (): string => {
  const { version } = JSON.parse(readFileSync(path.join(__dirname, '../../../package.json'), 'utf8')) as {
    version: string;
  };
  return version;
};

const DEFAULT_URL = 'http://127.0.0.1:8080';
/** Admin token that a standalone server creates on its first start. */
export const LOCAL_TOKEN_FILE = path.join('data', 'admin-token');
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const BEARER_TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;
const OTHERS_MAY_READ = 0o004;

/** Reads the environment. An empty variable counts as unset. */
export const readEnvironment = (env: NodeJS.ProcessEnv = process.env): Environment => ({
  url: env['REKEY_URL'] || undefined,
  token: env['REKEY_TOKEN'] || undefined,
  tokenFile: env['REKEY_TOKEN_FILE'] || undefined,
  domain: env['REKEY_DOMAIN'] || undefined,
  settingsFolder: env['XDG_CONFIG_HOME'] || path.join(homedir(), '.config'),
  colour: !env['NO_COLOR'] && env['TERM'] !== 'dumb',
});

/** Command line flags that select the server and the token. */
export interface Flags {
  readonly url?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly config?: string;
}

export interface Settings {
  readonly url: string;
  readonly domain?: string | undefined;
  /** Reads the token. Throws a usage `Failure` if there is none or its file is readable by everyone. */
  readonly token: () => string;
}

const fileSchema = z.strictObject({
  url: z.string().optional(),
  token: z.string().min(1).optional(),
  tokenFile: z.string().min(1).optional(),
  domain: domainIdSchema.optional(),
});
type File = z.infer<typeof fileSchema> & { readonly path: string };

/** Returns the settings: flags take precedence over the environment, then the settings file, then the defaults. */
export const settingsOf = (flags: Flags, environment: Environment): Settings => {
  const file = readSettings(flags.config, path.join(environment.settingsFolder, 'rekey', 'cli.yml'));
  const url = checkedUrl(flags.url ?? environment.url ?? file.url ?? DEFAULT_URL);
  return {
    url,
    domain: environment.domain ?? file.domain,
    token: () => checkedToken(findToken(flags, environment, file, url)),
  };
};

const readSettings = (given: string | undefined, usual: string): File => {
  const name = given ?? usual;
  let text: string;
  try {
    text = readFileSync(name, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (given === undefined && (code === 'ENOENT' || code === 'ENOTDIR')) return { path: name };
    throw usage(`Cannot read the settings file ${name} (${code ?? 'unknown cause'}).`);
  }
  let content: unknown;
  try {
    content = parse(text, { prettyErrors: false }) ?? {};
  } catch {
    throw usage(`The settings file ${name} is not valid YAML.`);
  }
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) {
    if (parsed.data.token !== undefined) refuseOpenFile(name);
    return { ...parsed.data, path: name };
  }
  const [issue] = parsed.error.issues;
  const key = issue?.path.join('.');
  const problem =
    issue?.code === 'unrecognized_keys'
      ? `unknown key ${issue.keys[0]}`
      : key
        ? `invalid value of ${key}`
        : 'expected keys and values';
  throw usage(`The settings file ${name} is not valid: ${problem}. Its keys are url, token, tokenFile and domain.`);
};

/** Returns the URL without a trailing slash. Throws unless it is http or https without credentials, query or fragment. */
const checkedUrl = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw usage('The server address must be an http or https URL, e.g. http://127.0.0.1:8080 (--url or REKEY_URL).');
  if (url.username || url.password || url.search || url.hash)
    throw usage('The server address must not contain credentials, a query or a fragment (--url or REKEY_URL).');
  return url.origin + url.pathname.replace(/\/+$/, '');
};

const findToken = (flags: Flags, environment: Environment, file: File, url: string): string => {
  if (flags.token !== undefined) return flags.token;
  if (flags.tokenFile !== undefined) return tokenIn(flags.tokenFile);
  if (environment.token !== undefined) return environment.token;
  if (environment.tokenFile !== undefined) return tokenIn(environment.tokenFile);
  if (file.token !== undefined) return file.token;
  if (file.tokenFile !== undefined) return tokenIn(path.resolve(path.dirname(file.path), file.tokenFile));
  // Never send the local admin token to another machine.
  const local = LOOPBACK.test(new URL(url).hostname) ? tokenIn(LOCAL_TOKEN_FILE, true) : undefined;
  if (local !== undefined) return local;
  throw usage(
    'No access token. Name its file with --token-file or REKEY_TOKEN_FILE, or set REKEY_TOKEN. A server started ' +
      `with \`npm start\` keeps an admin token in ${LOCAL_TOKEN_FILE}.`,
  );
};

function tokenIn(file: string): string;
function tokenIn(file: string, optional: true): string | undefined;
function tokenIn(file: string, optional = false): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (optional) return undefined;
    throw usage(`Cannot read the token file ${file} (${(error as NodeJS.ErrnoException).code ?? 'unknown cause'}).`);
  }
  refuseOpenFile(file);
  return text;
}

const refuseOpenFile = (file: string): void => {
  if (process.platform === 'win32' || (statSync(file).mode & OTHERS_MAY_READ) === 0) return;
  throw new Failure(
    EXIT.usage,
    `${file} contains a token and is readable by everyone on this machine. Run: chmod 600 ${file}`,
  );
};

const checkedToken = (token: string): string => {
  if (BEARER_TOKEN.test(token)) return token;
  throw usage(
    'The token is empty or contains characters that are not allowed in a token (RFC 6750). Is it the right file?',
  );
};
