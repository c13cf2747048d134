import { exportHistory, readHistory, verifyHistory } from '@rekey/audit';
import {
  RekeyError,
  applicationHistoryQuery,
  applicationPath,
  historyEventAnswer,
  historyQuery,
  pageAnswer,
  verifyAnswer,
  verifyBody,
} from '@rekey/contracts';
import { applicationStream } from '@rekey/domain';
import { Readable } from 'node:stream';
import type { z } from 'zod';
import { HISTORY } from '../examples';
import { prefers } from '../formats';
import { route, type Answer, type RouteContext } from '../route';
import type { Services } from '../services';

const NDJSON = 'application/x-ndjson';
const VARY = { vary: 'Accept' };
const PAGE = {
  200: {
    description: 'A page of events in their order, or all of them as a stream.',
    body: pageAnswer(historyEventAnswer),
    example: HISTORY,
    others: { [NDJSON]: `${JSON.stringify(HISTORY.items[0])}\n` },
  },
};

export const listHistory = route({
  method: 'GET',
  url: '/api/v1/history',
  summary: 'List every event, without verifiers: pages of JSON, or a stream of all with `Accept: application/x-ndjson`',
  tag: 'History',
  action: 'history.read',
  query: historyQuery,
  answers: PAGE,
  handle: async ({ query, ...context }, services: Services) => answer(query, context, services),
});

export const listApplicationHistory = route({
  method: 'GET',
  url: '/api/v1/domains/:domainId/applications/:applicationId/history',
  summary: 'List the events of one application, including those from before it was deleted and registered again',
  tag: 'History',
  action: 'history.read',
  params: applicationPath,
  query: applicationHistoryQuery,
  answers: PAGE,
  errors: ['application_not_found'],
  handle: async ({ params, query, ...context }, services: Services) => {
    const stream = applicationStream(params.applicationId);
    const [first] = await services.store.readStream(stream, 0, 1);
    if (first?.data['domainId'] !== params.domainId)
      throw new RekeyError(
        'application_not_found',
        `There has never been an application ${params.applicationId} in ${params.domainId}.`,
      );
    return answer({ ...query, stream }, context, services);
  },
});

export const verifyChains = route({
  method: 'POST',
  url: '/api/v1/history/verify',
  summary: 'Verify the hash chain of every stream, or of one',
  tag: 'History',
  action: 'history.verify',
  body: verifyBody,
  bodyOptional: true,
  answers: {
    200: {
      description: 'How much was verified, and where a chain is broken.',
      body: verifyAnswer,
      example: { streams: 12, events: 340, broken: [] },
    },
  },
  example: { stream: 'domain-acme' },
  handle: async ({ body, caller }, { store }: Services) => ({
    status: 200,
    body: await verifyHistory(store, { stream: body.stream, domains: caller.domains }),
  }),
});

type HistoryQuery = Omit<z.infer<typeof historyQuery>, 'stream'> & { readonly stream?: string | undefined };

/** Answers a page of events, or a stream of all of them if the caller prefers NDJSON. */
const answer = async (
  { after, limit, ...query }: HistoryQuery,
  { request, caller }: Pick<RouteContext, 'request' | 'caller'>,
  { store, signal }: Services,
): Promise<Answer> => {
  const filter = { ...query, domains: caller.domains };
  if (!prefers(request.headers.accept, NDJSON))
    return { status: 200, body: await readHistory(store, filter, { after, limit }), headers: VARY };
  if (after !== undefined)
    throw new RekeyError('invalid_request', 'A stream has no pages: use `from` instead of `after`.', {
      field: 'after',
    });
  const body = Readable.from(exportHistory(store, filter, signal));
  return { status: 200, body, headers: { ...VARY, 'content-type': `${NDJSON}; charset=utf-8` } };
};
