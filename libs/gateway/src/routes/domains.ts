import {
  RekeyError,
  createDomainBody,
  domainAnswer,
  domainPath,
  domainPolicyBody,
  pageOf,
  policyAnswer,
  previewQuery,
  searchQuery,
  updateBody,
} from '@rekey/contracts';
import { domainIdFromName } from '@rekey/domain';
import type { Reads } from '../reads';
import { route, type Route } from '../route';
import { answered, etag, type Sent, type Writes } from '../writes';

const ATTEMPTS_MAX = 50;
const EXAMPLE = {
  id: 'acme', name: 'Acme', contacts: ['security@acme.example'], enabled: true, policy: {},
  createdAt: '2026-12-01T09:00:00.000Z', updatedAt: '2026-12-01T09:00:00.000Z', applications: 0,
}; // prettier-ignore

/** Domains and their policies. */
export const domainRoutes = (writes: Writes, reads: Reads): Route[] => {
  const shown = async (sent: Sent, domainId: string, status: number) => {
    if (!sent.visible) return answered(sent, status, { id: domainId });
    const { resource, revision } = await reads.domain(domainId);
    const location = status === 201 ? { location: `/api/v1/domains/${domainId}` } : {};
    return answered(sent, status, resource, { etag: etag(revision), ...location });
  };
  return [
    route({
      method: 'POST',
      url: '/api/v1/domains',
      summary: 'Create a domain',
      tag: 'Domains',
      action: 'domain.create',
      body: createDomainBody,
      writes: { ifMatch: false },
      answers: { 201: { description: 'Created.', body: domainAnswer }, 202: { description: 'Accepted; not visible yet.' } },
      errors: ['domain_taken'],
      examples: { request: { name: 'Acme', contacts: ['security@acme.example'] }, response: EXAMPLE },
      handle: async ({ body, request, caller }) => {
        const { id, ...rest } = body;
        const commandId = writes.commandId(request, caller);
        if (id !== undefined) {
          const sent = await writes.send(request, caller, commandId, { type: 'CreateDomain', data: { domainId: id, ...rest } });
          return shown(sent, id, 201);
        }
        // A name that is taken gets a number behind it. Each attempt is a command of its own with an id that follows
        // from the first, so that a retry of the request walks the same way and ends at the same domain.
        for (let attempt = 1; ; attempt++) {
          const domainId = domainIdFromName(body.name, attempt);
          const attemptId = attempt === 1 ? commandId : writes.derivedId(commandId, `attempt-${attempt}`);
          try {
            const draft = { type: 'CreateDomain', data: { domainId, ...rest } } as const;
            return await shown(await writes.send(request, caller, attemptId, draft), domainId, 201);
          } catch (error) {
            const taken = error instanceof RekeyError && error.code === 'domain_taken';
            if (!taken || attempt === ATTEMPTS_MAX) throw error;
          }
        }
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains',
      summary: 'List the domains that the caller may see',
      tag: 'Domains',
      action: 'domain.read',
      query: searchQuery,
      views: ['domains', 'applications'],
      answers: { 200: { description: 'A page of domains.', body: pageOf(domainAnswer) } },
      handle: async ({ query, caller }) => ({ status: 200, body: await reads.domains(caller, query) }),
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains/:domainId',
      summary: 'Show a domain',
      tag: 'Domains',
      action: 'domain.read',
      params: domainPath,
      views: ['domains', 'applications'],
      answers: { 200: { description: 'The domain; its ETag is for If-Match.', body: domainAnswer } },
      examples: { response: EXAMPLE },
      handle: async ({ params }) => {
        const { resource, revision } = await reads.domain(params.domainId);
        return { status: 200, body: resource, headers: { etag: etag(revision) } };
      },
    }),
    route({
      method: 'PATCH',
      url: '/api/v1/domains/:domainId',
      summary: 'Rename a domain, change its contacts, disable or enable it',
      tag: 'Domains',
      action: 'domain.update',
      params: domainPath,
      body: updateBody,
      writes: { ifMatch: true },
      answers: { 200: { description: 'Changed.', body: domainAnswer }, 202: { description: 'Accepted; not visible yet.' } },
      errors: ['revision_conflict'],
      examples: { request: { enabled: false } },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'UpdateDomain', data: { ...params, ...body } } as const;
        return shown(await writes.send(request, caller, writes.commandId(request, caller), draft), params.domainId, 200);
      },
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/domains/:domainId',
      summary: 'Delete a domain for good; its id is never used again',
      tag: 'Domains',
      action: 'domain.delete',
      params: domainPath,
      writes: { ifMatch: true },
      answers: { 204: { description: 'Deleted; nothing in it authenticates.' }, 202: { description: 'Accepted; not effective everywhere yet.' } },
      errors: ['revision_conflict'],
      handle: async ({ params, request, caller }) => {
        const draft = { type: 'DeleteDomain', data: params } as const;
        return answered(await writes.send(request, caller, writes.commandId(request, caller), draft), 204);
      },
    }),
    route({
      method: 'PUT',
      url: '/api/v1/domains/:domainId/policy',
      summary: "Set a domain's expiry rule and bounds, or preview what they would change",
      tag: 'Policies',
      action: 'policy.write',
      params: domainPath,
      query: previewQuery,
      body: domainPolicyBody,
      writes: { ifMatch: true },
      views: ['domains', 'applications', 'secrets'],
      answers: {
        200: { description: 'Set (or with preview=true: not); existing secrets that it would treat otherwise.', body: policyAnswer },
        202: { description: 'Accepted; not visible yet.' },
      },
      errors: ['lifetime_out_of_bounds', 'revision_conflict'],
      examples: {
        request: { expiry: { mode: 'after', after: { amount: 90, unit: 'days' } }, maxLifetime: { amount: 1, unit: 'years' } },
        response: { policy: { expiry: { mode: 'after', after: { amount: 90, unit: 'days' } } }, affected: { count: 0, items: [] } },
      },
      handle: async ({ params, query, body, request, caller }) => {
        const { domainId } = params;
        if (query.preview) {
          await reads.domain(domainId);
          return { status: 200, body: { policy: body, affected: await reads.affectedByDomainPolicy(domainId, body, query.after) } };
        }
        const draft = { type: 'ChangeDomainPolicy', data: { domainId, policy: body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        if (!sent.visible) return answered(sent, 200);
        const { revision } = await reads.domain(domainId);
        const affected = await reads.affectedByDomainPolicy(domainId, body, query.after);
        return answered(sent, 200, { policy: body, affected }, { etag: etag(revision) });
      },
    }),
  ]; // prettier-ignore
};
