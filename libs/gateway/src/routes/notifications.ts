import { notificationAnswer, notificationsQuery, pageAnswer } from '@rekey/contracts';
import { permit } from '@rekey/platform';
import { z } from 'zod';
import { NOTIFICATION, PENDING, WRITTEN } from '../examples';
import type { Reads } from '../reads';
import { route, type Route } from '../route';
import { answered, type Writes } from '../writes';

const notificationPath = z.strictObject({ notificationId: z.string().min(1).max(200) });

/** The inbox of expiry notices. */
export const notificationRoutes = (writes: Writes, reads: Reads): Route[] => {
  const change = (
    verb: 'acknowledge' | 'retry',
    type: 'AcknowledgeNotice' | 'RetryNotice',
    summary: string,
    after: object,
  ): Route =>
    route({
      method: 'POST',
      url: `/api/v1/notifications/:notificationId/${verb}`,
      summary,
      tag: 'Notifications',
      action: 'notice.read',
      params: notificationPath,
      writes: { ifMatch: false },
      answers: {
        200: {
          description: 'Done.',
          body: notificationAnswer,
          example: { ...NOTIFICATION, ...after },
          headers: WRITTEN,
        },
        202: PENDING,
      },
      errors: ['not_found', 'secret_not_found'],
      handle: async ({ params, request, caller }) => {
        const { domainId, applicationId, secretId, version, threshold, channel } = await reads.notification(
          caller,
          params.notificationId,
        );
        permit(caller, 'notice.write', domainId);
        const draft = { type, data: { domainId, applicationId, secretId, version, threshold, channel } };
        const sent = await writes.send(request, caller, writes.commandId(request, caller), draft);
        return answered(sent, 200, {}, async () => ({ body: await reads.notification(caller, params.notificationId) }));
      },
    });
  return [
    route({
      method: 'GET',
      url: '/api/v1/notifications',
      summary: 'List expiry notices, newest first',
      tag: 'Notifications',
      action: 'notice.read',
      query: notificationsQuery,
      views: ['domains', 'notifications'],
      answers: {
        200: {
          description: 'A page of notices.',
          body: pageAnswer(notificationAnswer),
          example: { items: [NOTIFICATION] },
        },
      },
      handle: async ({ query, caller }) => ({ status: 200, body: await reads.notifications(caller, query) }),
    }),
    change('acknowledge', 'AcknowledgeNotice', 'Mark a notice as seen', {
      state: 'acknowledged',
      acknowledgedAt: '2027-02-24T09:00:00.000Z',
      acknowledgedBy: { type: 'token', id: 'admin' },
    }),
    change('retry', 'RetryNotice', 'Send a notice again that failed', { state: 'retried' }),
  ];
};
