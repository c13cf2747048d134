import type { Role } from '@rekey/contracts';
import type { Route } from '@rekey/gateway';
import { loadConfig } from '@rekey/platform';
import { temporaryFolder } from '@rekey/testing';
import Ajv2020 from 'ajv/dist/2020';
import addFormats from 'ajv-formats';
import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { createStandalone, type Standalone } from './in-process.testing';
import { request, type Answer, type Json } from './request.testing';

export interface TestRequestOptions {
  /** Name of the caller whose token is sent; null: no token. */
  readonly as?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface TokenEntry {
  readonly roles: readonly Role[];
  readonly domains?: readonly string[];
}

/** Callers of every test system: one per role. */
const CALLERS: Readonly<Record<string, TokenEntry>> = {
  admin: { roles: ['admin'] },
  manager: { roles: ['manager'] },
  auditor: { roles: ['auditor'] },
  viewer: { roles: ['viewer'] },
  proxy: { roles: ['authenticator'] },
};

/**
 * The whole system in the process of the test. Validates every answer against the system's own OpenAPI document: the
 * status and Rekey's headers must be declared, and the body must match its schema without additional fields.
 */
export class TestSystem {
  private constructor(
    readonly standalone: Standalone,
    readonly url: string,
    private readonly tokens: ReadonlyMap<string, string>,
    private readonly document: ApiDocument,
    private readonly removeFolder: () => void,
  ) {}

  static async start(
    options: {
      readonly env?: Readonly<Record<string, string>>;
      readonly callers?: Readonly<Record<string, TokenEntry>>;
    } = {},
  ): Promise<TestSystem> {
    const folder = temporaryFolder();
    const tokens = new Map<string, string>();
    const entries = Object.entries({ ...CALLERS, ...options.callers }).map(([name, { roles, domains = [] }]) => {
      const token = randomBytes(24).toString('base64url');
      tokens.set(name, token);
      return { name, sha256: createHash('sha256').update(token).digest('hex'), roles, domains };
    });
    const env = {
      REKEY_STORAGE_PATH: folder.path,
      REKEY_HTTP_PORT: '0',
      REKEY_LOGGING_LEVEL: 'silent',
      REKEY_ACCESS_TOKENS: JSON.stringify(entries),
      ...options.env,
    };
    const standalone = await createStandalone(loadConfig({ env }));
    const url = await standalone.listen();
    if (!(await standalone.ready())) throw new Error('The system did not become ready.');
    const { body } = await standalone.server.inject({ method: 'GET', url: '/openapi.json' });
    const document = new ApiDocument(JSON.parse(body), standalone.routes);
    return new TestSystem(standalone, url, tokens, document, folder.remove);
  }

  async stop(): Promise<void> {
    await this.standalone.close();
    this.removeFolder();
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  token(name: string): string {
    const token = this.tokens.get(name);
    if (token === undefined) throw new Error(`Unknown caller ${name}.`);
    return token;
  }

  /** Sends a request to a path under `/api/v1`, or from the root if it begins with `//`. As admin by default. */
  async ask(method: string, target: string, body?: unknown, options: TestRequestOptions = {}): Promise<Answer> {
    const { as = 'admin', headers = {} } = options;
    const token = as === null ? null : this.token(as);
    const answer = await request({ url: this.url, token: this.token('admin') }, method, target, body, {
      token,
      headers,
    });
    const path = target.startsWith('//') ? target.slice(1) : `/api/v1${target}`;
    this.document.validate(method, path, answer);
    return answer;
  }

  /** Sends a request that must be accepted. Returns the body. */
  async done(
    method: string,
    target: string,
    body?: unknown,
    options: TestRequestOptions = {},
  ): Promise<Answer['body']> {
    const answer = await this.ask(method, target, body, options);
    if (answer.status < 200 || answer.status > 201)
      throw new Error(`${method} ${target}: ${answer.status} ${answer.text}`);
    return answer.body;
  }

  /** Validates an answer that was received in another way. */
  validate(method: string, path: string, answer: Answer): void {
    this.document.validate(method, path, answer);
  }

  /** Checks a client's secret. Returns the status. */
  async check(domainId: string, clientId: string, clientSecret: string, remoteAddress?: string): Promise<number> {
    const body = { clientId, clientSecret, remoteAddress };
    return (await this.ask('POST', `/domains/${domainId}/authenticate`, body)).status;
  }

  /** Sends raw bytes. Resolves with everything received until the connection ends or matches `until`. */
  raw(bytes: string | Buffer, until?: RegExp, idleMs = 0): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write(bytes));
      let text = '';
      const end = (): void => (socket.destroy(), resolve(text));
      socket.setTimeout(idleMs, end);
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        if (until?.test(text)) end();
      });
      socket.on('close', end);
      socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? end() : reject(error)));
    });
  }
}

/** Headers that an answer may have only if they are declared for it. */
const OURS = /^(rekey-.*|x-rekey-.*|etag|location|link|retry-after|www-authenticate)$/;

/** The API's OpenAPI document, with which answers are validated. */
class ApiDocument {
  private readonly ajv = new Ajv2020({ strict: true, allErrors: true });
  private readonly templates: readonly { readonly path: string; readonly pattern: RegExp }[];

  constructor(
    private readonly document: Json,
    routes: readonly Route[],
  ) {
    addFormats(this.ajv);
    this.ajv.addVocabulary(['openapi', 'info', 'paths', 'components', 'example']);
    this.ajv.addSchema(document, 'api');
    this.templates = [...new Set(routes.map(({ url }) => url))].map((url) => ({
      path: url.replace(/:(\w+)/g, '{$1}'),
      pattern: new RegExp(`^${url.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}$`),
    }));
  }

  validate(method: string, target: string, { status, headers, body, text }: Answer): void {
    const where = `${method} ${target}: ${status}`;
    const path = this.templates.find(({ pattern }) => pattern.test(target.replace(/\?.*/, '')))?.path;
    const operation = path && this.document.paths[path][method === 'HEAD' ? 'get' : method.toLowerCase()];
    if (!operation) return method === 'HEAD' ? undefined : this.fits(where, ['components', 'schemas', 'Problem'], body);
    const described = operation.responses[status];
    if (!described) throw new Error(`${where} is not declared: ${text}`);
    const declared = Object.keys(described.headers).map((name) => name.toLowerCase());
    const more = [...headers.keys()].filter((name) => OURS.test(name) && !declared.includes(name));
    if (more.length > 0) throw new Error(`${where} has undeclared headers: ${more.join(', ')}`);
    if (method === 'HEAD') return;
    const type = (headers.get('content-type') ?? '').replace(/;.*/, '');
    if (described.content === undefined) {
      if (text !== '') throw new Error(`${where} has an undeclared body.`);
      return;
    }
    if (!described.content[type]) throw new Error(`${where} has the undeclared content type ${type}.`);
    const place = ['paths', path, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema'];
    this.fits(where, place, body ?? text);
  }

  private fits(where: string, place: readonly string[], value: unknown): void {
    const pointer = place.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
    const check = this.ajv.getSchema(`api#${pointer}`);
    if (check?.(value)) return;
    throw new Error(
      `${where} does not match its schema: ${this.ajv.errorsText(check?.errors)} in ${JSON.stringify(value)}`,
    );
  }
}
