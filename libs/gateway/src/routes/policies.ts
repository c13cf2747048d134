import {
  applicationPath,
  applicationPolicyAnswer,
  applicationPolicyBody,
  domainPath,
  domainPolicyAnswer,
  domainPolicyBody,
  previewQuery,
} from '@rekey/contracts';
import { checkApplicationPolicy, checkDomainPolicy, type DomainPolicy } from '@rekey/domain';
import { AFFECTED, PENDING, RESOURCE_HEADERS } from '../examples';
import { affectedBy } from '../policy-preview';
import { route } from '../route';
import type { Services } from '../services';
import { answerWhenVisible, withETag } from '../writes';

const DESCRIPTION =
  'The policy, and the existing secrets that it would treat differently. With `preview=true`, nothing is changed.';
const DOMAIN_POLICY = {
  expiry: { mode: 'after', after: { amount: 90, unit: 'days' } },
  maxLifetime: { amount: 1, unit: 'years' },
};
const APPLICATION_POLICY = { expiry: { mode: 'after', after: { amount: 3, unit: 'months' } } };

export const setDomainPolicy = route({
  method: 'PUT',
  url: '/api/v1/domains/:domainId/policy',
  summary: "Set a domain's expiry rule and lifetime bounds, or preview their effect",
  tag: 'Policies',
  action: 'policy.write',
  params: domainPath,
  query: previewQuery,
  body: domainPolicyBody,
  writes: { ifMatch: true },
  views: ['domains', 'applications', 'secrets'],
  answers: {
    200: {
      description: DESCRIPTION,
      body: domainPolicyAnswer,
      example: { policy: DOMAIN_POLICY, affected: AFFECTED },
      headers: RESOURCE_HEADERS,
    },
    202: PENDING,
  },
  errors: ['lifetime_out_of_bounds', 'revision_conflict'],
  example: DOMAIN_POLICY,
  handle: async ({ params, query, body, ...context }, services: Services) => {
    const { reads, writes, clock } = services;
    const { domainId } = params;
    const affected = () => affectedBy(services, { domainId, domainPolicy: body, after: query.after });
    if (query.preview) {
      await reads.domain(domainId);
      checkDomainPolicy(body, clock.now());
      return { status: 200, body: { policy: body, affected: await affected() } };
    }
    const sent = await writes.send(context, { type: 'ChangeDomainPolicy', data: { domainId, policy: body } });
    return answerWhenVisible(sent, 200, async () => ({
      ...withETag(await reads.domain(domainId)),
      body: { policy: body, affected: await affected() },
    }));
  },
});

export const setApplicationPolicy = route({
  method: 'PUT',
  url: '/api/v1/domains/:domainId/applications/:applicationId/policy',
  summary: "Set an application's own expiry rule, or preview its effect",
  tag: 'Policies',
  action: 'policy.write',
  params: applicationPath,
  query: previewQuery,
  body: applicationPolicyBody,
  writes: { ifMatch: true },
  views: ['domains', 'applications', 'secrets'],
  answers: {
    200: {
      description: DESCRIPTION,
      body: applicationPolicyAnswer,
      example: { policy: APPLICATION_POLICY, affected: AFFECTED },
      headers: RESOURCE_HEADERS,
    },
    202: PENDING,
  },
  errors: ['application_not_found', 'lifetime_out_of_bounds', 'revision_conflict'],
  example: APPLICATION_POLICY,
  handle: async ({ params, query, body, ...context }, services: Services) => {
    const { reads, writes, clock } = services;
    const { domainId, applicationId } = params;
    const application = { id: applicationId, policy: body.expiry };
    const affected = (domainPolicy: DomainPolicy) =>
      affectedBy(services, { domainId, domainPolicy, application, after: query.after });
    if (query.preview) {
      const [domainPolicy] = await Promise.all([reads.domainPolicy(domainId), reads.application(params)]);
      checkApplicationPolicy(body.expiry, domainPolicy, clock.now());
      return { status: 200, body: { policy: body, affected: await affected(domainPolicy) } };
    }
    const command = { type: 'ChangeApplicationPolicy', data: { ...params, policy: body.expiry } } as const;
    const sent = await writes.send(context, command);
    return answerWhenVisible(sent, 200, async () => ({
      ...withETag(await reads.application(params)),
      body: { policy: body, affected: await affected(await reads.domainPolicy(domainId)) },
    }));
  },
});
