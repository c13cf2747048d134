import { notificationAnswer } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import type { z } from 'zod';
import { path } from '../client';
import { domainId } from '../input';
import { paged, writes } from '../options';
import { status, when, type Paper } from '../output';
import { action, type Io, type PageOptions } from '../session';
import { noteAccepted } from './receipts';

/** An answer of 202 does not hold all of it yet. */
const noticeShown = notificationAnswer.partial();
type Notice = z.infer<typeof noticeShown>;

interface ListOptions extends PageOptions {
  readonly domain?: string;
  readonly acknowledged?: boolean;
  readonly unacknowledged?: boolean;
}

export const addNotificationCommands = (program: Command, io: Io): void => {
  const notifications = program.command('notifications').description('what was told of secrets that expire');

  paged(notifications.command('list'))
    .description('list notices, the newest first')
    .option('-d, --domain <id>', 'only of this domain; without it, of all that you may see', domainId)
    .addOption(new Option('--acknowledged', 'only those that somebody has seen').conflicts('unacknowledged'))
    .option('--unacknowledged', 'only those that nobody has seen')
    .action(
      action<ListOptions>(io, async (session, options) => {
        const acknowledged = options.acknowledged ? true : options.unacknowledged ? false : undefined;
        const query = { domain: options.domain, acknowledged };
        const call = { method: 'GET', path: '/api/v1/notifications', query } as const;
        await session.list(call, options, notificationAnswer, (items) => table(session.paper, items));
      }),
    );

  const change = (name: string, verb: string, description: string): void => {
    writes(notifications.command(name))
      .description(description)
      .argument('<id>', 'the id of the notice')
      .action(
        action(io, async (session, _options, id) => {
          const url = `${path`/api/v1/notifications/${id}`}/${verb}`;
          const answer = await session.client.send({ method: 'POST', path: url, write: true });
          noteAccepted(session, answer);
          await session.show(answer, noticeShown, (notice) => record(session.paper, notice, session.io.now()));
        }),
      );
  };
  change('ack', 'acknowledge', 'mark a notice as seen');
  change('retry', 'retry', 'send a notice again that failed');
};

/** What a threshold means: days before the expiry, or the expiry itself. */
const about = (threshold: number | undefined): string | undefined => {
  if (threshold === undefined) return undefined;
  return threshold === 0 ? 'expired' : `expires within ${threshold} ${threshold === 1 ? 'day' : 'days'}`;
};

const told = (notice: Notice): string | undefined => notice.sentAt ?? notice.failedAt;

const record = (paper: Paper, notice: Notice, now: string): string =>
  paper.record([
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
    ['Seen', notice.acknowledgedAt && `${when(notice.acknowledgedAt, now)} by ${notice.acknowledgedBy?.id ?? '?'}`],
  ]);

const table = (paper: Paper, notices: Notice[]): string =>
  paper.table(
    ['AT', 'ABOUT', 'SECRET', 'CLIENT ID', 'DOMAIN', 'CHANNEL', 'STATE', 'NOTICE'],
    notices.map((notice) => [
      told(notice),
      about(notice.threshold),
      notice.description ?? notice.secretId,
      notice.clientId,
      notice.domainId,
      notice.channel,
      notice.state && status(notice.state),
      notice.id,
    ]),
  );
