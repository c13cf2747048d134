import { RekeyError, commandAnswer, commandPath, healthAnswer, senderOf } from '@rekey/contracts';
import type { Health, Metrics } from '@rekey/platform';
import { z } from 'zod';
import { IDS, RECEIPT } from '../examples';
import { bindRoutes, route, type Route } from '../route';
import type { Services } from '../services';

export interface HealthServices {
  readonly health: Pick<Health, 'check'>;
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>;
}

const live = route({
  method: 'GET',
  url: '/health/live',
  summary: 'Liveness: whether the process is running',
  tag: 'Operations',
  action: 'public',
  answers: { 200: { description: 'Running.', body: healthAnswer, example: { status: 'live' } } },
  handle: () => Promise.resolve({ status: 200, body: { status: 'live' } }),
});

const ready = route({
  method: 'GET',
  url: '/health/ready',
  summary: 'Readiness: whether the process can serve requests, and what is missing',
  tag: 'Operations',
  action: 'public',
  answers: {
    200: {
      description: 'Ready.',
      body: healthAnswer,
      example: { status: 'ready', probes: { 'view domains': { ready: true } } },
    },
    503: {
      description: 'Not ready; the failed probes give the cause.',
      body: healthAnswer,
      example: { status: 'not ready', probes: { 'view domains': { ready: false, cause: 'not built yet' } } },
    },
  },
  handle: async (_context, { health }: HealthServices) => {
    const result = await health.check();
    const status = result.ready ? 'ready' : 'not ready';
    return { status: result.ready ? 200 : 503, body: { status, probes: result.probes } };
  },
});

const metricsText = route({
  method: 'GET',
  url: '/metrics',
  summary: 'Metrics in the Prometheus text format',
  tag: 'Operations',
  action: 'public',
  answers: { 200: { description: 'Metrics.', type: 'text/plain', example: '# TYPE rekey_checks_total counter\n' } },
  handle: async (_context, { metrics }: HealthServices) => ({
    status: 200,
    body: await metrics.text(),
    headers: { 'content-type': metrics.contentType },
  }),
});

/** Health and metrics, which every process serves. */
export const HEALTH_ROUTES = [live, ready, metricsText];

/** Returns the routes of a process without a gateway. */
export const healthRoutes = (services: HealthServices): Route[] => bindRoutes<HealthServices>(HEALTH_ROUTES, services);

export const showCommand = route({
  method: 'GET',
  url: '/api/v1/commands/:commandId',
  summary: 'Show the outcome of a command that the caller sent, without secret values',
  tag: 'Commands',
  action: 'command.read',
  params: commandPath,
  answers: {
    200: {
      description: 'The outcome.',
      body: commandAnswer,
      example: { id: IDS.command, status: 'accepted', revision: 3, position: RECEIPT.position },
      headers: ['rekey-position'],
    },
  },
  errors: ['not_found'],
  handle: async ({ params, caller }, { outcomes }: Services) => {
    const outcome = await outcomes.find(params.commandId);
    if (!outcome || outcome.caller !== senderOf(caller))
      throw new RekeyError('not_found', `You sent no command ${params.commandId}, or it has no outcome yet.`);
    const { id, status, revision, position, result, error } = outcome.reply;
    return {
      status: 200,
      body: { id, status, revision, position, result, error },
      headers: { 'rekey-position': position },
    };
  },
});

export const showOpenApi = route({
  method: 'GET',
  url: '/openapi.json',
  summary: 'This API as an OpenAPI document',
  tag: 'Operations',
  action: 'public',
  answers: {
    200: {
      description: 'An OpenAPI 3.1 document.',
      body: z.looseObject({ openapi: z.string() }),
      example: { openapi: '3.1.0' },
    },
  },
  handle: (_context, { openApi }: Services) => Promise.resolve({ status: 200, body: openApi }),
});

export const showDocs = route({
  method: 'GET',
  url: '/docs',
  summary: 'This API as an HTML page',
  tag: 'Operations',
  action: 'public',
  answers: { 200: { description: 'An HTML page.', type: 'text/html', example: '<!doctype html>' } },
  handle: (_context, { docsPage }: Services) =>
    Promise.resolve({ status: 200, body: docsPage, headers: { 'content-type': 'text/html; charset=utf-8' } }),
});
