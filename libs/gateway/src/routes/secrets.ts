import {
  addSecretBody,
  applicationPath,
  inventoryQuery,
  pageAnswer,
  pageQuery,
  pendingSecretAnswer,
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
import { prefers } from '../accept';
import { csvOf } from '../csv';
import { CHANGED, IDS, PENDING, RECEIPT, SECRET, VALUE, WRITTEN } from '../examples';
import type { Reads } from '../reads';
import { route, type Answer, type Route } from '../route';
import { answered, receiptOf, tagged, type Sent, type Writes } from '../writes';

type OfSecret = { domainId: string; applicationId: string; secretId: string };

const CSV = 'text/csv';
const EFFECTIVE = {
  description: 'Effective for every check received from now on.',
  body: receiptAnswer,
  example: RECEIPT,
  headers: WRITTEN,
};
const PENDING_VALUE = {
  ...PENDING,
  description: 'Accepted, but not to be read back everywhere yet; the value is here and nowhere else.',
  body: pendingSecretAnswer,
  example: { ...(PENDING.example as object), id: IDS.secret, version: 1, secret: VALUE, expirySource: 'none' },
};

/** Secrets: adding, renewing, ending, listing. Only the answers of add and renew ever hold a value. */
export const secretRoutes = (writes: Writes, reads: Reads): Route[] => {
  /** The answer to a command that made a value: the value once, and all else that is known of the secret. */
  const withValue = (
    sent: Sent,
    { domainId, applicationId, secretId }: OfSecret,
    status: 200 | 201,
  ): Promise<Answer> => {
    const { version, expirySource, hint, expiresAt, previousValidUntil } = sent.reply.result ?? {};
    const value = { secret: sent.value ?? null };
    const known = { id: secretId, version, expirySource, hint, expiresAt, previousValidUntil, ...value };
    const location = `/api/v1/domains/${domainId}/applications/${applicationId}/secrets/${secretId}`;
    return answered(sent, status, known, async () => {
      const more = { ...value, ...(sent.reply.replayed && { replayed: true }) };
      return tagged(await reads.secret(domainId, applicationId, secretId), more, status === 201 ? location : undefined);
    });
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
      answers: {
        201: {
          description: 'Added; the value is here and nowhere else.',
          body: secretWithValueAnswer,
          example: { ...SECRET, secret: VALUE },
          headers: ['location', ...CHANGED],
        },
        202: PENDING_VALUE,
      },
      errors: [
        'application_not_found',
        'too_many_secrets',
        'description_taken',
        'lifetime_out_of_bounds',
        'domain_disabled',
        'application_disabled',
        'revision_conflict',
      ],
      example: { description: 'CI', expiresIn: { amount: 3, unit: 'months' } },
      handle: async ({ params, body, request, caller }) => {
        const commandId = writes.commandId(request, caller);
        const secret = { ...params, secretId: writes.derivedId(commandId, 'secret') };
        const draft = { type: 'AddSecret', data: { ...secret, ...body } } as const;
        return withValue(await writes.send(request, caller, commandId, draft), secret, 201);
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
      answers: {
        200: { description: 'A page of secrets.', body: pageAnswer(secretAnswer), example: { items: [SECRET] } },
      },
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
      answers: {
        200: {
          description: 'The secret; its ETag is for If-Match.',
          body: secretAnswer,
          example: SECRET,
          headers: ['etag'],
        },
      },
      errors: ['application_not_found', 'secret_not_found'],
      handle: async ({ params }) => ({
        status: 200,
        ...tagged(await reads.secret(params.domainId, params.applicationId, params.secretId)),
      }),
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
      answers: {
        200: {
          description: 'Changed.',
          body: secretAnswer,
          example: { ...SECRET, allowedCidrs: ['10.0.0.0/8'] },
          headers: CHANGED,
        },
        202: PENDING,
      },
      errors: [
        'application_not_found',
        'secret_not_found',
        'secret_revoked',
        'description_taken',
        'lifetime_out_of_bounds',
        'revision_conflict',
      ],
      example: { allowedCidrs: ['10.0.0.0/8'] },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'UpdateSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, {}, async () =>
          tagged(await reads.secret(params.domainId, params.applicationId, params.secretId)),
        );
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
      answers: {
        200: {
          description: 'Renewed; the value is here and nowhere else.',
          body: secretWithValueAnswer,
          example: { ...SECRET, version: 2, secret: VALUE },
          headers: CHANGED,
        },
        202: PENDING_VALUE,
      },
      errors: [
        'application_not_found',
        'secret_not_found',
        'not_renewable',
        'expiry_required',
        'lifetime_out_of_bounds',
        'revision_conflict',
        'domain_disabled',
        'application_disabled',
      ],
      example: { overlap: { amount: 2, unit: 'days' } },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'RenewSecret', data: { ...params, ...body } } as const;
        return withValue(await writes.send(request, caller, writes.commandId(request, caller), draft), params, 200);
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
        return receiptOf(sent);
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
      example: { reason: 'keyCompromise' },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'RevokeSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return receiptOf(sent);
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
      example: { reason: 'Seen in a public log; looking into it.' },
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'SuspendSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return receiptOf(sent);
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
      answers: {
        200: {
          description: 'Resumed.',
          body: receiptAnswer,
          example: { position: RECEIPT.position },
          headers: WRITTEN,
        },
        202: PENDING,
      },
      errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'revision_conflict'],
      handle: async ({ params, body, request, caller }) => {
        const draft = { type: 'ResumeSecret', data: { ...params, ...body } } as const;
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return receiptOf(sent);
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
      answers: {
        200: {
          description: 'A page of secrets; of a page of CSV the Link header names the next one.',
          body: pageAnswer(secretAnswer),
          example: { items: [SECRET] },
          others: { [CSV]: csvOf([SECRET as never]) },
          headers: ['link'],
        },
      },
      handle: async ({ query, caller, request }) => {
        const page = await reads.inventory(caller, query);
        if (!prefers(request.headers.accept, CSV)) return { status: 200, body: page, headers: VARY };
        const next = page.next && { link: nextLink(request.url, page.next) };
        return {
          status: 200,
          body: csvOf(page.items),
          headers: { ...VARY, 'content-type': `${CSV}; charset=utf-8`, ...next },
        };
      },
    }),
  ];
};

const VARY = { vary: 'Accept' };

/** RFC 8288: where the next page of a CSV is. */
const nextLink = (url: string, next: string): string => {
  const target = new URL(url, 'http://localhost');
  target.searchParams.set('after', next);
  return `<${target.pathname}${target.search}>; rel="next"`;
};
