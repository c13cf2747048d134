import { applicationAsOf } from '@rekey/audit';
import {
  applicationAnswer,
  applicationPath,
  applicationPolicyBody,
  asOfQuery,
  domainPath,
  pageOf,
  policyAnswer,
  previewQuery,
  registerApplicationBody,
  registeredAnswer,
  searchQuery,
  updateBody,
} from '@rekey/contracts';
import { applicationIdOf } from '@rekey/domain';
import { permit, seal } from '@rekey/platform';
import type { Clock, EventStore } from '@rekey/ports';
import type { JWK } from 'jose';
import type { Reads } from '../reads';
import { route, type Route } from '../route';
import { answered, etag, type Sent, type Writes } from '../writes';

/** What a first secret is called where nobody names it. */
const FIRST_SECRET = 'Default';
const EXAMPLE = {
  id: '5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10', domainId: 'acme', clientId: 'billing', name: 'Billing', contacts: [], enabled: true,
  policy: { expiry: { mode: 'inherit' } }, createdAt: '2026-12-01T09:00:00.000Z', updatedAt: '2026-12-01T09:00:00.000Z', secrets: 0,
}; // prettier-ignore

export interface ApplicationRoutesOptions {
  /** The command-service's public key, for values that callers bring. */
  readonly commandKey: JWK;
  readonly store: EventStore;
  readonly clock: Clock;
}

/** Applications and their policies. */
export const applicationRoutes = (
  writes: Writes,
  reads: Reads,
  { commandKey, ...history }: ApplicationRoutesOptions,
): Route[] => {
  const shown = async (sent: Sent, params: { domainId: string; applicationId: string }) => {
    if (!sent.visible) return answered(sent, 200, { id: params.applicationId });
    const { resource, revision } = await reads.application(params.domainId, params.applicationId);
    return answered(sent, 200, resource, { etag: etag(revision) });
  };
  return [
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/applications',
      summary: 'Register an application, with a first secret where one is asked for',
      tag: 'Applications',
      action: 'application.write',
      params: domainPath,
      body: registerApplicationBody,
      writes: { ifMatch: false },
      answers: {
        201: { description: 'Registered; the value of the first secret is here and nowhere else.', body: registeredAnswer },
        202: { description: 'Accepted; not visible yet.' },
      },
      errors: ['client_id_taken', 'domain_disabled'],
      examples: { request: { clientId: 'billing', name: 'Billing' }, response: EXAMPLE },
      handle: async ({ params, body, request, caller }) => {
        const { domainId } = params;
        const commandId = writes.commandId(request, caller);
        const clientId = body.clientId ?? writes.derivedId(commandId, 'client');
        const applicationId = applicationIdOf(domainId, clientId);
        const { firstSecret } = body;
        const secretId = writes.derivedId(commandId, 'secret');
        const description = firstSecret?.description ?? FIRST_SECRET;
        const data = {
          domainId, applicationId, clientId, name: body.name,
          ...(body.contacts && { contacts: body.contacts }),
          ...(firstSecret && {
            firstSecret: {
              secretId, description,
              ...(firstSecret.value !== undefined && { sealedValue: await seal(firstSecret.value, commandKey) }),
            },
          }),
        };
        const makes = firstSecret !== undefined && firstSecret.value === undefined;
        const sent = await writes.send(request, caller, commandId, { type: 'RegisterApplication', data }, makes);
        const { version, hint, expiresAt } = sent.reply.result ?? {};
        const first = firstSecret && {
          firstSecret: {
            id: secretId, version: version ?? 1, description,
            ...(makes && { secret: sent.value ?? null }),
            ...(hint !== undefined && { hint }),
            ...(expiresAt !== undefined && { expiresAt }),
          },
        };
        const more = { ...first, ...(sent.reply.replayed && { replayed: true }) };
        if (!sent.visible) return answered(sent, 201, { id: applicationId, domainId, clientId, ...more });
        const { resource, revision } = await reads.application(domainId, applicationId);
        const location = `/api/v1/domains/${domainId}/applications/${applicationId}`;
        return answered(sent, 201, { ...resource, ...more }, { etag: etag(revision), location });
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains/:domainId/applications',
      summary: "List a domain's applications",
      tag: 'Applications',
      action: 'application.read',
      params: domainPath,
      query: searchQuery,
      views: ['domains', 'applications', 'secrets'],
      answers: { 200: { description: 'A page of applications.', body: pageOf(applicationAnswer) } },
      handle: async ({ params, query }) => ({ status: 200, body: await reads.applications(params.domainId, query) }),
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains/:domainId/applications/:applicationId',
      summary: 'Show an application, today or as it was at an instant',
      tag: 'Applications',
      action: 'application.read',
      params: applicationPath,
      query: asOfQuery,
      views: ['domains', 'applications', 'secrets'],
      answers: { 200: { description: 'The application; with asOf its state replayed to that instant.', body: applicationAnswer } },
      errors: ['application_not_found', 'forbidden'],
      examples: { response: EXAMPLE },
      handle: async ({ params, query, caller }) => {
        const { domainId, applicationId } = params;
        if (query.asOf !== undefined) {
          permit(caller, 'history.read', domainId);
          return { status: 200, body: await applicationAsOf(history, params, query.asOf) };
        }
        const { resource, revision } = await reads.application(domainId, applicationId);
        return { status: 200, body: resource, headers: { etag: etag(revision) } };
      },
    }),
    route({
      method: 'PATCH',
      url: '/api/v1/domains/:domainId/applications/:applicationId',
      summary: 'Rename an application, change its contacts, disable or enable it',
      tag: 'Applications',
      action: 'application.write',
      params: applicationPath,
      body: updateBody,
      writes: { ifMatch: true },
      answers: { 200: { description: 'Changed.', body: applicationAnswer }, 202: { description: 'Accepted; not effective everywhere yet.' } },
      errors: ['application_not_found', 'revision_conflict'],
      examples: { request: { name: 'Billing (EU)' } },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'UpdateApplication', data: { ...params, ...body } } as const;
        return shown(await writes.send(request, caller, writes.commandId(request, caller), draft), params);
      },
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/domains/:domainId/applications/:applicationId',
      summary: 'Delete an application; its client id may be registered again as a new life',
      tag: 'Applications',
      action: 'application.write',
      params: applicationPath,
      writes: { ifMatch: true },
      answers: { 204: { description: 'Deleted; none of its secrets authenticates.' }, 202: { description: 'Accepted; not effective everywhere yet.' } },
      errors: ['application_not_found', 'revision_conflict'],
      handle: async ({ params, request, caller }) => {
        const draft = { type: 'DeleteApplication', data: params } as const;
        return answered(await writes.send(request, caller, writes.commandId(request, caller), draft), 204);
      },
    }),
    route({
      method: 'PUT',
      url: '/api/v1/domains/:domainId/applications/:applicationId/policy',
      summary: "Set an application's own expiry rule, or preview what it would change",
      tag: 'Policies',
      action: 'policy.write',
      params: applicationPath,
      query: previewQuery,
      body: applicationPolicyBody,
      writes: { ifMatch: true },
      views: ['domains', 'applications', 'secrets'],
      answers: {
        200: { description: 'Set (or with preview=true: not); existing secrets that it would treat otherwise.', body: policyAnswer },
        202: { description: 'Accepted; not visible yet.' },
      },
      errors: ['application_not_found', 'lifetime_out_of_bounds', 'revision_conflict'],
      examples: { request: { expiry: { mode: 'after', after: { amount: 3, unit: 'months' } } } },
      handle: async ({ params, query, body, request, caller }) => {
        const { domainId, applicationId } = params;
        if (query.preview) {
          await reads.application(domainId, applicationId);
          const affected = await reads.affectedByApplicationPolicy(domainId, applicationId, body.expiry, query.after);
          return { status: 200, body: { policy: body, affected } };
        }
        const draft = { type: 'ChangeApplicationPolicy', data: { ...params, policy: body.expiry } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        if (!sent.visible) return answered(sent, 200);
        const { revision } = await reads.application(domainId, applicationId);
        const affected = await reads.affectedByApplicationPolicy(domainId, applicationId, body.expiry, query.after);
        return answered(sent, 200, { policy: body, affected }, { etag: etag(revision) });
      },
    }),
  ]; // prettier-ignore
};
