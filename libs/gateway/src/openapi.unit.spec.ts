import { Validator } from '@seriousme/openapi-schema-validator';
import { ERRORS } from '@rekey/contracts';
import Ajv2020 from 'ajv/dist/2020';
import addFormats from 'ajv-formats';
import { gatewayRoutes } from './gateway';
import { openApiOf } from './openapi';
import type { GatewayOptions } from './services';

/** Routes are described without being asked, so what they work with need not be there. */
const routes = gatewayRoutes({ version: '1.2.3', forwardAuthFrom: [] } as unknown as GatewayOptions);
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the document is looked into at every depth
type Json = any;
const document: Json = openApiOf(routes, '1.2.3');

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
    operation: document.paths[path][method],
  };
});

describe('the OpenAPI document', () => {
  it('is one by the schema of OpenAPI 3.1', async () => {
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  it('has each operation once, under a name of its own', () => {
    expect(operations.length).toBeGreaterThan(30);
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(document.info).toMatchObject({ title: 'Rekey', version: '1.2.3' });
  });

  it.each(operations)('describes $name', ({ route, place, operation }) => {
    expect(operation).toMatchObject({ summary: expect.stringMatching(/\S/), tags: [expect.stringMatching(/\S/)] });
    const inPath = operation.parameters.filter((parameter: { in: string }) => parameter.in === 'path');
    expect(inPath.map(({ name }: { name: string }) => name)).toEqual(
      [...route.url.matchAll(/:(\w+)/g)].map(([, name]) => name),
    );
    expect(operation.security).toHaveLength(route.action === 'public' ? 0 : 1);
    expect(operation.requestBody !== undefined).toBe(route.body !== undefined);
    if (operation.requestBody) {
      const json = [...place, 'requestBody', 'content', 'application/json'];
      validate([...json, 'schema'], operation.requestBody.content['application/json'].example);
    }
  });

  it.each(operations)('has a valid example of every answer of $name', ({ place, operation }) => {
    const statuses = Object.keys(operation.responses);
    expect(statuses).toEqual(expect.arrayContaining(['400', '500']));
    for (const [status, answer] of Object.entries<Json>(operation.responses)) {
      expect(answer.description).toMatch(/\S/);
      expect(answer.content !== undefined).toBe(status !== '204');
      for (const [type, content] of Object.entries<Json>(answer.content ?? {})) {
        const examples =
          content.example === undefined ? Object.values<Json>(content.examples) : [{ value: content.example }];
        expect(examples.length).toBeGreaterThan(0);
        for (const { value } of examples) validate([...place, 'responses', status, 'content', type, 'schema'], value);
      }
    }
  });

  it('says of every refusal which codes it can hold', () => {
    for (const { operation } of operations)
      for (const [status, answer] of Object.entries<Json>(operation.responses)) {
        const examples = answer.content?.['application/problem+json']?.examples ?? {};
        for (const [code, { value }] of Object.entries<Json>(examples)) {
          expect(value).toMatchObject({ code, status: Number(status) });
          if (status !== '412') expect(ERRORS[code as keyof typeof ERRORS].status).toBe(Number(status));
        }
      }
  });

  it('lets nothing undeclared into an answer', () => {
    const check = ajv.compile({
      $ref: `api#${pointer('paths', '/api/v1/domains/{domainId}', 'get', 'responses', '200', 'content', 'application/json', 'schema')}`,
    });
    const { example } = document.paths['/api/v1/domains/{domainId}'].get.responses['200'].content['application/json'];
    expect(check(example)).toBe(true);
    expect(check({ ...example, more: 1 })).toBe(false);
  });
});
