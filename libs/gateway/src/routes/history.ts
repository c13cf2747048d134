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
  type Caller,
} from '@rekey/contracts';
import { applicationStream } from '@rekey/domain';
import type { EventStore } from '@rekey/ports';
import type { FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import type { z } from 'zod';
import { prefers } from '../accept';
import { HISTORY } from '../examples';
import { route, type Answer, type Route } from '../route';

export interface HistoryRoutesOptions {
  readonly store: EventStore;
  /** Ends exports when the gateway closes. */
  readonly signal: AbortSignal;
}

const NDJSON = 'application/x-ndjson';
const VARY = { vary: 'Accept' };
const PAGE = {
  200: {
    description: 'A page of events in their order.',
    body: pageAnswer(historyEventAnswer),
    example: HISTORY,
    others: { [NDJSON]: `${JSON.stringify(HISTORY.items[0])}\n` },
  },
};
/** What happened: pages, streams of any length, and the proof that nothing was altered. */
export const historyRoutes = ({ store, signal }: HistoryRoutesOptions): Route[] => {
  type Wanted = Omit<z.infer<typeof historyQuery>, 'stream'> & { readonly stream?: string | undefined };

  const answer = async (
    caller: Caller,
    { after, limit, ...wanted }: Wanted,
    request: FastifyRequest,
  ): Promise<Answer> => {
    const filter = { ...wanted, domains: caller.domains };
    if (!prefers(request.headers.accept, NDJSON))
      return { status: 200, body: await readHistory(store, filter, { after, limit }), headers: VARY };
    if (after !== undefined)
      throw new RekeyError('invalid_request', 'A stream begins at the first event; use from.', { field: 'after' });
    const body = Readable.from(exportHistory(store, filter, signal));
    return { status: 200, body, headers: { ...VARY, 'content-type': `${NDJSON}; charset=utf-8` } };
  };

  return [
    route({
      method: 'GET',
      url: '/api/v1/history',
      summary:
        'Everything that happened, verifiers removed: pages of JSON, or a stream by Accept: application/x-ndjson',
      tag: 'History',
      action: 'history.read',
      query: historyQuery,
      answers: PAGE,
      handle: ({ query, caller, request }) => answer(caller, query, request),
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains/:domainId/applications/:applicationId/history',
      summary: 'What happened to one application, all its lives',
      tag: 'History',
      action: 'history.read',
      params: applicationPath,
      query: applicationHistoryQuery,
      answers: PAGE,
      errors: ['application_not_found'],
      handle: async ({ params, query, caller, request }) => {
        const stream = applicationStream(params.applicationId);
        const [first] = await store.readStream(stream, 0, 1);
        if (first?.data['domainId'] !== params.domainId)
          throw new RekeyError('application_not_found', 'There never was such an application in this domain.');
        return answer(caller, { ...query, stream }, request);
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/history/verify',
      summary: 'Walk the hash chains of all streams, or of one',
      tag: 'History',
      action: 'history.verify',
      body: verifyBody,
      bodyOptional: true,
      answers: {
        200: {
          description: 'What was walked, and where a chain is broken.',
          body: verifyAnswer,
          example: { streams: 12, events: 340, broken: [] },
        },
      },
      example: { stream: 'domain-acme' },
      handle: async ({ body, caller }) => ({
        status: 200,
        body: await verifyHistory(store, { stream: body.stream, domains: caller.domains }),
      }),
    }),
  ];
};
