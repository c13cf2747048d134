import { applicationAsOf } from '@rekey/audit';
import {
  applicationAnswer,
  applicationAsOfAnswer,
  applicationPath,
  asOfQuery,
  domainPath,
  pageAnswer,
  pendingRegisteredAnswer,
  registerApplicationBody,
  registeredAnswer,
  searchQuery,
  updateBody,
} from '@rekey/contracts';
import { applicationIdOf, present } from '@rekey/domain';
import { permit, seal } from '@rekey/platform';
import { z } from 'zod';
import { APPLICATION, IDS, PENDING, RESOURCE_HEADERS, VALUE, WRITE_HEADERS } from '../examples';
import { route } from '../route';
import type { Services } from '../services';
import { answerWhenVisible, derivedId, withETag } from '../writes';

/** The description of a first secret that the request does not describe. */
const FIRST_SECRET = 'Default';
const FIRST = { id: IDS.secret, version: 1, description: FIRST_SECRET, secret: VALUE, hint: 'x7Qa' };

export const registerApplication = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/applications',
  summary: 'Register an application, optionally with a first secret',
  tag: 'Applications',
  action: 'application.write',
  params: domainPath,
  body: registerApplicationBody,
  writes: { ifMatch: false },
  answers: {
    201: {
      description: 'Registered. Store `firstSecret.secret` now; it cannot be shown again.',
      body: registeredAnswer,
      example: { ...APPLICATION, firstSecret: FIRST },
      headers: ['location', ...RESOURCE_HEADERS],
    },
    202: {
      ...PENDING,
      description: 'Accepted; not yet visible in every view. Store `firstSecret.secret` now; it cannot be shown again.',
      body: pendingRegisteredAnswer,
      example: {
        ...PENDING.example,
        id: IDS.application,
        domainId: 'acme',
        clientId: 'billing',
        firstSecret: FIRST,
      },
    },
  },
  errors: ['client_id_taken', 'domain_disabled', 'lifetime_out_of_bounds'],
  example: { clientId: 'billing', name: 'Billing', firstSecret: { description: FIRST_SECRET } },
  handle: async ({ params: { domainId }, body, ...context }, { writes, reads, commandKey }: Services) => {
    const { name, contacts, firstSecret } = body;
    const commandId = writes.commandId(context);
    const clientId = body.clientId ?? derivedId(commandId, 'client');
    const ids = { domainId, applicationId: applicationIdOf(domainId, clientId) };
    const first = firstSecret && {
      secretId: derivedId(commandId, 'secret'),
      description: firstSecret.description ?? FIRST_SECRET,
      ...(firstSecret.value !== undefined && { sealedValue: await seal(firstSecret.value, commandKey) }),
    };
    const data = { ...ids, clientId, name, ...(contacts && { contacts }), ...(first && { firstSecret: first }) };
    const sent = await writes.send(context, { type: 'RegisterApplication', data }, commandId);
    const { version = 1, hint, expiresAt } = sent.reply.result ?? {};
    const shown = first && {
      firstSecret: {
        id: first.secretId,
        version,
        description: first.description,
        ...(first.sealedValue === undefined && { secret: sent.value ?? null }),
        ...present({ hint, expiresAt }),
      },
    };
    const location = `/api/v1/domains/${domainId}/applications/${ids.applicationId}`;
    const more = { ...shown, ...(sent.reply.replayed && { replayed: true }) };
    const read = async () => withETag(await reads.application(ids), more, location);
    return answerWhenVisible(sent, 201, read, { id: ids.applicationId, domainId, clientId, ...shown });
  },
});

export const listApplications = route({
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
  handle: async ({ params, query }, { reads }: Services) => ({
    status: 200,
    body: await reads.applications(params.domainId, query),
  }),
});

export const showApplication = route({
  method: 'GET',
  url: '/api/v1/domains/:domainId/applications/:applicationId',
  summary: 'Show an application, now or as it was at an instant',
  tag: 'Applications',
  action: 'application.read',
  params: applicationPath,
  query: asOfQuery,
  views: ['domains', 'applications', 'secrets'],
  answers: {
    200: {
      description: 'The application. With `asOf`, its state at that instant; this needs the role `auditor`.',
      body: z.union([applicationAnswer, applicationAsOfAnswer]),
      example: APPLICATION,
      headers: ['etag'],
    },
  },
  errors: ['application_not_found'],
  handle: async ({ params, query, caller }, { reads, store, clock }: Services) => {
    if (query.asOf !== undefined) {
      permit(caller, 'history.read', params.domainId);
      return { status: 200, body: await applicationAsOf({ store, clock }, params, query.asOf) };
    }
    return { status: 200, ...withETag(await reads.application(params)) };
  },
});

export const updateApplication = route({
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
      headers: RESOURCE_HEADERS,
    },
    202: PENDING,
  },
  errors: ['application_not_found', 'revision_conflict'],
  example: { name: 'Billing (EU)' },
  handle: async ({ params, body, ...context }, { writes, reads }: Services) => {
    const sent = await writes.send(context, { type: 'UpdateApplication', data: { ...params, ...body } });
    return answerWhenVisible(sent, 200, async () => withETag(await reads.application(params)));
  },
});

export const deleteApplication = route({
  method: 'DELETE',
  url: '/api/v1/domains/:domainId/applications/:applicationId',
  summary: 'Delete an application; its client id can be registered again, with new secrets',
  tag: 'Applications',
  action: 'application.write',
  params: applicationPath,
  writes: { ifMatch: true },
  answers: {
    204: { description: 'Deleted. None of its secrets authenticates.', headers: WRITE_HEADERS },
    202: PENDING,
  },
  errors: ['application_not_found', 'revision_conflict'],
  handle: async ({ params, ...context }, { writes }: Services) =>
    answerWhenVisible(await writes.send(context, { type: 'DeleteApplication', data: params }), 204, () => ({})),
});
