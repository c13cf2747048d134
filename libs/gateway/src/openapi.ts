import { ERRORS, RekeyError, problemBody, type ErrorCode } from '@rekey/contracts';
import type { ErrorDetails } from '@rekey/domain';
import { z } from 'zod';
import { PROBLEM_TYPE, problemOf, type Problem } from './problem';
import type { AnswerDescription, RouteDescription } from './route';

type Json = Record<string, unknown>;

/** Codes that any route with a token can refuse with. */
const COMMON: readonly ErrorCode[] = ['invalid_request', 'internal'];
const WITH_TOKEN: readonly ErrorCode[] = ['unauthenticated', 'forbidden', 'unavailable'];
/** Codes that any route to which a body can be sent, or with a command behind it, can refuse with. */
const WITH_BODY: readonly ErrorCode[] = ['payload_too_large', 'unsupported_media_type'];
const WRITING: readonly ErrorCode[] = [...WITH_BODY, 'idempotency_key_reused', 'revision_conflict', 'timeout'];

const HEADERS: Readonly<Record<string, string>> = {
  etag: 'The revision of the resource, for If-Match.',
  link: 'The next page (RFC 8288).',
  location: 'Where the resource lies; of a 202, where the outcome of the command can be asked for.',
  'rekey-command-id': 'The id of the command that was sent.',
  'rekey-position': 'Send it back as Rekey-At-Least to read at least this.',
  'rekey-replayed': '`true`: the command was known, and this is its first outcome.',
  'retry-after': 'Seconds after which to try again.',
  'www-authenticate': 'How to show oneself.',
};
const REFUSAL_HEADERS: Readonly<Record<number, readonly string[]>> = {
  401: ['www-authenticate'],
  429: ['retry-after'],
  503: ['retry-after'],
};

const EXAMPLE_CORRELATION_ID = 'b7c9a1de-5a0e-4a51-9d52-0c3a6f1c2e11';
/** What some codes say beside their text. */
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
      found.push({ name, in: place, required: place === 'path' || required.includes(name), schema: property });
  }
  const header = (name: string, description: string): void =>
    void found.push({ name, in: 'header', required: false, description, schema: { type: 'string' } });
  if (route.writes) header('Idempotency-Key', 'With the caller it makes the command id: a retry is done once.');
  if (route.writes?.ifMatch) header('If-Match', 'The ETag that you saw: 412 where the resource has changed since.');
  if (route.views?.length) header('Rekey-At-Least', 'A Rekey-Position that you saw: the answer is at least as new.');
  return found;
};

/** The codes that a route can refuse with. */
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
      name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase()).replace('Etag', 'ETag'),
      { description: HEADERS[name] ?? 'Who was admitted.', schema: { type: 'string' } },
    ]),
  );

const refusals = (route: RouteDescription): Json => {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codesOf(route)) {
    const statuses = code === 'revision_conflict' && route.writes?.ifMatch ? [409, 412] : [ERRORS[code].status];
    for (const status of statuses) byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, held]) => [
      status,
      {
        description: held.map((code) => `\`${code}\``).join(', '),
        headers: headersOf(REFUSAL_HEADERS[status] ?? []),
        content: {
          [PROBLEM_TYPE]: {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: Object.fromEntries(held.map((code) => [code, { value: exampleOf(code, status) }])),
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

/** The OpenAPI 3.1 document of a list of routes. */
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
      responses: { ...answers(route), ...refusals(route) },
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Rekey',
      version,
      description:
        'Client secrets: many live ones per application, rotation without downtime, expiry by policy, an exact check, a history.',
    },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        proxy: { type: 'apiKey', in: 'header', name: 'Rekey-Authorization' },
      },
      schemas: {
        Problem: { description: 'RFC 9457 problem document.', ...schemaOf(problemBody, 'output') },
      },
    },
  };
};
