import {
  RekeyError,
  createDomainBody,
  domainAnswer,
  domainPath,
  domainPolicyAnswer,
  domainPolicyBody,
  pageAnswer,
  previewQuery,
  searchQuery,
  updateBody,
} from '@rekey/contracts';
import { checkDomainPolicy, domainIdFromName } from '@rekey/domain';
import type { Clock } from '@rekey/ports';
import { AFFECTED, CHANGED, DOMAIN, PENDING, WRITTEN } from '../examples';
import type { Reads } from '../reads';
import { route, type Route } from '../route';
import { answered, tagged, type Sent, type Writes } from '../writes';

const ATTEMPTS_MAX = 50;

/** Domains and their policies. */
export const domainRoutes = (writes: Writes, reads: Reads, { clock }: { readonly clock: Clock }): Route[] => {
  const created = (sent: Sent, domainId: string) =>
    answered(sent, 201, { id: domainId }, async () =>
      tagged(await reads.domain(domainId), {}, `/api/v1/domains/${domainId}`),
    );
  return [
    route({
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
          headers: ['location', ...CHANGED],
        },
        202: PENDING,
      },
      errors: ['domain_taken'],
      example: { name: 'Acme', contacts: ['security@acme.example'] },
      handle: async ({ body, request, caller }) => {
        const { id, ...rest } = body;
        const commandId = writes.commandId(request, caller);
        if (id !== undefined) {
          const sent = await writes.send(request, caller, commandId, {
            type: 'CreateDomain',
            data: { domainId: id, ...rest },
          });
          return created(sent, id);
        }
        // A name that is taken gets a number behind it. Each attempt is a command of its own with an id that follows
        // from the first, so that a retry of the request walks the same way and ends at the same domain.
        for (let attempt = 1; ; attempt++) {
          const domainId = domainIdFromName(body.name, attempt);
          const attemptId = attempt === 1 ? commandId : writes.derivedId(commandId, `attempt-${attempt}`);
          try {
            const draft = { type: 'CreateDomain', data: { domainId, ...rest } } as const;
            return await created(await writes.send(request, caller, attemptId, draft), domainId);
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
      answers: {
        200: { description: 'A page of domains.', body: pageAnswer(domainAnswer), example: { items: [DOMAIN] } },
      },
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
      answers: {
        200: {
          description: 'The domain; its ETag is for If-Match.',
          body: domainAnswer,
          example: DOMAIN,
          headers: ['etag'],
        },
      },
      handle: async ({ params }) => ({ status: 200, ...tagged(await reads.domain(params.domainId)) }),
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
      answers: {
        200: { description: 'Changed.', body: domainAnswer, example: { ...DOMAIN, enabled: false }, headers: CHANGED },
        202: PENDING,
      },
      errors: ['revision_conflict'],
      example: { enabled: false },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'UpdateDomain', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, {}, async () => tagged(await reads.domain(params.domainId)));
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
      answers: { 204: { description: 'Deleted; nothing in it authenticates.', headers: WRITTEN }, 202: PENDING },
      errors: ['revision_conflict'],
      handle: async ({ params, request, caller }) => {
        const draft = { type: 'DeleteDomain', data: params } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 204, {}, () => ({ body: undefined }));
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
        200: {
          description: 'Set (or with preview=true: not); existing secrets that it would treat otherwise.',
          body: domainPolicyAnswer,
          example: { policy: EXAMPLE_POLICY, affected: AFFECTED },
          headers: CHANGED,
        },
        202: PENDING,
      },
      errors: ['lifetime_out_of_bounds', 'revision_conflict'],
      example: EXAMPLE_POLICY,
      handle: async ({ params, query, body, request, caller }) => {
        const { domainId } = params;
        if (query.preview) {
          await reads.domain(domainId);
          checkDomainPolicy(body, clock.now());
          return {
            status: 200,
            body: { policy: body, affected: await reads.affectedByDomainPolicy(domainId, body, query.after) },
          };
        }
        const draft = { type: 'ChangeDomainPolicy', data: { domainId, policy: body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, {}, async () => ({
          ...tagged(await reads.domain(domainId)),
          body: { policy: body, affected: await reads.affectedByDomainPolicy(domainId, body, query.after) },
        }));
      },
    }),
  ];
};

const EXAMPLE_POLICY = {
  expiry: { mode: 'after', after: { amount: 90, unit: 'days' } },
  maxLifetime: { amount: 1, unit: 'years' },
};
