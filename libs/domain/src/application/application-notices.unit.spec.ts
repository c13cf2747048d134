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

describe('recording an expiry', () => {
  const expire = (version = 1): ApplicationCommand => ({
    type: 'ExpireSecret',
    data: { ...ids, secretId: 's1', version },
  });
  const expired: ApplicationEvent = {
    type: 'SecretExpired',
    data: { ...ids, secretId: 's1', version: 1, expiresAt: day(5) },
  };

  it('is accepted from the expiry on, and does nothing when repeated', () => {
    given(...soon, '2026-01-05T23:59:59.999Z')
      .when(expire())
      .thenNothing();
    given(...soon, day(5))
      .when(expire())
      .thenOnce(expired);
  });

  it('is accepted for a suspended secret and in a disabled application', () => {
    for (const pause of [suspended(), disabled])
      given(...soon, pause, day(6))
        .when(expire())
        .thenOnce(expired);
  });

  it('does nothing if the secret is renewed, revoked or never expires', () => {
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

  it('is accepted again for the next version', () =>
    given(...soon, day(5), expired, renewed(2, { expiresAt: day(6) }), day(6))
      .when(expire(2))
      .thenOnce({ type: 'SecretExpired', data: { ...ids, secretId: 's1', version: 2, expiresAt: day(6) } }));

  it('rejects an unknown secret', () => given(registered).when(expire()).thenRefused('secret_not_found'));
});

describe('expiry notices', () => {
  it('are recorded as sent only once', () => {
    given(...soon)
      .when(recordSent())
      .thenOnce(sent);
    given(...soon, sent, acknowledged)
      .when(recordSent())
      .thenNothing();
  });

  it('are distinguished by version, threshold and channel', () => {
    const history = [...soon, sent, renewed(2, { expiresAt: day(9) })];
    for (const more of [{ version: 2 }, { threshold: 1 }, { threshold: 0.5 }, { channel: 'ui' }])
      expect(
        given(...history)
          .when(recordSent(more))
          .events(),
      ).toHaveLength(1);
    expect(noticeId(key)).toBe('1.5.log');
  });

  it('are recorded as failed only once, and not after they were sent', () => {
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

  it('can be retried once after a failure, and can then be sent or fail again', () => {
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

  it('cannot be retried if they did not fail', () => {
    for (const history of [[], [sent], [failed, acknowledged]])
      given(...soon, ...history)
        .when(retry)
        .thenNothing();
  });

  it('can be recorded as sent after a failure', () =>
    given(...soon, failed)
      .when(recordSent())
      .thenOnce(sent));

  it('can be acknowledged once, whether sent or failed', () => {
    for (const told of [sent, failed])
      given(...soon, told)
        .when(acknowledge)
        .thenOnce(acknowledged);
  });

  it('cannot be acknowledged before they are sent or failed', () => {
    given(...soon)
      .when(acknowledge)
      .thenRefused('invalid_request', { field: 'threshold' });
    given(...soon, sent)
      .when(command('AcknowledgeNotice', { channel: 'ui' }))
      .thenRefused('invalid_request');
  });

  it('are rejected for an unknown version or secret', () => {
    for (const version of [0, 2])
      given(...soon)
        .when(recordSent({ version }))
        .thenRefused('invalid_request', { field: 'version' });
    for (const each of [recordSent(), recordFailed, retry, acknowledge])
      given(registered).when(each).thenRefused('secret_not_found');
  });

  it('are recorded even if the secret was revoked in the meantime', () =>
    given(...soon, revoked())
      .when(recordSent())
      .thenOnce(sent));

  it('and recorded expiries do not change the ETag of the secret, but every other event does', () => {
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
