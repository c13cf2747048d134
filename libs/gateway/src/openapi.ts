import { ERRORS, RekeyError, problemBody, type ErrorCode } from '@rekey/contracts';
import type { ErrorDetails } from '@rekey/domain';
import { z } from 'zod';
import { PROBLEM_TYPE, problemOf, type Problem } from './problem';
import type { AnswerDescription, RouteDescription } from './route';

type Json = Record<string, unknown>;

/** Error codes of every route. */
const COMMON: readonly ErrorCode[] = ['invalid_request', 'internal'];
/** Error codes of every route that needs a token. */
const WITH_TOKEN: readonly ErrorCode[] = ['unauthenticated', 'forbidden', 'unavailable'];
/** Error codes of every route to which a body can be sent. */
const WITH_BODY: readonly ErrorCode[] = ['payload_too_large', 'unsupported_media_type'];
/** Error codes of every route that sends a command. */
const WRITING: readonly ErrorCode[] = [...WITH_BODY, 'idempotency_key_reused', 'revision_conflict', 'timeout'];

/** Descriptions of path and query parameters. */
const PARAMETERS: Readonly<Record<string, string>> = {
  domainId: 'Id of the domain.',
  applicationId: 'Id of the application (a UUID), not its client id.',
  secretId: 'Id of the secret.',
  commandId: 'Id of the command: `Rekey-Command-Id` of the response to it.',
  notificationId: 'Id of the notice.',
  view: 'Name of the view.',
  after: 'Cursor: `next` of the previous page.',
  limit: 'Maximum number of items per page.',
  q: 'Only items whose name or id contains this text, ignoring case. The inventory also searches descriptions.',
  preview: '`true`: only show what would change.',
  asOf: 'Show the state at this instant. Needs the role `auditor`.',
  status: 'Only secrets with one of these statuses, separated by commas.',
  expiresBefore: 'Only secrets that expire before this instant.',
  unusedSince: 'Only secrets that were created before this instant and have not been used since.',
  domain: 'Only this domain.',
  sort: 'Field to sort by; `-` reverses the order.',
  stream: 'Only events of this stream.',
  type: 'Only events of this type.',
  actor: 'Only events that this caller caused.',
  from: 'Only events at or after this instant.',
  until: 'Only events before this instant.',
  acknowledged: '`true`: only acknowledged notices. `false`: only notices that are not acknowledged.',
};

const HEADERS: Readonly<Record<string, string>> = {
  etag: 'Revision of the resource. Send it as `If-Match`.',
  link: 'Link to the next page (RFC 8288).',
  location: 'URL of the new resource. With status 202: URL of the outcome of the command.',
  'rekey-command-id': 'Id of the command that this request created. Its outcome is at `/api/v1/commands/{commandId}`.',
  'rekey-position': 'Position of the change. Send it as `Rekey-At-Least` to read a state that includes it.',
  'rekey-replayed': '`true` if this key was used before: this is the outcome of the first request.',
  'retry-after': 'Seconds to wait before trying again.',
  'www-authenticate': 'Authentication scheme to use.',
};
const ERROR_HEADERS: Readonly<Record<number, readonly string[]>> = {
  401: ['www-authenticate'],
  429: ['retry-after'],
  503: ['retry-after'],
};

const EXAMPLE_CORRELATION_ID = 'b7c9a1de-5a0e-4a51-9d52-0c3a6f1c2e11';
/** Members that the problem documents of some codes have in addition. */
const DETAILS: Partial<Record<ErrorCode, ErrorDetails>> = {
  invalid_request: { field: 'name' },
  expiry_required: { field: 'expiresAt' },
  too_many_secrets: { limit: 10 },
  lifetime_out_of_bounds: { field: 'expiresIn', bound: 'maxLifetime', amount: 1, unit: 'years' },
  revision_conflict: { revision: 4 },
  timeout: { commandId: 'c2a0f4d2-7a51-4d1e-8a3e-5b8d1f6c7e90' },
};

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    target: 'draft-2020-12',
  });
  return json;
};

const parameters = (route: RouteDescription): Json[] => {
  const found: Json[] = [];
  for (const [place, schema] of [
    ['path', route.params],
    ['query', route.query],
  ] as const) {
    if (!schema) continue;
    const { properties = {}, required = [] } = schemaOf(schema, 'input') as { properties?: Json; required?: string[] };
    for (const [name, property] of Object.entries(properties))
      found.push({
        name,
        in: place,
        required: place === 'path' || required.includes(name),
        description: PARAMETERS[name],
        schema: property,
      });
  }
  const header = (name: string, description: string): void =>
    void found.push({ name, in: 'header', required: false, description, schema: { type: 'string' } });
  if (route.writes)
    header('Idempotency-Key', 'Makes retries safe: a request that is repeated with the same key is executed once.');
  if (route.writes?.ifMatch)
    header('If-Match', 'ETag of the resource. If it has changed since, the request fails with 412.');
  if (route.views?.length)
    header('Rekey-At-Least', '`Rekey-Position` of an earlier response. The answer includes that change.');
  return found;
};

/** Returns the error codes that a route can answer. */
export const codesOf = (route: RouteDescription): ErrorCode[] => {
  const codes = new Set<ErrorCode>([
    ...COMMON,
    ...(route.action === 'public' ? [] : WITH_TOKEN),
    ...(route.url.includes(':domainId') ? (['domain_not_found'] as const) : []),
    ...(route.method === 'GET' ? [] : WITH_BODY),
    ...(route.writes ? WRITING : []),
    ...(route.errors ?? []),
  ]);
  return [...codes];
};

const headersOf = (names: readonly string[]): Json =>
  Object.fromEntries(
    names.map((name) => [
      name
        .replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
        .replace('Etag', 'ETag')
        .replace('Www', 'WWW'),
      { description: HEADERS[name] ?? 'Identifies the authenticated client.', schema: { type: 'string' } },
    ]),
  );

const errorResponses = (route: RouteDescription): Json => {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codesOf(route)) {
    const statuses = code === 'revision_conflict' && route.writes?.ifMatch ? [409, 412] : [ERRORS[code].status];
    for (const status of statuses) byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: codes.map((code) => `\`${code}\``).join(', '),
        headers: headersOf(ERROR_HEADERS[status] ?? []),
        content: {
          [PROBLEM_TYPE]: {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: Object.fromEntries(codes.map((code) => [code, { value: exampleOf(code, status) }])),
          },
        },
      },
    ]),
  );
};

const exampleOf = (code: ErrorCode, status: number): Problem => {
  const { problem } = problemOf(new RekeyError(code, ERRORS[code].title, DETAILS[code]), EXAMPLE_CORRELATION_ID);
  return { ...problem, status };
};

const contentOf = ({ body, type = 'application/json', example, others = {} }: AnswerDescription): Json => ({
  [type]: { schema: body ? schemaOf(body, 'output') : { type: 'string' }, example },
  ...Object.fromEntries(
    Object.entries(others).map(([other, text]) => [other, { schema: { type: 'string' }, example: text }]),
  ),
});

const answers = (route: RouteDescription): Json =>
  Object.fromEntries(
    Object.entries(route.answers).map(([status, answer]) => {
      const { description, headers = [], body, type } = answer;
      const content = body || type ? { content: contentOf(answer) } : {};
      return [status, { description, headers: headersOf(headers), ...content }];
    }),
  );

const operationId = (route: RouteDescription): string =>
  `${route.method.toLowerCase()}${route.url
    .replace('/api/v1', '')
    .split(/[/:.-]/)
    .filter((part) => part !== '')
    .map((part) => part[0]?.toUpperCase() + part.slice(1))
    .join('')}`;

/** Returns the OpenAPI 3.1 document of a list of routes. */
export const openApiOf = (routes: readonly RouteDescription[], version: string): Json => {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = {
      operationId: operationId(route),
      summary: route.summary,
      tags: [route.tag],
      security: route.action === 'public' ? [] : [route.action === 'proxy' ? { proxy: [] } : { bearer: [] }],
      parameters: parameters(route),
      ...(route.body && {
        requestBody: {
          required: !route.bodyOptional,
          content: {
            'application/json': {
              schema: schemaOf(route.body, 'input'),
              example: route.example ?? {},
            },
          },
        },
      }),
      responses: { ...answers(route), ...errorResponses(route) },
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Rekey',
      version,
      description:
        'Manages client secrets: several active secrets per application, rotation without downtime, expiry by policy, an authentication check, and a complete history.',
    },
    paths,
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'An access token of Rekey, or a JWT from the configured OpenID Connect issuer.',
        },
        proxy: {
          type: 'apiKey',
          in: 'header',
          name: 'Rekey-Authorization',
          description: '`Bearer` and a token of the proxy. Not needed from networks in `http.forwardAuthFrom`.',
        },
      },
      schemas: {
        Problem: {
          description: 'Problem document (RFC 9457). `code` identifies the error.',
          ...schemaOf(problemBody, 'output'),
        },
      },
    },
  };
};
