import {
  RekeyError,
  notificationAnswer,
  notificationsQuery,
  pageAnswer,
  secretDocumentId,
  type Caller,
} from '@rekey/contracts';
import { present } from '@rekey/domain';
import { permit } from '@rekey/platform';
import {
  getNotification,
  listNotifications as listNotificationDocuments,
  type ApplicationDocument,
  type NotificationDocument,
  type SecretDocument,
} from '@rekey/read-models';
import { z } from 'zod';
import { NOTIFICATION, PENDING, WRITE_HEADERS } from '../examples';
import { route, type RouteContext } from '../route';
import type { Services } from '../services';
import { answerWhenVisible } from '../writes';

type NotificationAnswer = z.infer<typeof notificationAnswer>;

const notificationPath = z.strictObject({ notificationId: z.string().min(1).max(200) });

export const listNotifications = route({
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
  handle: async ({ query, caller }, services: Services) => {
    const page = await listNotificationDocuments(services.views, { ...query, visible: caller.domains });
    return { status: 200, body: { ...page, items: await answersOf(services, page.items) } };
  },
});

const noticeChange = {
  method: 'POST',
  tag: 'Notifications',
  action: 'notice.read',
  params: notificationPath,
  writes: { ifMatch: false },
  errors: ['not_found', 'secret_not_found'],
} as const;

export const acknowledgeNotification = route({
  ...noticeChange,
  url: '/api/v1/notifications/:notificationId/acknowledge',
  summary: 'Acknowledge a notice',
  answers: {
    200: {
      description: 'Acknowledged.',
      body: notificationAnswer,
      example: {
        ...NOTIFICATION,
        state: 'acknowledged',
        acknowledgedAt: '2027-02-24T09:00:00.000Z',
        acknowledgedBy: { type: 'token', id: 'admin' },
      },
      headers: WRITE_HEADERS,
    },
    202: PENDING,
  },
  handle: (context, services: Services) => change('AcknowledgeNotice', context, services),
});

export const retryNotification = route({
  ...noticeChange,
  url: '/api/v1/notifications/:notificationId/retry',
  summary: 'Send a failed notice again',
  answers: {
    200: {
      description: 'Queued for sending.',
      body: notificationAnswer,
      example: { ...NOTIFICATION, state: 'retried' },
      headers: WRITE_HEADERS,
    },
    202: PENDING,
  },
  handle: (context, services: Services) => change('RetryNotice', context, services),
});

const change = async (
  type: 'AcknowledgeNotice' | 'RetryNotice',
  { params: { notificationId }, ...context }: RouteContext<z.infer<typeof notificationPath>>,
  services: Services,
) => {
  const { caller } = context;
  const notice = await readNotice(services, caller, notificationId);
  const { domainId, applicationId, secretId, version, threshold, channel } = notice;
  permit(caller, 'notice.write', domainId);
  const data = { domainId, applicationId, secretId, version, threshold, channel };
  const sent = await services.writes.send(context, { type, data });
  return answerWhenVisible(sent, 200, async () => ({ body: await readNotice(services, caller, notificationId) }));
};

const readNotice = async (services: Services, caller: Caller, id: string): Promise<NotificationAnswer> => {
  const document = await getNotification(services.views, id);
  const visible = document && (caller.domains.length === 0 || caller.domains.includes(document.domainId));
  if (!visible) throw new RekeyError('not_found', 'No notice has this id.');
  const [answer] = await answersOf(services, [document]);
  return answer as NotificationAnswer;
};

/** Returns notices with the names of their applications and the descriptions of their secrets. */
const answersOf = async (
  { reads, views }: Services,
  notices: readonly NotificationDocument[],
): Promise<NotificationAnswer[]> => {
  const ids = notices.map(({ applicationId, secretId }) => secretDocumentId(applicationId, secretId));
  const [secrets, applications] = await Promise.all([
    views.secrets.read<SecretDocument>(ids),
    reads.applicationsOf(notices),
  ]);
  return notices.map((notice, index) => answerOf(notice, secrets[index], applications.get(notice.applicationId)));
};

const answerOf = (
  notice: NotificationDocument,
  secret: SecretDocument | null | undefined,
  application: ApplicationDocument | undefined,
): NotificationAnswer => ({
  id: notice._id,
  domainId: notice.domainId,
  applicationId: notice.applicationId,
  secretId: notice.secretId,
  version: notice.version,
  threshold: notice.threshold,
  channel: notice.channel,
  state: notice.state,
  ...present({
    clientId: application?.clientId,
    applicationName: application?.name,
    description: secret?.description,
    sentAt: notice.sentAt,
    failedAt: notice.failedAt,
    cause: notice.cause,
    recipients: notice.recipients,
    acknowledgedAt: notice.acknowledgedAt,
    acknowledgedBy: notice.acknowledgedBy,
  }),
});
