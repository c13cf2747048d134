import { receiptAnswer, resumeSecretBody, revokeSecretBody, secretPath, suspendSecretBody } from '@rekey/contracts';
import { PENDING, RECEIPT, WRITE_HEADERS } from '../examples';
import { route } from '../route';
import type { Services } from '../services';
import { answerWithReceipt } from '../writes';

const EFFECTIVE = {
  description: 'Done. The change applies to every check received after `effectiveAt`.',
  body: receiptAnswer,
  example: RECEIPT,
  headers: WRITE_HEADERS,
};

export const endOverlap = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/end-overlap',
  summary: 'End the overlap of a renewed secret: its previous value stops working now',
  tag: 'Secrets',
  action: 'secret.write',
  params: secretPath,
  writes: { ifMatch: true },
  answers: { 200: EFFECTIVE, 202: PENDING },
  errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'revision_conflict'],
  handle: async ({ params, ...context }, { writes }: Services) =>
    answerWithReceipt(await writes.send(context, { type: 'EndOverlap', data: params })),
});

export const revokeSecret = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/revoke',
  summary: 'Revoke a secret permanently',
  tag: 'Secrets',
  action: 'secret.write',
  params: secretPath,
  body: revokeSecretBody,
  bodyOptional: true,
  writes: { ifMatch: true },
  answers: { 200: EFFECTIVE, 202: PENDING },
  errors: ['application_not_found', 'secret_not_found', 'last_live_secret', 'revision_conflict'],
  example: { reason: 'keyCompromise' },
  handle: async ({ params, body, ...context }, { writes }: Services) =>
    answerWithReceipt(await writes.send(context, { type: 'RevokeSecret', data: { ...params, ...body } })),
});

export const suspendSecret = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/suspend',
  summary: 'Disable a secret until it is resumed',
  tag: 'Secrets',
  action: 'secret.write',
  params: secretPath,
  body: suspendSecretBody,
  bodyOptional: true,
  writes: { ifMatch: true },
  answers: { 200: EFFECTIVE, 202: PENDING },
  errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'last_live_secret', 'revision_conflict'],
  example: { reason: 'Seen in a public log; under investigation.' },
  handle: async ({ params, body, ...context }, { writes }: Services) =>
    answerWithReceipt(await writes.send(context, { type: 'SuspendSecret', data: { ...params, ...body } })),
});

export const resumeSecret = route({
  method: 'POST',
  url: '/api/v1/domains/:domainId/applications/:applicationId/secrets/:secretId/resume',
  summary: 'Enable a suspended secret again',
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
      headers: WRITE_HEADERS,
    },
    202: PENDING,
  },
  errors: ['application_not_found', 'secret_not_found', 'secret_revoked', 'revision_conflict'],
  handle: async ({ params, body, ...context }, { writes }: Services) =>
    answerWithReceipt(await writes.send(context, { type: 'ResumeSecret', data: { ...params, ...body } })),
});
