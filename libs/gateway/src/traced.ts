import { tellable, type ActiveSpan, type Tracing } from '@rekey/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { problemOf } from './problem';
import type { Answer, Route } from './route';

type AnswerOf = (request: FastifyRequest, reply: FastifyReply) => Promise<Answer | undefined>;

/**
 * Answers within a span, which goes on where the caller's `traceparent` left off. Told of are the route's pattern, the
 * method, the status and the code of a refusal: neither the path nor a header nor a body.
 */
export const traced = (tracing: Tracing, route: Route, answerOf: AnswerOf): AnswerOf => {
  // What nobody needs a token for is asked by probes, all the time.
  if (route.action === 'public') return answerOf;
  const name = `${route.method} ${route.url}`;
  return async (request, reply) => {
    const { traceparent } = request.headers;
    const attributes = {
      'http.request.method': request.method,
      'http.route': route.url,
      'rekey.correlation_id': tellable(request.id),
    };
    const parent = { traceparent: typeof traceparent === 'string' ? traceparent : undefined, foreign: true };
    const outcome = await tracing.within({ name, kind: 'server', attributes, parent }, async (span) => {
      try {
        const answer = await answerOf(request, reply);
        conclude(span, answer?.status ?? reply.statusCode, undefined);
        return { answer };
      } catch (error) {
        // Most are refusals; an error that passed through would make each a failure of ours.
        const { problem } = problemOf(error, request.id, request.headers['if-match'] !== undefined);
        conclude(span, problem.status, problem.code);
        return { error };
      }
    });
    if ('error' in outcome) throw outcome.error;
    return outcome.answer;
  };
};

const conclude = (span: ActiveSpan, status: number, code: string | undefined): void => {
  span.set({ 'http.response.status_code': status, 'rekey.code': code });
  if (status >= 500) span.fail(code ?? String(status));
};
