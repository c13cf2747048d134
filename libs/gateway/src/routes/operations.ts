import { RekeyError, commandAnswer, commandPath, senderOf, healthAnswer } from '@rekey/contracts';
import type { Health, Metrics } from '@rekey/platform';
import type { Outcomes } from '@rekey/ports';
import { IDS, RECEIPT } from '../examples';
import { openApiOf } from '../openapi';
import { route, type Route } from '../route';
import { docsPage } from '../docs-page';
import { z } from 'zod';

export interface HealthRoutesOptions {
  readonly health: Pick<Health, 'check'>;
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>;
}

export interface OperationRoutesOptions extends HealthRoutesOptions {
  readonly outcomes: Pick<Outcomes, 'find'>;
  readonly version: string;
}

/** Health and metrics: what every service answers. */
export const healthRoutes = (options: HealthRoutesOptions): Route[] => [
  route({
    method: 'GET',
    url: '/health/live',
    summary: 'Whether the process lives',
    tag: 'Operations',
    action: 'public',
    answers: { 200: { description: 'It does.', body: healthAnswer, example: { status: 'live' } } },
    handle: () => Promise.resolve({ status: 200, body: { status: 'live' } }),
  }),
  route({
    method: 'GET',
    url: '/health/ready',
    summary: 'Whether it can do its work now, and what is missing',
    tag: 'Operations',
    action: 'public',
    answers: {
      200: {
        description: 'It can.',
        body: healthAnswer,
        example: { status: 'ready', probes: { 'view domains': { ready: true } } },
      },
      503: {
        description: 'It cannot: the probes say why.',
        body: healthAnswer,
        example: { status: 'not ready', probes: { 'view domains': { ready: false, cause: 'not built yet' } } },
      },
    },
    handle: async () => {
      const { ready, probes } = await options.health.check();
      return { status: ready ? 200 : 503, body: { status: ready ? 'ready' : 'not ready', probes } };
    },
  }),
  route({
    method: 'GET',
    url: '/metrics',
    summary: 'Metrics in the text format of Prometheus',
    tag: 'Operations',
    action: 'public',
    answers: { 200: { description: 'Metrics.', type: 'text/plain', example: '# TYPE rekey_checks_total counter\n' } },
    handle: async () => ({
      status: 200,
      body: await options.metrics.text(),
      headers: { 'content-type': options.metrics.contentType },
    }),
  }),
];

/** Outcomes of commands, health, metrics, and the description of all routes. */
export const operationRoutes = (options: OperationRoutesOptions, others: readonly Route[]): Route[] => {
  const routes: Route[] = [
    route({
      method: 'GET',
      url: '/api/v1/commands/:commandId',
      summary: 'What became of a command of your own; never holds a value',
      tag: 'Commands',
      action: 'command.read',
      params: commandPath,
      answers: {
        200: {
          description: 'Its first outcome.',
          body: commandAnswer,
          example: { id: IDS.command, status: 'accepted', revision: 3, position: RECEIPT.position },
          headers: ['rekey-position'],
        },
      },
      errors: ['not_found'],
      handle: async ({ params, caller }) => {
        const outcome = await options.outcomes.find(params.commandId);
        if (!outcome || outcome.caller !== senderOf(caller))
          throw new RekeyError('not_found', 'No command of yours with this id has an outcome yet.');
        const { id, status, revision, position, result, error } = outcome.reply;
        return {
          status: 200,
          body: { id, status, revision, position, result, error },
          headers: { 'rekey-position': position },
        };
      },
    }),
    ...healthRoutes(options),
    route({
      method: 'GET',
      url: '/openapi.json',
      summary: 'This description',
      tag: 'Operations',
      action: 'public',
      answers: {
        200: {
          description: 'An OpenAPI 3.1 document.',
          body: z.looseObject({ openapi: z.string() }),
          example: { openapi: '3.1.0' },
        },
      },
      handle: () => Promise.resolve({ status: 200, body: document }),
    }),
    route({
      method: 'GET',
      url: '/docs',
      summary: 'This description as a page',
      tag: 'Operations',
      action: 'public',
      answers: { 200: { description: 'A page.', type: 'text/html', example: '<!doctype html>' } },
      handle: () =>
        Promise.resolve({ status: 200, body: page, headers: { 'content-type': 'text/html; charset=utf-8' } }),
    }),
  ];
  const document = openApiOf([...others, ...routes], options.version);
  const page = docsPage([...others, ...routes], options.version);
  return routes;
};
