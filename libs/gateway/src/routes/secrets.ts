import {
  addSecretBody,
  applicationPath,
  inventoryQuery,
  pageAnswer,
  pageQuery,
  pendingSecretAnswer,
  renewSecretBody,
  secretAnswer,
  secretPath,
  secretWithValueAnswer,
  updateSecretBody,
} from '@rekey/contracts';
import { IDS, PENDING, RESOURCE_HEADERS, SECRET, VALUE } from '../examples';
import { csvOf, prefers } from '../formats';
import type { Reads } from '../reads';
import { route, type Answer } from '../route';
import type { Services } from '../services';
import { answerWhenVisible, derivedId, withETag, type Accepted } from '../writes';

const PENDING_VALUE = {
  ...PENDING,
  description: 'Accepted; not yet visible in every view. Store `secret` now; it cannot be shown again.',
  body: pendingSecretAnswer,
  example: { ...PENDING.example, id: IDS.secret, version: 1, secret: VALUE, expirySource: 'none' },
};

export const addSecret = route({
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
      description: 'Added. Store `secret` now; it cannot be shown again.',
      body: secretWithValueAnswer,
      example: { ...SECRET, secret: VALUE },
      headers: ['location', ...RESOURCE_HEADERS],
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
  handle: async ({ params, body, ...context }, { writes, reads }: Services) => {
    const id = writes.commandId(context);
    const secret = { ...params, secretId: derivedId(id, 'secret') };
    const command = { type: 'AddSecret', data: { ...secret, ...body } } as const;
    return answerWithValue(reads, await writes.send(context, command, id), secret, 201);
  },
});

export const listSecrets = route({
  method: 'GET',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets',
  summary: "List an application's secrets, without their values",
  tag: 'Secrets',
  action: 'secret.read',
  params: applicationPath,
  query: pageQuery,
  views: ['domains', 'applications', 'secrets'],
  answers: { 200: { description: 'A page of secrets.', body: pageAnswer(secretAnswer), example: { items: [SECRET] } } },
  errors: ['application_not_found'],
  handle: async ({ params, query }, { reads }: Services) => ({
    status: 200,
    body: await reads.secrets(params, query),
  }),
});

export const showSecret = route({
  method: 'GET',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId',
  summary: 'Show a secret, without its value',
  tag: 'Secrets',
  action: 'secret.read',
  params: secretPath,
  views: ['domains', 'applications', 'secrets'],
  answers: {
    200: {
      description: 'The secret. Send its ETag as `If-Match` to change it safely.',
      body: secretAnswer,
      example: SECRET,
      headers: ['etag'],
    },
  },
  errors: ['application_not_found', 'secret_not_found'],
  handle: async ({ params }, { reads }: Services) => ({ status: 200, ...withETag(await reads.secret(params)) }),
});

export const updateSecret = route({
  method: 'PATCH',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId',
  summary: "Change a secret's description, allowed networks or start time",
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
      headers: RESOURCE_HEADERS,
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
  handle: async ({ params, body, ...context }, { writes, reads }: Services) => {
    const sent = await writes.send(context, { type: 'UpdateSecret', data: { ...params, ...body } });
    return answerWhenVisible(sent, 200, async () => withETag(await reads.secret(params)));
  },
});

export const renewSecret = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/renew',
  summary: 'Renew a secret: create a new value, and end the old one now or after an overlap',
  tag: 'Secrets',
  action: 'secret.write',
  params: secretPath,
  body: renewSecretBody,
  bodyOptional: true,
  writes: { ifMatch: true },
  answers: {
    200: {
      description: 'Renewed. Store `secret` now; it cannot be shown again.',
      body: secretWithValueAnswer,
      example: { ...SECRET, version: 2, secret: VALUE },
      headers: RESOURCE_HEADERS,
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
  handle: async ({ params, body, ...context }, { writes, reads }: Services) => {
    const command = { type: 'RenewSecret', data: { ...params, ...body } } as const;
    return answerWithValue(reads, await writes.send(context, command), params, 200);
  },
});

const CSV = 'text/csv';
const VARY = { vary: 'Accept' };

export const listInventory = route({
  method: 'GET',
  url: '/api/v1/secrets',
  summary: 'List secrets across applications (the inventory), as JSON or as CSV with `Accept: text/csv`',
  tag: 'Secrets',
  action: 'secret.read',
  query: inventoryQuery,
  views: ['domains', 'applications', 'secrets'],
  answers: {
    200: {
      description: 'A page of secrets. The `Link` header of a CSV page leads to the next page.',
      body: pageAnswer(secretAnswer),
      example: { items: [SECRET] },
      others: { [CSV]: csvOf([SECRET as never]) },
      headers: ['link'],
    },
  },
  handle: async ({ query, caller, request }, { reads }: Services) => {
    const page = await reads.inventory(caller, query);
    if (!prefers(request.headers.accept, CSV)) return { status: 200, body: page, headers: VARY };
    const next = page.next && { link: nextLink(request.url, page.next) };
    const headers = { ...VARY, 'content-type': `${CSV}; charset=utf-8`, ...next };
    return { status: 200, body: csvOf(page.items), headers };
  },
});

/** Returns a `Link` header to the next page (RFC 8288). */
const nextLink = (url: string, next: string): string => {
  const target = new URL(url, 'http://localhost');
  target.searchParams.set('after', next);
  return `<${target.pathname}${target.search}>; rel="next"`;
};

type SecretIds = { readonly domainId: string; readonly applicationId: string; readonly secretId: string };

/** Answers a command that made a value: the secret with its value, which no other answer ever contains. */
const answerWithValue = (reads: Reads, sent: Accepted, secret: SecretIds, status: 200 | 201): Promise<Answer> => {
  const { version, expirySource, hint, expiresAt, previousValidUntil } = sent.reply.result ?? {};
  const value = { secret: sent.value ?? null };
  const pending = { id: secret.secretId, version, expirySource, hint, expiresAt, previousValidUntil, ...value };
  const { domainId, applicationId, secretId } = secret;
  const location = `/api/v1/domains/${domainId}/applications/${applicationId}/secrets/${secretId}`;
  const read = async () => {
    const more = { ...value, ...(sent.reply.replayed && { replayed: true }) };
    return withETag(await reads.secret(secret), more, status === 201 ? location : undefined);
  };
  return answerWhenVisible(sent, status, read, pending);
};
