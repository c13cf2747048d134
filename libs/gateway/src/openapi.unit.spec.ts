import { Validator } from '@seriousme/openapi-schema-validator';
import { ERRORS } from '@rekey/contracts';
import Ajv2020 from 'ajv/dist/2020';
import addFormats from 'ajv-formats';
import { gatewayRoutes } from './gateway';
import { openApiOf } from './openapi';
import type { GatewayOptions } from './services';

interface Content {
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}
type Contents = Readonly<Record<string, Content>>;

interface Operation {
  readonly operationId: string;
  readonly security: readonly unknown[];
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly description?: string }[];
  readonly requestBody?: { readonly content: Contents };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Contents }>>;
}

interface Document {
  readonly info: object;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const operationOf = (path: string, method: string): Operation => {
  const operation = document.paths[path]?.[method];
  if (!operation) throw new Error(`The document has no ${method} ${path}.`);
  return operation;
};

/** No handler is called, so the services need not exist. */
const routes = gatewayRoutes({ version: '1.2.3', forwardAuthFrom: [] } as unknown as GatewayOptions);
const document = openApiOf(routes, '1.2.3') as unknown as Document;

const ajv = new Ajv2020({ strict: true, allErrors: true });
addFormats(ajv);
ajv.addSchema(document, 'api');
ajv.addVocabulary(['openapi', 'info', 'paths', 'components', 'example']);

const pointer = (...parts: readonly string[]): string =>
  parts.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
const validate = (place: readonly string[], value: unknown): void => {
  const check = ajv.getSchema(`api#${pointer(...place)}`) ?? ajv.compile({ $ref: `api#${pointer(...place)}` });
  expect([place.join(' '), check(value), check.errors]).toEqual([place.join(' '), true, null]);
};

const operations = routes.map((route) => {
  const path = route.url.replace(/:(\w+)/g, '{$1}');
  const method = route.method.toLowerCase();
  return {
    route,
    name: `${route.method} ${path}`,
    place: ['paths', path, method],
    operation: operationOf(path, method),
  };
});

describe('the OpenAPI document', () => {
  it('is valid by the schema of OpenAPI 3.1', async () => {
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document as object) as never)).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  it('has each operation once, with a unique operationId', () => {
    expect(operations.length).toBeGreaterThan(30);
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(document.info).toMatchObject({ title: 'Rekey', version: '1.2.3' });
  });

  it.each(operations)('describes $name', ({ route, place, operation }) => {
    expect(operation).toMatchObject({ summary: expect.stringMatching(/\S/), tags: [expect.stringMatching(/\S/)] });
    for (const parameter of operation.parameters)
      expect(parameter).toMatchObject({ name: expect.any(String), description: expect.stringMatching(/\S/) });
    const inPath = operation.parameters.filter((parameter) => parameter.in === 'path');
    expect(inPath.map(({ name }) => name)).toEqual([...route.url.matchAll(/:(\w+)/g)].map(([, name]) => name));
    expect(operation.security).toHaveLength(route.action === 'public' ? 0 : 1);
    expect(operation.requestBody !== undefined).toBe(route.body !== undefined);
    if (operation.requestBody) {
      const json = [...place, 'requestBody', 'content', 'application/json'];
      validate([...json, 'schema'], operation.requestBody.content['application/json']?.example);
    }
  });

  it.each(operations)('has a valid example of every response of $name', ({ place, operation }) => {
    const statuses = Object.keys(operation.responses);
    expect(statuses).toEqual(expect.arrayContaining(['400', '500']));
    for (const [status, answer] of Object.entries(operation.responses)) {
      expect(answer.description).toMatch(/\S/);
      expect(answer.content !== undefined).toBe(status !== '204');
      for (const [type, content] of Object.entries(answer.content ?? {})) {
        const examples =
          content.example === undefined ? Object.values(content.examples ?? {}) : [{ value: content.example }];
        expect(examples.length).toBeGreaterThan(0);
        for (const { value } of examples) validate([...place, 'responses', status, 'content', type, 'schema'], value);
      }
    }
  });

  it('lists the codes of every error response', () => {
    for (const { operation } of operations)
      for (const [status, answer] of Object.entries(operation.responses)) {
        const examples = answer.content?.['application/problem+json']?.examples ?? {};
        for (const [code, { value }] of Object.entries(examples)) {
          expect(value).toMatchObject({ code, status: Number(status) });
          if (status !== '412') expect(ERRORS[code as keyof typeof ERRORS].status).toBe(Number(status));
        }
      }
  });

  it('allows no undeclared field in a response', () => {
    const check = ajv.compile({
      $ref: `api#${pointer('paths', '/api/v1/domains/{domainId}', 'get', 'responses', '200', 'content', 'application/json', 'schema')}`,
    });
    const { example } =
      operationOf('/api/v1/domains/{domainId}', 'get').responses['200']?.content?.['application/json'] ?? {};
    expect(check(example)).toBe(true);
    expect(check({ ...(example as object), more: 1 })).toBe(false);
  });
});
