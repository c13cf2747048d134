import { noticeId, type ApplicationCommand, type ApplicationEvent, type NoticeKey } from '.';
import {
  added,
  day,
  disabled,
  given,
  ids,
  registered,
  renewed,
  revoked,
  secretOf,
  suspended,
} from './application.testing';

const key: NoticeKey = { secretId: 's1', version: 1, threshold: 5, channel: 'log' };
const command = (type: 'RetryNotice' | 'AcknowledgeNotice', more: Partial<NoticeKey> = {}): ApplicationCommand => ({
  type,
  data: { ...ids, ...key, ...more },
});
const recordSent = (more: Partial<NoticeKey> = {}): ApplicationCommand => ({
  type: 'RecordNoticeSent',
  data: { ...ids, ...key, recipients: 2, ...more },
});
const recordFailed: ApplicationCommand = { type: 'RecordNoticeFailed', data: { ...ids, ...key, cause: 'refused' } };
const retry = command('RetryNotice');
const acknowledge = command('AcknowledgeNotice');

const sent: ApplicationEvent = { type: 'ExpiryNoticeSent', data: { ...ids, ...key, recipients: 2 } };
const failed: ApplicationEvent = { type: 'ExpiryNoticeFailed', data: { ...ids, ...key, cause: 'refused' } };
const retried: ApplicationEvent = { type: 'ExpiryNoticeRetried', data: { ...ids, ...key } };
const acknowledged: ApplicationEvent = { type: 'ExpiryNoticeAcknowledged', data: { ...ids, ...key } };

const soon = [registered, added('s1', { expiresAt: day(5) })];

describe('an expired secret', () => {
  const expire = (version = 1): ApplicationCommand => ({
    type: 'ExpireSecret',
    data: { ...ids, secretId: 's1', version },
  });
  const expired: ApplicationEvent = {
    type: 'SecretExpired',
    data: { ...ids, secretId: 's1', version: 1, expiresAt: day(5) },
  };

  it('is recorded at its instant, not before, and once', () => {
    given(...soon, '2026-01-05T23:59:59.999Z')
      .when(expire())
      .thenNothing();
    given(...soon, day(5))
      .when(expire())
      .thenOnce(expired);
  });

  it('is recorded while it is suspended or its application disabled', () => {
    for (const pause of [suspended(), disabled])
      given(...soon, pause, day(6))
        .when(expire())
        .thenOnce(expired);
  });

  it('is nothing where the secret was renewed, revoked or never expires', () => {
    given(...soon, renewed(2, { expiresAt: day(6) }), day(7))
      .when(expire(1))
      .thenNothing();
    given(...soon, revoked(), day(6))
      .when(expire())
      .thenNothing();
    given(registered, added(), day(6)).when(expire()).thenNothing();
    given(...soon, day(6))
      .when(expire(2))
      .thenNothing();
  });

  it('is recorded again for the next version', () =>
    given(...soon, day(5), expired, renewed(2, { expiresAt: day(6) }), day(6))
      .when(expire(2))
      .thenOnce({ type: 'SecretExpired', data: { ...ids, secretId: 's1', version: 2, expiresAt: day(6) } }));

  it('is refused for an unknown secret', () => given(registered).when(expire()).thenRefused('secret_not_found'));
});

describe('a notice', () => {
  it('is recorded as sent, once', () => {
    given(...soon)
      .when(recordSent())
      .thenOnce(sent);
    given(...soon, sent, acknowledged)
      .when(recordSent())
      .thenNothing();
  });

  it('is another one for another version, threshold or channel', () => {
    const history = [...soon, sent, renewed(2, { expiresAt: day(9) })];
    for (const more of [{ version: 2 }, { threshold: 1 }, { threshold: 0.5 }, { channel: 'ui' }])
      expect(
        given(...history)
          .when(recordSent(more))
          .events(),
      ).toHaveLength(1);
    expect(noticeId(key)).toBe('1.5.log');
  });

  it('is recorded as failed, once, and not where it was sent', () => {
    given(...soon)
      .when(recordFailed)
      .thenOnce(failed);
    given(...soon, sent)
      .when(recordFailed)
      .thenNothing();
    given(...soon, failed, acknowledged)
      .when(recordFailed)
      .thenNothing();
  });

  it('that failed can be retried, once, and then be sent or fail again', () => {
    given(...soon, failed)
      .when(retry)
      .thenOnce(retried);
    given(...soon, failed, retried)
      .when(recordFailed)
      .thenOnce(failed);
    given(...soon, failed, retried)
      .when(recordSent())
      .thenOnce(sent);
    given(...soon, failed, retried, failed)
      .when(retry)
      .thenOnce(retried);
  });

  it('that did not fail is not retried', () => {
    for (const history of [[], [sent], [failed, acknowledged]])
      given(...soon, ...history)
        .when(retry)
        .thenNothing();
  });

  it('that failed may have been sent after all', () =>
    given(...soon, failed)
      .when(recordSent())
      .thenOnce(sent));

  it('is acknowledged once, sent or failed', () => {
    for (const told of [sent, failed])
      given(...soon, told)
        .when(acknowledge)
        .thenOnce(acknowledged);
  });

  it('that nobody was told cannot be acknowledged', () => {
    given(...soon)
      .when(acknowledge)
      .thenRefused('invalid_request', { field: 'threshold' });
    given(...soon, sent)
      .when(command('AcknowledgeNotice', { channel: 'ui' }))
      .thenRefused('invalid_request');
  });

  it('is refused for a version or secret that there is not', () => {
    for (const version of [0, 2])
      given(...soon)
        .when(recordSent({ version }))
        .thenRefused('invalid_request', { field: 'version' });
    for (const each of [recordSent(), recordFailed, retry, acknowledge])
      given(registered).when(each).thenRefused('secret_not_found');
  });

  it('is recorded also where the secret was revoked meanwhile', () =>
    given(...soon, revoked())
      .when(recordSent())
      .thenOnce(sent));

  it("and a recorded expiry do not change the secret's ETag; all else does", () => {
    const expired: ApplicationEvent = {
      type: 'SecretExpired',
      data: { ...ids, secretId: 's1', version: 1, expiresAt: day(5) },
    };
    expect(secretOf(...soon, sent, failed, retried, acknowledged, expired)?.resourceRevision).toBe(1);
    expect(secretOf(...soon, sent, suspended())?.resourceRevision).toBe(3);
    expect(secretOf(...soon, sent, renewed(2))?.resourceRevision).toBe(3);
    expect(secretOf(...soon, sent, revoked())?.resourceRevision).toBe(3);
  });
});
