import { notificationAnswer } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import type { z } from 'zod';
import { path } from '../client';
import { domainId } from '../input';
import { paged, writes } from '../options';
import { status, when, type Formatter } from '../output';
import { action, type Io, type PageOptions } from '../session';
import { noteAccepted } from './receipts';

/** Partial: the answer 202 lacks some fields. */
const partialNotice = notificationAnswer.partial();
type Notice = z.infer<typeof partialNotice>;

interface ListOptions extends PageOptions {
  readonly domain?: string;
  readonly acknowledged?: boolean;
  readonly unacknowledged?: boolean;
}

export const addNotificationCommands = (program: Command, io: Io): void => {
  const notifications = program.command('notifications').description('Show and handle expiry notices.');

  paged(notifications.command('list'))
    .description('List expiry notices, newest first.')
    .option('-d, --domain <id>', 'Only this domain (default: all you have access to).', domainId)
    .addOption(new Option('--acknowledged', 'Only acknowledged notices.').conflicts('unacknowledged'))
    .option('--unacknowledged', 'Only notices that are not acknowledged.')
    .action(
      action<ListOptions>(io, async (session, options) => {
        const acknowledged = options.acknowledged ? true : options.unacknowledged ? false : undefined;
        const query = { domain: options.domain, acknowledged };
        const call = { method: 'GET', path: '/api/v1/notifications', query } as const;
        await session.list(call, options, notificationAnswer, (items) => table(session.formatter, items));
      }),
    );

  const change = (name: string, verb: string, description: string): void => {
    writes(notifications.command(name))
      .description(description)
      .argument('<id>', 'Notice id.')
      .action(
        action(io, async (session, _options, id) => {
          const url = `${path`/api/v1/notifications/${id}`}/${verb}`;
          const answer = await session.client.send({ method: 'POST', path: url, write: true });
          noteAccepted(session, answer);
          await session.show(answer, partialNotice, (notice) => record(session.formatter, notice, session.io.now()));
        }),
      );
  };
  change('ack', 'acknowledge', 'Acknowledge a notice.');
  change('retry', 'retry', 'Send a failed notice again.');
};

/** Describes a threshold: days before the expiry, or 0 for the expiry itself. */
const about = (threshold: number | undefined): string | undefined => {
  if (threshold === undefined) return undefined;
  return threshold === 0 ? 'expired' : `expires within ${threshold} ${threshold === 1 ? 'day' : 'days'}`;
};

const sentOrFailedAt = (notice: Notice): string | undefined => notice.sentAt ?? notice.failedAt;

const record = (formatter: Formatter, notice: Notice, now: string): string =>
  formatter.record([
    ['Notice', notice.id],
    ['Domain', notice.domainId],
    ['Application', notice.clientId],
    ['Secret', notice.secretId],
    ['Description', notice.description],
    ['Version', notice.version?.toString()],
    ['About', about(notice.threshold)],
    ['Channel', notice.channel],
    ['State', notice.state && status(notice.state)],
    ['Recipients', notice.recipients?.toString()],
    ['Sent', notice.sentAt && when(notice.sentAt, now)],
    ['Failed', notice.failedAt && when(notice.failedAt, now)],
    ['Cause', notice.cause],
    [
      'Acknowledged',
      notice.acknowledgedAt && `${when(notice.acknowledgedAt, now)} by ${notice.acknowledgedBy?.id ?? '?'}`,
    ],
  ]);

const table = (formatter: Formatter, notices: Notice[]): string =>
  formatter.table(
    ['AT', 'ABOUT', 'SECRET', 'CLIENT ID', 'DOMAIN', 'CHANNEL', 'STATE', 'NOTICE'],
    notices.map((notice) => [
      sentOrFailedAt(notice),
      about(notice.threshold),
      notice.description ?? notice.secretId,
      notice.clientId,
      notice.domainId,
      notice.channel,
      notice.state && status(notice.state),
      notice.id,
    ]),
  );
