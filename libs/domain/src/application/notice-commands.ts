import { unreachable } from '../decider';
import { invalid } from '../errors';
import type { CommandOf } from './commands';
import type { ApplicationEvent, NoticeKey } from './events';
import { requireSecret } from './rules';
import { noticeId, type RegisteredApplication } from './state';

export type NoticeCommand =
  | CommandOf<'RecordNoticeSent', NoticeKey & { recipients: number }>
  | CommandOf<'RecordNoticeFailed', NoticeKey & { cause: string }>
  | CommandOf<'RetryNotice' | 'AcknowledgeNotice', NoticeKey>;

export const isNoticeCommand = (command: CommandOf<string, object>): command is NoticeCommand =>
  'channel' in command.data;

/** Decides a command about one expiry notice. A notice may be of an earlier version of the secret. */
export const decideNotice = (command: NoticeCommand, state: RegisteredApplication): ApplicationEvent[] => {
  const { applicationId, domainId, secretId, version, threshold, channel } = command.data;
  const secret = requireSecret(secretId, state);
  if (version < 1 || version > secret.version) throw invalid('version', `This secret has no version ${version}.`);
  const key = { applicationId, domainId, secretId, version, threshold, channel };
  const current = secret.notices[noticeId(key)];
  switch (command.type) {
    case 'RecordNoticeSent':
      if (current === 'sent' || current === 'acknowledged') return [];
      return [{ type: 'ExpiryNoticeSent', data: { ...key, recipients: command.data.recipients } }];
    case 'RecordNoticeFailed':
      if (current !== undefined && current !== 'retried') return [];
      return [{ type: 'ExpiryNoticeFailed', data: { ...key, cause: command.data.cause } }];
    case 'RetryNotice':
      return current === 'failed' ? [{ type: 'ExpiryNoticeRetried', data: key }] : [];
    case 'AcknowledgeNotice':
      if (current === undefined)
        throw invalid('threshold', 'This secret has no notice with this version, threshold and channel.');
      return current === 'acknowledged' ? [] : [{ type: 'ExpiryNoticeAcknowledged', data: key }];
    default:
      return unreachable(command);
  }
};
