import {
  RekeyError,
  createDomainBody,
  domainAnswer,
  domainPath,
  pageAnswer,
  searchQuery,
  updateBody,
} from '@rekey/contracts';
import { domainIdFromName } from '@rekey/domain';
import { DOMAIN, PENDING, RESOURCE_HEADERS, WRITE_HEADERS } from '../examples';
import type { Reads } from '../reads';
import { route, type Answer } from '../route';
import type { Services } from '../services';
import { answerWhenVisible, derivedId, withETag, type Accepted } from '../writes';

/** How many ids are tried for a domain without one: `acme`, `acme-2`, … */
const ATTEMPTS_MAX = 50;

export const createDomain = route({
  method: 'POST',
  url: '/api/v1/domains',
  summary: 'Create a domain',
  tag: 'Domains',
  action: 'domain.create',
  body: createDomainBody,
  writes: { ifMatch: false },
  answers: {
    201: {
      description: 'Created.',
      body: domainAnswer,
      example: { ...DOMAIN, policy: {}, applications: 0 },
      headers: ['location', ...RESOURCE_HEADERS],
    },
    202: PENDING,
  },
  errors: ['domain_taken'],
  example: { name: 'Acme', contacts: ['security@acme.example'] },
  handle: async ({ body, ...context }, { writes, reads }: Services) => {
    const { id, ...rest } = body;
    const commandId = writes.commandId(context);
    const create = async (domainId: string, attemptId: string) => {
      const data = { domainId, ...rest };
      return answerCreated(reads, await writes.send(context, { type: 'CreateDomain', data }, attemptId), domainId);
    };
    if (id !== undefined) return create(id, commandId);
    // If the id made of the name is taken, a number is appended. The command id of each attempt derives from the first
    // one, so that a retry of the request makes the same attempts and ends at the same domain.
    for (let attempt = 1; ; attempt++)
      try {
        const attemptId = attempt === 1 ? commandId : derivedId(commandId, `attempt-${attempt}`);
        return await create(domainIdFromName(body.name, attempt), attemptId);
      } catch (error) {
        const isTaken = error instanceof RekeyError && error.code === 'domain_taken';
        if (!isTaken || attempt === ATTEMPTS_MAX) throw error;
      }
  },
});

const answerCreated = (reads: Reads, sent: Accepted, domainId: string): Promise<Answer> => {
  const read = async () => withETag(await reads.domain(domainId), {}, `/api/v1/domains/${domainId}`);
  return answerWhenVisible(sent, 201, read, { id: domainId });
};

export const listDomains = route({
  method: 'GET',
  url: '/api/v1/domains',
  summary: 'List the domains that the caller can see',
  tag: 'Domains',
  action: 'domain.read',
  query: searchQuery,
  views: ['domains', 'applications'],
  answers: { 200: { description: 'A page of domains.', body: pageAnswer(domainAnswer), example: { items: [DOMAIN] } } },
  handle: async ({ query, caller }, { reads }: Services) => ({
    status: 200,
    body: await reads.domains(caller, query),
  }),
});

export const showDomain = route({
  method: 'GET',
  url: '/api/v1/domains/:domainId',
  summary: 'Show a domain',
  tag: 'Domains',
  action: 'domain.read',
  params: domainPath,
  views: ['domains', 'applications'],
  answers: {
    200: {
      description: 'The domain. Send its ETag as `If-Match` to change it safely.',
      body: domainAnswer,
      example: DOMAIN,
      headers: ['etag'],
    },
  },
  handle: async ({ params }, { reads }: Services) => ({
    status: 200,
    ...withETag(await reads.domain(params.domainId)),
  }),
});

export const updateDomain = route({
  method: 'PATCH',
  url: '/api/v1/domains/:domainId',
  summary: 'Rename a domain, change its contacts, disable or enable it',
  tag: 'Domains',
  action: 'domain.update',
  params: domainPath,
  body: updateBody,
  writes: { ifMatch: true },
  answers: {
    200: {
      description: 'Changed.',
      body: domainAnswer,
      example: { ...DOMAIN, enabled: false },
      headers: RESOURCE_HEADERS,
    },
    202: PENDING,
  },
  errors: ['revision_conflict'],
  example: { enabled: false },
  handle: async ({ params, body, ...context }, { writes, reads }: Services) => {
    const sent = await writes.send(context, { type: 'UpdateDomain', data: { ...params, ...body } });
    return answerWhenVisible(sent, 200, async () => withETag(await reads.domain(params.domainId)));
  },
});

export const deleteDomain = route({
  method: 'DELETE',
  url: '/api/v1/domains/:domainId',
  summary: 'Delete a domain permanently; its id cannot be used again',
  tag: 'Domains',
  action: 'domain.delete',
  params: domainPath,
  writes: { ifMatch: true },
  answers: { 204: { description: 'Deleted. No secret in it authenticates.', headers: WRITE_HEADERS }, 202: PENDING },
  errors: ['revision_conflict'],
  handle: async ({ params, ...context }, { writes }: Services) =>
    answerWhenVisible(await writes.send(context, { type: 'DeleteDomain', data: params }), 204, () => ({})),
});
