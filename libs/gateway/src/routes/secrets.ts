import {
  addSecretBody,
  applicationPath,
  inventoryQuery,
  pageOf,
  pageQuery,
  receiptAnswer,
  renewSecretBody,
  resumeSecretBody,
  revokeSecretBody,
  secretAnswer,
  secretPath,
  secretWithValueAnswer,
  suspendSecretBody,
  updateSecretBody,
} from '@rekey/contracts';
import type { Reads } from '../reads';
import { route, type Answer, type Route } from '../route';
import { answered, etag, receipt, type Sent, type Writes } from '../writes';
import { csvOf } from '../csv';

type OfSecret = { domainId: string; applicationId: string; secretId: string };

const EXAMPLE = {
  id: '0a8f1f0e-3b0e-5d3c-8f5e-1f2f3f4f5f6f', applicationId: '5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10', domainId: 'acme', clientId: 'billing',
  applicationName: 'Billing', version: 1, description: 'CI', status: 'active', hint: 'x7Qa', createdAt: '2026-12-01T09:00:00.000Z',
  createdBy: { type: 'token', id: 'admin' }, expiresAt: '2027-03-01T09:00:00.000Z', expirySource: 'domain', allowedCidrs: [],
}; // prettier-ignore
const EFFECTIVE = { description: 'Effective for every check received from now on.', body: receiptAnswer };
const PENDING = { description: 'Accepted; not effective everywhere yet: poll the location.' };

/** Secrets: adding, renewing, ending, listing. Only the answers of add and renew ever hold a value. */
export const secretRoutes = (writes: Writes, reads: Reads): Route[] => {
  /** The answer to a command that made a value: the value once, and all else that is known of the secret. */
  const withValue = async (sent: Sent, params: OfSecret, status: number): Promise<Answer> => {
    const {
      sealedSecret: _sealed,
      effective: _effective,
      effectiveAt: _at,
      secretId,
      ...made
    } = sent.reply.result ?? {};
    const value = { secret: sent.value ?? null, ...(sent.reply.replayed && { replayed: true }) };
    if (!sent.visible) return answered(sent, status, { id: secretId, ...made, ...value });
    const { resource, revision } = await reads.secret(params.domainId, params.applicationId, params.secretId);
    const location = `/api/v1/domains/${params.domainId}/applications/${params.applicationId}/secrets/${params.secretId}`;
    return answered(
      sent,
      status,
      { ...resource, ...value },
      { etag: etag(revision), ...(status === 201 && { location }) },
    );
  };
  return [
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets',
      summary: 'Add a secret',
      tag: 'Secrets',
      action: 'secret.write',
      params: applicationPath,
      body: addSecretBody,
      writes: { ifMatch: true },
      answers: { 201: { description: 'Added; the value is here and nowhere else.', body: secretWithValueAnswer }, 202: PENDING },
      errors: ['application_not_found', 'too_many_secrets', 'description_taken', 'lifetime_out_of_bounds', 'domain_disabled', 'application_disabled'],
      examples: {
        request: { description: 'CI', expiresIn: { amount: 3, unit: 'months' } },
        response: { ...EXAMPLE, secret: 'shown once' },
      },
      handle: async ({ params, body, request, caller }) => {
        const commandId = writes.commandId(request, caller);
        const secret = { ...params, secretId: writes.derivedId(commandId, 'secret') };
        const draft = { type: 'AddSecret', data: { ...secret, ...body } } as const;
        return withValue(await writes.send(request, caller, commandId, draft, true), secret, 201);
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets',
      summary: "List an application's secrets, never their values",
      tag: 'Secrets',
      action: 'secret.read',
      params: applicationPath,
      query: pageQuery,
      views: ['domains', 'applications', 'secrets'],
      answers: { 200: { description: 'A page of secrets.', body: pageOf(secretAnswer) } },
      errors: ['application_not_found'],
      handle: async ({ params, query }) => ({
        status: 200,
        body: await reads.secrets(params.domainId, params.applicationId, query),
      }),
    }),
    route({
      method: 'GET',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId',
      summary: 'Show a secret, never its value',
      tag: 'Secrets',
      action: 'secret.read',
      params: secretPath,
      views: ['domains', 'applications', 'secrets'],
      answers: { 200: { description: 'The secret; its ETag is for If-Match.', body: secretAnswer } },
      errors: ['application_not_found', 'secret_not_found'],
      examples: { response: EXAMPLE },
      handle: async ({ params }) => {
        const { resource, revision } = await reads.secret(params.domainId, params.applicationId, params.secretId);
        return { status: 200, body: resource, headers: { etag: etag(revision) } };
      },
    }),
    route({
      method: 'PATCH',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId',
      summary: "Change a secret's description, networks or beginning",
      tag: 'Secrets',
      action: 'secret.write',
      params: secretPath,
      body: updateSecretBody,
      writes: { ifMatch: true },
      answers: { 200: { description: 'Changed.', body: secretAnswer }, 202: PENDING },
      errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'description_taken', 'lifetime_out_of_bounds', 'revision_conflict'],
      examples: { request: { allowedCidrs: ['10.0.0.0/8'] } },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'UpdateSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        if (!sent.visible) return answered(sent, 200);
        const { resource, revision } = await reads.secret(params.domainId, params.applicationId, params.secretId);
        return answered(sent, 200, resource, { etag: etag(revision) });
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/renew',
      summary: 'Give a secret a new value; the old one dies, at once or after an overlap',
      tag: 'Secrets',
      action: 'secret.write',
      params: secretPath,
      body: renewSecretBody,
      bodyOptional: true,
      writes: { ifMatch: true },
      answers: { 200: { description: 'Renewed; the value is here and nowhere else.', body: secretWithValueAnswer }, 202: PENDING },
      errors: ['application_not_found', 'secret_not_found', 'not_renewable', 'expiry_required', 'lifetime_out_of_bounds', 'revision_conflict', 'domain_disabled', 'application_disabled'],
      examples: { request: { overlap: { amount: 2, unit: 'days' } }, response: { ...EXAMPLE, version: 2, secret: 'shown once' } },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'RenewSecret', data: { ...params, ...body } } as const;
        return withValue(await writes.send(request, caller, writes.commandId(request, caller), draft, true), params, 200);
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/end-overlap',
      summary: "End a renewed secret's older value now",
      tag: 'Secrets',
      action: 'secret.write',
      params: secretPath,
      writes: { ifMatch: true },
      answers: { 200: EFFECTIVE, 202: PENDING },
      errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'revision_conflict'],
      handle: async ({ params, request, caller }) => {
        const draft = { type: 'EndOverlap', data: params } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, receipt(sent));
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/revoke',
      summary: 'Revoke a secret for good',
      tag: 'Secrets',
      action: 'secret.write',
      params: secretPath,
      body: revokeSecretBody,
      bodyOptional: true,
      writes: { ifMatch: true },
      answers: { 200: EFFECTIVE, 202: PENDING },
      errors: ['application_not_found', 'secret_not_found', 'last_live_secret', 'revision_conflict'],
      examples: {
        request: { reason: 'keyCompromise' },
        response: { position: '00000000000000000042', effectiveAt: '2026-12-01T09:00:00.000Z' },
      },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'RevokeSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, receipt(sent));
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/suspend',
      summary: 'Suspend a secret until it is resumed',
      tag: 'Secrets',
      action: 'secret.write',
      params: secretPath,
      body: suspendSecretBody,
      bodyOptional: true,
      writes: { ifMatch: true },
      answers: { 200: EFFECTIVE, 202: PENDING },
      errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'last_live_secret', 'revision_conflict'],
      examples: { request: { reason: 'Seen in a public log; looking into it.' } },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'SuspendSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, receipt(sent));
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/resume',
      summary: 'Let a suspended secret authenticate again',
      tag: 'Secrets',
      action: 'secret.write',
      params: secretPath,
      body: resumeSecretBody,
      bodyOptional: true,
      writes: { ifMatch: true },
      answers: { 200: { description: 'Resumed.', body: receiptAnswer }, 202: PENDING },
      errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'revision_conflict'],
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'ResumeSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, receipt(sent));
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/secrets',
      summary: 'The inventory: secrets across applications; CSV by Accept: text/csv',
      tag: 'Secrets',
      action: 'secret.read',
      query: inventoryQuery,
      views: ['domains', 'applications', 'secrets'],
      answers: { 200: { description: 'A page of secrets.', body: pageOf(secretAnswer) } },
      handle: async ({ query, caller, request }) => {
        const page = await reads.inventory(caller, query);
        if (!/\btext\/csv\b/.test(request.headers.accept ?? '')) return { status: 200, body: page };
        const headers = { 'content-type': 'text/csv; charset=utf-8', ...(page.next && { link: nextLink(request.url, page.next) }) };
        return { status: 200, body: csvOf(page.items), headers };
      },
    }),
  ]; // prettier-ignore
};

/** RFC 8288: where the next page of a CSV is. */
const nextLink = (url: string, next: string): string => {
  const target = new URL(url, 'http://localhost');
  target.searchParams.set('after', next);
  return `<${target.pathname}${target.search}>; rel="next"`;
};
