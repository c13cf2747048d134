import { secretDocumentId } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';
import fc from 'fast-check';
import { APPLICATION, DOMAIN, SECRET, World } from './world.testing';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const at = (text: string): Instant => new Date(text).toISOString();
const ID = secretDocumentId(APPLICATION, SECRET);

let world: World;
beforeEach(async () => {
  world = new World(at('2027-03-01T12:00Z'));
  await world.begin();
});
afterEach(() => world.stop());

const addSecret = (expiresAt: Instant, more: object = {}) =>
  world.onSecret('AddSecret', { description: 'first', expiresAt, ...more });

/** Sent notices of a channel as `<threshold> <instant>`. */
const told = (channel: 'log' | 'ui' = 'log'): string[] =>
  world[channel].sent.map(({ threshold, at: when }) => `${threshold} ${when}`);

describe('a watched secret', () => {
  it('with a life of seconds has its expiry recorded in time, and every channel sends a notice', async () => {
    await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(4_999, 1);
    expect(world.recorded('SecretExpired')).toEqual([]);
    await world.advance(1);
    expect(world.recorded('SecretExpired')).toMatchObject([
      { secretId: SECRET, version: 1, expiresAt: at('2027-03-01T12:00:05Z') },
    ]);
    expect([told('log'), told('ui')]).toEqual([
      [`0 ${at('2027-03-01T12:00:05Z')}`],
      [`0 ${at('2027-03-01T12:00:05Z')}`],
    ]);
    expect(world.jobs.ids()).toEqual([]);
  });

  it('has one notice per threshold and channel, at the first tick', async () => {
    await world.watch();
    await addSecret(at('2027-03-31T12:00Z'));
    await world.advance(40 * DAY_MS);
    const expected = [
      `20 ${at('2027-03-12T05:00Z')}`,
      `15 ${at('2027-03-17T05:00Z')}`,
      `10 ${at('2027-03-22T05:00Z')}`,
      `5 ${at('2027-03-27T05:00Z')}`,
      `1 ${at('2027-03-31T05:00Z')}`,
      `0 ${at('2027-03-31T12:00Z')}`,
    ];
    expect(told('log')).toEqual(expected);
    expect(told('ui')).toEqual(expected);
    expect(world.recorded('ExpiryNoticeSent')).toHaveLength(12);
    expect(world.recorded('SecretExpired')).toHaveLength(1);
  });

  it('has notices with its names and the contacts of its application and domain, without duplicates', async () => {
    await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(5_000);
    expect(world.log.sent).toMatchObject([
      {
        domainId: DOMAIN,
        domainName: 'Shop',
        applicationId: APPLICATION,
        applicationName: 'Web',
        clientId: 'web',
        secretId: SECRET,
        version: 1,
        description: 'first',
        expiresAt: at('2027-03-01T12:00:05Z'),
        threshold: 0,
        contacts: ['web@example.org', 'ops@example.org'],
      },
    ]);
    expect(world.recorded('ExpiryNoticeSent')[0]).toMatchObject({ channel: 'log', recipients: 2 });
    expect(world.log.sent[0]?.messageId).not.toBe(world.ui.sent[0]?.messageId);
    expect(JSON.stringify(world.log.sent)).not.toContain('argon2');
  });

  it('has notices for its new expiry after a renewal', async () => {
    await world.watch();
    await addSecret(at('2027-03-01T14:00Z'));
    await world.advance(HOUR_MS);
    expect(world.jobs.ids()).toEqual([`expire.${ID}.1`]);
    await world.onSecret('RenewSecret', { expiresAt: at('2027-03-01T15:00Z') });
    await world.advance(HOUR_MS);
    expect(world.recorded('SecretExpired')).toEqual([]);
    await world.advance(HOUR_MS);
    expect(world.recorded('SecretExpired')).toMatchObject([{ version: 2 }]);
    expect(world.log.sent).toMatchObject([{ version: 2, threshold: 0 }]);
  });

  it('has the end of its overlap in the notice, because the previous version may outlive the current one', async () => {
    await world.watch();
    await addSecret(at('2027-04-01T00:00Z'));
    await world.onSecret('RenewSecret', {
      expiresAt: at('2027-03-01T13:00Z'),
      overlap: { amount: 2, unit: 'hours' },
    });
    await world.advance(HOUR_MS);
    expect(world.log.sent).toMatchObject([
      { version: 2, threshold: 0, expiresAt: at('2027-03-01T13:00Z'), previousValidUntil: at('2027-03-01T14:00Z') },
    ]);
  });

  it('has a notice for each expiry when it is renewed after the first', async () => {
    await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(5_000);
    await world.onSecret('RenewSecret', { expiresAt: at('2027-03-01T12:00:15Z') });
    await world.advance(20_000, 1_000);
    expect(world.log.sent.map(({ version, threshold }) => [version, threshold])).toEqual([
      [1, 0],
      [2, 0],
    ]);
  });
});

describe('jobs are cancelled and no notice is sent when a secret is', () => {
  const EXPIRES = at('2027-03-02T05:30Z');

  it.each<[string, () => Promise<unknown>, number]>([
    ['revoked', () => world.onSecret('RevokeSecret', { force: true }), 0],
    ['suspended', () => world.onSecret('SuspendSecret', { force: true }), 1],
    ['of an application that is disabled', () => world.onApplication('UpdateApplication', { enabled: false }), 1],
    ['of an application that is deleted', () => world.onApplication('DeleteApplication'), 0],
    ['of a domain that is disabled', () => world.do('UpdateDomain', { domainId: DOMAIN, enabled: false }), 1],
    ['of a domain that is deleted', () => world.do('DeleteDomain', { domainId: DOMAIN }), 0],
  ])('%s', async (_what, happen, expiries) => {
    await world.watch();
    await addSecret(EXPIRES);
    await world.advanceTo(at('2027-03-02T04:45Z'));
    expect(world.jobs.ids()).toEqual([`expire.${ID}.1`, `notice.${ID}.1.1.log`, `notice.${ID}.1.1.ui`]);
    await happen();
    expect(world.jobs.ids()).toEqual(expiries === 0 ? [] : [`expire.${ID}.1`]);
    await world.advance(3 * DAY_MS);
    expect(world.log.sent).toEqual([]);
    expect(world.recorded('SecretExpired')).toHaveLength(expiries);
  });

  it.each<[string, () => Promise<unknown>, () => Promise<unknown>]>([
    [
      'suspended, until it is resumed',
      () => world.onSecret('SuspendSecret', { force: true }),
      () => world.onSecret('ResumeSecret'),
    ],
    [
      'of a disabled application, until that is enabled',
      () => world.onApplication('UpdateApplication', { enabled: false }),
      () => world.onApplication('UpdateApplication', { enabled: true }),
    ],
    [
      'of a disabled domain, until that is enabled',
      () => world.do('UpdateDomain', { domainId: DOMAIN, enabled: false }),
      () => world.do('UpdateDomain', { domainId: DOMAIN, enabled: true }),
    ],
  ])('%s', async (_what, close, open) => {
    await world.watch();
    await addSecret(EXPIRES);
    await world.advanceTo(at('2027-03-02T04:45Z'));
    await close();
    await world.advanceTo(at('2027-03-02T05:10Z'));
    expect(world.log.sent).toEqual([]);
    await open();
    expect(told()).toEqual([`1 ${at('2027-03-02T05:10Z')}`]);
  });

  it('changed while its job is running', async () => {
    await world.watch();
    await addSecret(EXPIRES);
    await world.advanceTo(at('2027-03-02T04:45Z'));
    // The view misses the change, so the job is not cancelled and must check the streams.
    world.schedule.appliedEvents = world.store.events.length;
    await world.onSecret('SuspendSecret', { force: true });
    await world.advanceTo(at('2027-03-02T05:10Z'));
    expect(world.log.sent).toEqual([]);
  });
});

describe('no expiry is lost', () => {
  it('when the system was down at the expiry', async () => {
    await world.watch();
    await addSecret(at('2027-03-20T12:00Z'));
    await world.advanceTo(at('2027-03-19T00:00Z'));
    await world.stop();
    await world.advance(3 * DAY_MS);
    await world.watch();
    expect(world.recorded('SecretExpired')).toHaveLength(1);
    expect(told().slice(-1)).toEqual([`0 ${at('2027-03-22T00:00Z')}`]);
  });

  it('when the system was down for months, but its notice is dropped', async () => {
    await addSecret(at('2027-03-20T12:00Z'));
    await world.advance(90 * DAY_MS, DAY_MS);
    await world.watch();
    expect(world.recorded('SecretExpired')).toHaveLength(1);
    expect(world.log.sent).toEqual([]);
  });

  it('when the jobs are lost', async () => {
    await world.watch();
    await addSecret(at('2027-03-31T12:00Z'));
    for (let hour = 0; hour < 31 * 24; hour++) {
      world.jobs.lose();
      await world.advance(HOUR_MS, HOUR_MS / 4);
    }
    expect(told().map((line) => line.split(' ')[0])).toEqual(['20', '15', '10', '5', '1', '0']);
    expect(world.recorded('SecretExpired')).toHaveLength(1);
  });

  it('when the view is unavailable for a while', async () => {
    world.schedule.unavailable = true;
    const watcher = await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(40_000, 1_000);
    expect(watcher.status()).toEqual({ ready: false, cause: 'The view is unavailable.' });
    world.schedule.unavailable = false;
    await world.advance(2_000, 1_000);
    expect(watcher.status()).toEqual({ ready: true });
    expect(world.recorded('SecretExpired')).toHaveLength(1);
    expect(world.log.sent).toHaveLength(1);
  });

  it('when the jobs are unavailable at the start', async () => {
    world.jobs.unavailable = true;
    const watcher = await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(40_000, 1_000);
    expect(watcher.status()).toMatchObject({ ready: false });
    world.jobs.unavailable = false;
    await world.advance(2_000, 1_000);
    expect(watcher.status()).toEqual({ ready: true });
    expect(world.recorded('SecretExpired')).toHaveLength(1);
    expect(world.log.sent).toHaveLength(1);
  });

  it('when the view applies an event too late', async () => {
    await world.watch();
    world.schedule.appliedEvents = world.store.events.length;
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(3_000, 1_000);
    expect(world.jobs.ids()).toEqual([]);
    world.schedule.appliedEvents = Infinity;
    await world.advance(3_000, 1_000);
    expect(world.recorded('SecretExpired')).toHaveLength(1);
  });

  it('when the clock of the command-service lags', async () => {
    await world.watch({ sweepEveryMs: 60_000 });
    world.bus.behindMs = 2_000;
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(5_000, 1_000);
    expect(world.recorded('SecretExpired')).toEqual([]);
    await world.advance(60_000, 1_000);
    expect(world.recorded('SecretExpired')).toHaveLength(1);
    expect(world.log.sent).toHaveLength(1);
  });

  it('when the bus is unavailable for longer than a job is retried', async () => {
    await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    world.bus.unavailable = true;
    await world.advance(HOUR_MS, 30_000);
    world.bus.unavailable = false;
    await world.advance(10 * 60_000, 30_000);
    expect(world.recorded('SecretExpired')).toHaveLength(1);
    expect(world.log.sent).toHaveLength(1);
  });
});

describe('each notice is sent once', () => {
  it('with several watchers, and after a restart', async () => {
    await world.watch();
    await world.watch();
    await addSecret(at('2027-03-03T12:00Z'));
    await world.advanceTo(at('2027-03-03T06:00Z'));
    await world.stop();
    await world.watch();
    await world.advance(DAY_MS);
    expect(told().map((line) => line.split(' ')[0])).toEqual(['5', '1', '0']);
    expect(world.recorded('SecretExpired')).toHaveLength(1);
  });

  it('when it cannot be recorded at once', async () => {
    await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    world.log.onSend = () => (world.bus.unavailable = true);
    await world.advance(60_000, 1_000);
    expect(world.recorded('ExpiryNoticeSent').map(({ channel }) => channel)).not.toContain('log');
    world.bus.unavailable = false;
    await world.advance(10 * 60_000, 10_000);
    expect(world.recorded('ExpiryNoticeSent')).toHaveLength(2);
    expect(world.log.sent).toHaveLength(1);
  });

  it('except after a crash before it is recorded, and then with the same message id', async () => {
    await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    world.log.onSend = () => (world.bus.unavailable = true);
    await world.advance(5_000);
    await world.stop();
    world.log.onSend = () => undefined;
    world.bus.unavailable = false;
    await world.watch();
    await world.advance(60_000, 1_000);
    expect(world.log.sent).toHaveLength(2);
    expect(new Set(world.log.sent.map(({ messageId }) => messageId)).size).toBe(1);
    expect(world.recorded('ExpiryNoticeSent').filter(({ channel }) => channel === 'log')).toHaveLength(1);
  });
});

describe('a channel that fails', () => {
  const EXPIRED = at('2027-03-01T12:00:05Z');
  beforeEach(async () => {
    world.log.broken = 'The receiver answered 500.';
    await world.watch();
    await addSecret(EXPIRED);
  });

  it('is retried and delays no other', async () => {
    await world.advance(6_000, 1_000);
    expect([world.log.sent.length, world.ui.sent.length]).toEqual([0, 1]);
    world.log.broken = undefined;
    await world.advance(60_000, 1_000);
    expect([world.log.sent.length, world.ui.sent.length]).toEqual([1, 1]);
    expect(world.recorded('ExpiryNoticeFailed')).toEqual([]);
  });

  it('has its failure recorded with the cause after the last attempt', async () => {
    await world.advance(2 * HOUR_MS, 10_000);
    expect(world.recorded('ExpiryNoticeFailed')).toMatchObject([
      { secretId: SECRET, version: 1, threshold: 0, channel: 'log', cause: 'The receiver answered 500.' },
    ]);
    world.log.broken = undefined;
    await world.advance(DAY_MS);
    expect(world.log.sent).toEqual([]);
  });

  it('is retried on request, any number of times', async () => {
    const notice = { version: 1, threshold: 0, channel: 'log' };
    await world.advance(2 * HOUR_MS, 10_000);
    await world.onSecret('RetryNotice', notice);
    await world.advance(2 * HOUR_MS, 10_000);
    expect(world.recorded('ExpiryNoticeFailed')).toHaveLength(2);
    world.log.broken = undefined;
    await world.onSecret('RetryNotice', notice);
    expect(world.log.sent).toHaveLength(1);
    expect(world.recorded('ExpiryNoticeSent')).toMatchObject([{ channel: 'ui' }, { channel: 'log' }]);
  });

  it('is retried on request even if its job has not been removed yet', async () => {
    await world.advance(2 * HOUR_MS, 10_000);
    world.log.broken = undefined;
    const { known } = world.jobs;
    const id = `notice.${ID}.1.0.log`;
    const job = { id, queue: 'notices.log', runAt: EXPIRED, data: {} };
    known.set(`notices.log ${id}`, { job, dueMs: 0, attempts: 8, state: 'running' });
    await world.onSecret('RetryNotice', { version: 1, threshold: 0, channel: 'log' });
    known.delete(`notices.log ${id}`);
    await world.advance(2_001, 1_000);
    expect(world.log.sent).toHaveLength(1);
  });
});

describe('a retried notice', () => {
  it('is recorded as failed if the secret was renewed', async () => {
    world.log.broken = 'The receiver answered 500.';
    await world.watch();
    await addSecret(at('2027-03-03T12:00Z'));
    await world.advanceTo(at('2027-03-02T12:00Z'));
    const notice = { version: 1, threshold: 5, channel: 'log' };
    expect(world.recorded('ExpiryNoticeFailed')).toMatchObject([notice]);
    world.log.broken = undefined;
    await world.onSecret('RenewSecret', { expiresAt: at('2027-12-31T00:00Z') });
    await world.onSecret('RetryNotice', notice);
    expect(world.log.sent).toEqual([]);
    expect(world.recorded('ExpiryNoticeFailed')[1]).toMatchObject({
      ...notice,
      cause: 'The secret was renewed or revoked.',
    });
  });

  it('is recorded as failed if the secret has expired', async () => {
    world.log.broken = 'The receiver answered 500.';
    await world.watch();
    await addSecret(at('2027-03-03T12:00Z'));
    await world.advanceTo(at('2027-03-03T12:00Z'));
    world.log.broken = undefined;
    await world.onSecret('RetryNotice', { version: 1, threshold: 5, channel: 'log' });
    await world.advance(5_000);
    expect(world.log.sent.map(({ threshold }) => threshold)).toEqual([0]);
    expect(world.recorded('ExpiryNoticeFailed').at(-1)).toMatchObject({
      threshold: 5,
      cause: 'The secret expired before the notice could be sent.',
    });
  });

  it('waits while the secret is suspended', async () => {
    world.log.broken = 'The receiver answered 500.';
    await world.watch();
    await addSecret(at('2027-03-05T12:00Z'));
    await world.advanceTo(at('2027-03-02T12:00Z'));
    world.log.broken = undefined;
    await world.onSecret('SuspendSecret', { force: true });
    await world.onSecret('RetryNotice', { version: 1, threshold: 5, channel: 'log' });
    await world.advance(HOUR_MS);
    expect(world.log.sent).toEqual([]);
    await world.onSecret('ResumeSecret');
    expect(world.log.sent).toMatchObject([{ threshold: 5 }]);
  });

  it('is recorded as failed if its channel is not enabled', async () => {
    world.log.broken = 'The receiver answered 500.';
    await world.watch();
    await addSecret(at('2027-03-01T12:00:05Z'));
    await world.advance(2 * HOUR_MS, 10_000);
    await world.stop();
    await world.watch({ notifiers: [world.ui] });
    await world.onSecret('RetryNotice', { version: 1, threshold: 0, channel: 'log' });
    expect(world.recorded('ExpiryNoticeFailed')[1]).toMatchObject({
      channel: 'log',
      cause: 'The channel log is not enabled.',
    });
  });
});

describe('the configuration', () => {
  const notifications = { enabled: true, cronExpression: '0 0 5 * * *', timezone: 'UTC', expiryThresholds: [1] };

  it('can disable notices; expiries are still recorded', async () => {
    await world.watch({ notifications: { ...notifications, enabled: false } });
    await addSecret(at('2027-03-02T12:00Z'));
    await world.advance(2 * DAY_MS);
    expect(world.recorded('SecretExpired')).toHaveLength(1);
    expect([...world.log.sent, ...world.ui.sent]).toEqual([]);
  });

  it('applies from the start, also to jobs of an older configuration', async () => {
    await world.watch({ notifications: { ...notifications, cronExpression: '0 0 13 * * *' } });
    await addSecret(at('2027-03-02T12:30Z'), { description: 'first' });
    await world.advance(20 * 60_000);
    expect(world.jobs.ids()).toEqual([`notice.${ID}.1.1.log`, `notice.${ID}.1.1.ui`]);
    await world.stop();
    await world.watch({ notifications: { ...notifications, cronExpression: '0 30 12 * * *' } });
    await world.advance(10 * 60_000);
    expect(told()).toEqual([`1 ${at('2027-03-01T12:30Z')}`]);
  });

  it('is refused with the name of the invalid field', async () => {
    const wrong = world.watch({ notifications: { ...notifications, cronExpression: 'daily' } });
    await expect(wrong).rejects.toMatchObject({ details: { field: 'notifications.cronExpression' } });
  });
});

describe('in any sequence of events', () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .constantFrom(HOUR_MS, 5 * HOUR_MS, DAY_MS, 4 * DAY_MS)
        .map((ms) => ({ kind: 'advance', ms }) as const),
    },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 30 * 24 }).map((hours) => ({ kind: 'renew', hours }) as const) },
    ...(['suspend', 'resume', 'disable', 'enable', 'restart', 'lose', 'break', 'mend', 'down', 'up'] as const).map(
      (kind) => ({
        weight: 1,
        arbitrary: fc.constant({ kind } as const),
      }),
    ),
  );

  it('no notice is sent twice or after the expiry, and every expiry is recorded in the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const around = new World(at('2027-03-01T12:00Z'));
        await around.begin();
        await around.watch();
        await around.onSecret('AddSecret', { description: 'first', expiresAt: at('2027-03-23T12:00Z') });
        for (const next of steps) {
          if (next.kind === 'advance') await around.advance(next.ms, 3 * HOUR_MS);
          if (next.kind === 'renew') {
            const expiresAt = new Date(around.clock.nowMs() + next.hours * HOUR_MS).toISOString();
            around.bus.unavailable = false;
            await around.onSecret('RenewSecret', { expiresAt }).catch(() => undefined);
          }
          if (next.kind === 'suspend') await around.onSecret('SuspendSecret', { force: true }).catch(() => undefined);
          if (next.kind === 'resume') await around.onSecret('ResumeSecret').catch(() => undefined);
          if (next.kind === 'disable' || next.kind === 'enable')
            await around.onApplication('UpdateApplication', { enabled: next.kind === 'enable' }).catch(() => undefined);
          if (next.kind === 'restart') {
            await around.stop();
            await around.watch();
          }
          if (next.kind === 'lose') around.jobs.lose();
          if (next.kind === 'break' || next.kind === 'mend')
            around.log.broken = next.kind === 'break' ? 'Broken.' : undefined;
          if (next.kind === 'down' || next.kind === 'up') around.bus.unavailable = next.kind === 'down';
        }
        around.bus.unavailable = false;
        around.log.broken = undefined;
        await around.advance(30 * DAY_MS + HOUR_MS, 3 * HOUR_MS);
        await around.stop();
        for (const { sent } of [around.log, around.ui]) {
          const keys = sent.map(({ version, threshold }) => `${version}.${threshold}`);
          expect(new Set(sent.map(({ messageId }) => messageId)).size).toBe(new Set(keys).size);
          for (const { threshold, expiresAt, at: when } of sent) expect(threshold === 0).toBe(when >= expiresAt);
        }
        const recorded = around
          .recorded('ExpiryNoticeSent')
          .map(({ version, threshold, channel }) => `${version}.${threshold}.${channel}`);
        expect(new Set(recorded).size).toBe(recorded.length);
        const renewals = around.recorded('SecretRenewed');
        expect(around.recorded('SecretExpired').at(-1)).toMatchObject({ version: renewals.length + 1 });
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});
