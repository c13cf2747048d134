import { applicationAsOf } from '@rekey/audit';
import {
  applicationAnswer,
  applicationAsOfAnswer,
  applicationPath,
  applicationPolicyAnswer,
  applicationPolicyBody,
  asOfQuery,
  domainPath,
  pageAnswer,
  pendingRegisteredAnswer,
  previewQuery,
  registerApplicationBody,
  registeredAnswer,
  searchQuery,
  updateBody,
} from '@rekey/contracts';
import { applicationIdOf, checkApplicationPolicy } from '@rekey/domain';
import { permit, seal } from '@rekey/platform';
import type { Clock, EventStore } from '@rekey/ports';
import type { JWK } from 'jose';
import { z } from 'zod';
import { AFFECTED, APPLICATION, CHANGED, IDS, PENDING, VALUE, WRITTEN } from '../examples';
import type { Reads } from '../reads';
import { route, type Route } from '../route';
import { answered, tagged, type Writes } from '../writes';

/** What a first secret is called where nobody names it. */
const FIRST_SECRET = 'Default';
const FIRST = { id: IDS.secret, version: 1, description: FIRST_SECRET, secret: VALUE, hint: 'x7Qa' };
const POLICY = { expiry: { mode: 'after', after: { amount: 3, unit: 'months' } } };

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
        201: {
          description: 'Registered; the value of the first secret is here and nowhere else.',
          body: registeredAnswer,
          example: { ...APPLICATION, firstSecret: FIRST },
          headers: ['location', ...CHANGED],
        },
        202: {
          ...PENDING,
          body: pendingRegisteredAnswer,
          example: {
            ...(PENDING.example as object),
            id: IDS.application,
            domainId: 'acme',
            clientId: 'billing',
            firstSecret: FIRST,
          },
        },
      },
      errors: ['client_id_taken', 'domain_disabled', 'lifetime_out_of_bounds'],
      example: { clientId: 'billing', name: 'Billing', firstSecret: { description: FIRST_SECRET } },
      handle: async ({ params, body, request, caller }) => {
        const { domainId } = params;
        const commandId = writes.commandId(request, caller);
        const clientId = body.clientId ?? writes.derivedId(commandId, 'client');
        const applicationId = applicationIdOf(domainId, clientId);
        const { firstSecret } = body;
        const secretId = writes.derivedId(commandId, 'secret');
        const description = firstSecret?.description ?? FIRST_SECRET;
        const data = {
          domainId,
          applicationId,
          clientId,
          name: body.name,
          ...(body.contacts && { contacts: body.contacts }),
          ...(firstSecret && {
            firstSecret: {
              secretId,
              description,
              ...(firstSecret.value !== undefined && { sealedValue: await seal(firstSecret.value, commandKey) }),
            },
          }),
        };
        const sent = await writes.send(request, caller, commandId, { type: 'RegisterApplication', data });
        const { version, hint, expiresAt } = sent.reply.result ?? {};
        const first = firstSecret && {
          firstSecret: {
            id: secretId,
            version: version ?? 1,
            description,
            ...(firstSecret.value === undefined && { secret: sent.value ?? null }),
            ...(hint !== undefined && { hint }),
            ...(expiresAt !== undefined && { expiresAt }),
          },
        };
        const location = `/api/v1/domains/${domainId}/applications/${applicationId}`;
        const more = { ...first, ...(sent.reply.replayed && { replayed: true }) };
        return answered(sent, 201, { id: applicationId, domainId, clientId, ...first }, async () =>
          tagged(await reads.application(domainId, applicationId), more, location),
        );
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
      answers: {
        200: {
          description: 'A page of applications.',
          body: pageAnswer(applicationAnswer),
          example: { items: [APPLICATION] },
        },
      },
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
      answers: {
        200: {
          description: 'The application; with asOf its state replayed to that instant, which needs the role auditor.',
          body: z.union([applicationAnswer, applicationAsOfAnswer]),
          example: APPLICATION,
          headers: ['etag'],
        },
      },
      errors: ['application_not_found'],
      handle: async ({ params, query, caller }) => {
        const { domainId, applicationId } = params;
        if (query.asOf !== undefined) {
          permit(caller, 'history.read', domainId);
          return { status: 200, body: await applicationAsOf(history, params, query.asOf) };
        }
        return { status: 200, ...tagged(await reads.application(domainId, applicationId)) };
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
      answers: {
        200: {
          description: 'Changed.',
          body: applicationAnswer,
          example: { ...APPLICATION, name: 'Billing (EU)' },
          headers: CHANGED,
        },
        202: PENDING,
      },
      errors: ['application_not_found', 'revision_conflict'],
      example: { name: 'Billing (EU)' },
      handle: async ({ params, body, request, caller }) => {
        const { domainId, applicationId } = params;
        const draft = { type: 'UpdateApplication', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, {}, async () => tagged(await reads.application(domainId, applicationId)));
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
      answers: { 204: { description: 'Deleted; none of its secrets authenticates.', headers: WRITTEN }, 202: PENDING },
      errors: ['application_not_found', 'revision_conflict'],
      handle: async ({ params, request, caller }) => {
        const draft = { type: 'DeleteApplication', data: params } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 204, {}, () => ({ body: undefined }));
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
        200: {
          description: 'Set (or with preview=true: not); existing secrets that it would treat otherwise.',
          body: applicationPolicyAnswer,
          example: { policy: POLICY, affected: AFFECTED },
          headers: CHANGED,
        },
        202: PENDING,
      },
      errors: ['application_not_found', 'lifetime_out_of_bounds', 'revision_conflict'],
      example: POLICY,
      handle: async ({ params, query, body, request, caller }) => {
        const { domainId, applicationId } = params;
        const affected = () => reads.affectedByApplicationPolicy(domainId, applicationId, body.expiry, query.after);
        if (query.preview) {
          const [domain] = await Promise.all([reads.domain(domainId), reads.application(domainId, applicationId)]);
          checkApplicationPolicy(body.expiry, domain.resource.policy, history.clock.now());
          return { status: 200, body: { policy: body, affected: await affected() } };
        }
        const draft = { type: 'ChangeApplicationPolicy', data: { ...params, policy: body.expiry } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, {}, async () => ({
          ...tagged(await reads.application(domainId, applicationId)),
          body: { policy: body, affected: await affected() },
        }));
      },
    }),
  ];
};
