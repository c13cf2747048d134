import { ERRORS, RekeyError, type ErrorCode } from '@rekey/contracts';
import { DomainError } from '@rekey/domain';
import { EngineUnavailable } from '@rekey/ports';
import { problemAnswer, problemOf } from './problem';

const ID = 'c0ffee';

describe('problem documents', () => {
  it.each(Object.entries(ERRORS))('have the code, title and status of %s', (code, { status, title }) => {
    const { problem } = problemOf(new RekeyError(code as ErrorCode, 'What is wrong.', { field: 'name' }), ID);
    expect(problem).toEqual({
      type: `urn:rekey:error:${code}`,
      title,
      status,
      code,
      detail: 'What is wrong.',
      correlationId: ID,
      field: 'name',
    });
  });

  it('do not show an unexpected error', () => {
    const secretive = new Error('password=hunter2 at db.internal');
    for (const thrown of [secretive, 'text', undefined, null, { code: 'ECONNREFUSED' }, { code: '__proto__' }]) {
      const { problem } = problemOf(thrown, ID);
      expect(problem).toMatchObject({ status: 500, code: 'internal' });
      expect(JSON.stringify(problem)).not.toMatch(/hunter2|internal\.|ECONNREFUSED|__proto__/);
    }
  });

  it('do not let details replace standard members', () => {
    const { problem } = problemOf(new RekeyError('forbidden', 'No.', { status: 200, code: 'fine', detail: 'x' }), ID);
    expect(problem).toMatchObject({ status: 403, code: 'forbidden', detail: 'No.' });
  });

  it('have status 412 for a revision conflict if the request had If-Match', () => {
    const conflict = new DomainError('revision_conflict', 'Changed.', { revision: 4 });
    expect(problemOf(conflict, ID).problem).toMatchObject({ status: 409, revision: 4 });
    expect(problemOf(conflict, ID, true).problem).toMatchObject({ status: 412, revision: 4 });
    expect(problemOf(new RekeyError('client_id_taken', 'Taken.'), ID, true).problem.status).toBe(409);
  });

  it('come with Retry-After and WWW-Authenticate', () => {
    expect(problemOf(new EngineUnavailable('event store'), ID)).toMatchObject({
      problem: { status: 503, code: 'unavailable' },
      headers: { 'retry-after': '1' },
    });
    const limited = problemOf(new RekeyError('rate_limited', 'Slow down.', { retryAfterSeconds: 17 }), ID);
    expect(limited.headers).toEqual({ 'retry-after': '17' });
    expect(limited.problem).not.toHaveProperty('retryAfterSeconds');
    expect(problemOf(new RekeyError('unauthenticated', 'Who?'), ID).headers).toEqual({ 'www-authenticate': 'Bearer' });
  });

  it('map the errors of Fastify to codes', () => {
    const thrown = (code: string, statusCode: number) => Object.assign(new Error('inner text'), { code, statusCode });
    expect(problemOf(thrown('FST_ERR_CTP_BODY_TOO_LARGE', 413), ID).problem.code).toBe('payload_too_large');
    expect(problemOf(thrown('FST_ERR_CTP_INVALID_MEDIA_TYPE', 415), ID).problem.code).toBe('unsupported_media_type');
    expect(problemOf(thrown('FST_ERR_SOMETHING_NEW', 400), ID).problem.code).toBe('invalid_request');
    expect(problemOf(thrown('FST_ERR_SOMETHING_NEW', 500), ID).problem.code).toBe('internal');
  });

  it('must not be cached', () => {
    const answer = problemAnswer(new RekeyError('invalid_client_credentials', 'Not valid.'), ID);
    expect(answer).toMatchObject({
      status: 401,
      body: { code: 'invalid_client_credentials' },
      headers: { 'cache-control': 'no-store', 'content-type': 'application/problem+json; charset=utf-8' },
    });
  });
});
