import { ERRORS, type ErrorCode } from '@rekey/contracts';
import { z } from 'zod';
import { PROBLEM_TYPE } from './problem';
import type { Route } from './route';

type Json = Record<string, unknown>;

/** Codes that any route with a token can refuse with. */
const COMMON: readonly ErrorCode[] = ['invalid_request', 'internal'];
const WITH_TOKEN: readonly ErrorCode[] = ['unauthenticated', 'forbidden', 'unavailable'];
const WRITING: readonly ErrorCode[] = [
  'idempotency_key_reused',
  'timeout',
  'payload_too_large',
  'unsupported_media_type',
];

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    target: 'draft-2020-12',
  });
  return json;
};

const parameters = (route: Route): Json[] => {
  const found: Json[] = [];
  for (const [place, schema] of [['path', route.params], ['query', route.query]] as const) {
    if (!schema) continue;
    const { properties = {}, required = [] } = schemaOf(schema, 'input') as { properties?: Json; required?: string[] };
    for (const [name, property] of Object.entries(properties))
      found.push({ name, in: place, required: place === 'path' || required.includes(name), schema: property });
  } // prettier-ignore
  const header = (name: string, description: string): void =>
    void found.push({ name, in: 'header', required: false, description, schema: { type: 'string' } });
  if (route.writes) header('Idempotency-Key', 'With the caller it makes the command id: a retry is done once.');
  if (route.writes?.ifMatch) header('If-Match', 'The ETag that you saw: 412 where the resource has changed since.');
  if (route.views?.length) header('Rekey-At-Least', 'A Rekey-Position that you saw: the answer is at least as new.');
  return found;
};

const refusals = (route: Route): Json => {
  const codes = new Set<ErrorCode>([
    ...COMMON,
    ...(route.action === 'public' ? [] : WITH_TOKEN),
    ...(route.params ? (['domain_not_found'] as const) : []),
    ...(route.writes ? WRITING : []),
    ...(route.errors ?? []),
  ]);
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const statuses = code === 'revision_conflict' ? [409, 412] : [ERRORS[code].status];
    for (const status of statuses) byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, held]) => [
      status,
      {
        description: held.map((code) => `\`${code}\``).join(', '),
        content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
};

const answers = (route: Route): Json =>
  Object.fromEntries(
    Object.entries(route.answers).map(([status, answer]) => {
      const example = Number(status) < 202 ? route.examples?.response : undefined;
      const type = answer.type ?? 'application/json';
      const content = { schema: answer.body ? schemaOf(answer.body, 'output') : { type: 'string' }, ...(example !== undefined && { example }) };
      const hasBody = answer.body !== undefined || answer.type !== undefined;
      return [status, { description: answer.description, ...(hasBody && { content: { [type]: content } }) }];
    }),
  ); // prettier-ignore

const operationId = (route: Route): string =>
  `${route.method.toLowerCase()}${route.url
    .replace('/api/v1', '')
    .split(/[/:.-]/)
    .filter((part) => part !== '')
    .map((part) => part[0]?.toUpperCase() + part.slice(1))
    .join('')}`;

/** The OpenAPI 3.1 document of a list of routes. */
export const openApiOf = (routes: readonly Route[], version: string): Json => {
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
              ...(route.examples?.request !== undefined && { example: route.examples.request }),
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
      description: 'Client secrets: many live ones per application, rotation without downtime, expiry by policy, an exact check, a history.',
    },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        proxy: { type: 'apiKey', in: 'header', name: 'Rekey-Authorization' },
      },
      schemas: {
        Problem: {
          type: 'object',
          description: 'RFC 9457 problem document.',
          required: ['type', 'title', 'status', 'code', 'detail', 'correlationId'],
          properties: {
            type: { type: 'string' },
            title: { type: 'string' },
            status: { type: 'integer' },
            code: { type: 'string', enum: Object.keys(ERRORS) },
            detail: { type: 'string' },
            correlationId: { type: 'string' },
            field: { type: 'string', description: 'With `invalid_request`: the field that is wrong.' },
          },
        },
      },
    },
  }; // prettier-ignore
};
