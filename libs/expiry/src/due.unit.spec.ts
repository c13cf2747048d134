import type { Instant } from '@rekey/domain';
import fc from 'fast-check';
import {
  EXPIRED_NOTICE_DAYS,
  dueJobs,
  possibleJobs,
  queueOf,
  type DueJob,
  type NoticeRules,
  type ExpiryFacts,
} from './due';
import { Ticks } from './ticks';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const daily = new Ticks('0 0 5 * * *', 'UTC');
const rules: NoticeRules = { thresholds: [20, 15, 10, 5, 1], channels: ['log'], ticks: daily };

const at = (text: string): Instant => new Date(text).toISOString();
const plus = (instant: Instant, ms: number): Instant => new Date(Date.parse(instant) + ms).toISOString();

/** A secret made on 1 March that expires on 31 March at noon. */
const secret: ExpiryFacts = {
  _id: 'a.s',
  applicationId: 'a',
  secretId: 's',
  domainId: 'd',
  version: 1,
  createdAt: at('2027-03-01T12:00Z'),
  expiresAt: at('2027-03-31T12:00Z'),
  state: 'active',
  notices: {},
};
const EVER = at('9000-01-01T00:00Z');

/** Jobs as `<id without prefix> <instant>`. */
const listed = (due: readonly DueJob[]): string[] => due.map(({ id, runAt }) => `${id} ${runAt}`);
const ids = (due: readonly DueJob[]): string[] => due.map(({ id }) => id);

describe('dueJobs without notices on record', () => {
  it('returns the expiry, and each threshold at its first tick', () => {
    expect(listed(dueJobs(secret, rules, secret.createdAt, EVER))).toEqual([
      'expire.a.s.1 2027-03-31T12:00:00.000Z',
      'notice.a.s.1.1.log 2027-03-31T05:00:00.000Z',
      'notice.a.s.1.5.log 2027-03-27T05:00:00.000Z',
      'notice.a.s.1.10.log 2027-03-22T05:00:00.000Z',
      'notice.a.s.1.15.log 2027-03-17T05:00:00.000Z',
      'notice.a.s.1.20.log 2027-03-12T05:00:00.000Z',
    ]);
  });

  it('returns only jobs up to the horizon', () => {
    expect(dueJobs(secret, rules, secret.createdAt, at('2027-03-12T04:59:59.999Z'))).toEqual([]);
    expect(ids(dueJobs(secret, rules, secret.createdAt, at('2027-03-12T05:00Z')))).toEqual(['notice.a.s.1.20.log']);
  });

  it('accepts a tick exactly at the threshold', () => {
    const value = { ...secret, expiresAt: at('2027-03-31T05:00Z') };
    const due = dueJobs(value, { ...rules, thresholds: [1] }, secret.createdAt, EVER);
    expect(listed(due)).toContain('notice.a.s.1.1.log 2027-03-30T05:00:00.000Z');
  });

  it('returns only the nearest threshold of those that a short life starts within', () => {
    const value = { ...secret, createdAt: at('2027-03-24T12:00Z') };
    expect(listed(dueJobs(value, rules, value.createdAt, EVER))).toEqual([
      'expire.a.s.1 2027-03-31T12:00:00.000Z',
      'notice.a.s.1.1.log 2027-03-31T05:00:00.000Z',
      'notice.a.s.1.5.log 2027-03-27T05:00:00.000Z',
      'notice.a.s.1.10.log 2027-03-25T05:00:00.000Z',
    ]);
  });

  it('returns only the nearest threshold of those due by now', () => {
    const due = dueJobs(secret, rules, at('2027-03-28T00:00Z'), EVER);
    expect(ids(due)).toEqual(['expire.a.s.1', 'notice.a.s.1.1.log', 'notice.a.s.1.5.log']);
  });

  it('drops a notice whose first tick is at or after the expiry', () => {
    const value = { ...secret, createdAt: at('2027-03-31T05:00:00.001Z') };
    expect(ids(dueJobs(value, rules, value.createdAt, EVER))).toEqual(['expire.a.s.1']);
    const atTick = { ...secret, createdAt: at('2027-03-30T06:00Z'), expiresAt: at('2027-03-31T05:00Z') };
    expect(ids(dueJobs(atTick, rules, atTick.createdAt, EVER))).toEqual(['expire.a.s.1']);
  });

  it('returns only the nearest threshold for a life of seconds', () => {
    const value = { ...secret, createdAt: at('2027-03-31T11:59:55.500Z') };
    const everySecond = { ...rules, ticks: new Ticks('* * * * * *', 'UTC') };
    expect(listed(dueJobs(value, everySecond, value.createdAt, EVER))).toEqual([
      'expire.a.s.1 2027-03-31T12:00:00.000Z',
      'notice.a.s.1.1.log 2027-03-31T11:59:56.000Z',
    ]);
  });

  it('returns one notice for thresholds that share a tick', () => {
    const weekly = { ...rules, thresholds: [1, 2, 10], ticks: new Ticks('0 0 5 * * 1', 'UTC') };
    const value = { ...secret, expiresAt: at('2027-03-30T12:00Z') };
    expect(listed(dueJobs(value, weekly, secret.createdAt, EVER))).toEqual([
      'expire.a.s.1 2027-03-30T12:00:00.000Z',
      'notice.a.s.1.2.log 2027-03-29T05:00:00.000Z',
      'notice.a.s.1.10.log 2027-03-22T05:00:00.000Z',
    ]);
    const shared = { ...value, expiresAt: at('2027-03-31T12:00Z') };
    expect(listed(dueJobs(shared, { ...weekly, thresholds: [3, 4, 10] }, secret.createdAt, EVER))).toEqual([
      'expire.a.s.1 2027-03-31T12:00:00.000Z',
      'notice.a.s.1.3.log 2027-03-29T05:00:00.000Z',
      'notice.a.s.1.10.log 2027-03-22T05:00:00.000Z',
    ]);
  });

  it('returns a notice for each channel', () => {
    const due = dueJobs(secret, { ...rules, thresholds: [5], channels: ['log', 'ui'] }, secret.createdAt, EVER);
    expect(ids(due)).toEqual(['expire.a.s.1', 'notice.a.s.1.5.log', 'notice.a.s.1.5.ui']);
  });

  it('returns only the expiry if no channel is enabled', () => {
    expect(ids(dueJobs(secret, { ...rules, channels: [] }, secret.createdAt, EVER))).toEqual(['expire.a.s.1']);
  });

  it('returns nothing for a secret that never expires', () => {
    const { expiresAt: _expiresAt, ...never } = secret;
    expect(dueJobs(never, rules, secret.createdAt, EVER)).toEqual([]);
  });
});

describe('a notice on record', () => {
  const now = at('2027-03-28T00:00Z');
  const withNotices = (notices: ExpiryFacts['notices']) => ({ ...secret, notices });

  it.each(['sent', 'failed', 'acknowledged'] as const)(
    'settles its threshold and greater ones when it is %s',
    (state) => {
      expect(ids(dueJobs(withNotices({ '5.log': state }), rules, now, EVER))).toEqual([
        'expire.a.s.1',
        'notice.a.s.1.1.log',
      ]);
    },
  );

  it('settles greater thresholds even if its own is no longer configured', () => {
    const due = dueJobs(withNotices({ '3.log': 'sent' }), rules, now, EVER);
    expect(ids(due)).toEqual(['expire.a.s.1', 'notice.a.s.1.1.log']);
  });

  it('settles nothing in another channel', () => {
    const both = { ...rules, channels: ['log', 'ui'] };
    expect(ids(dueJobs(withNotices({ '1.log': 'sent' }), both, now, now))).toEqual(['notice.a.s.1.5.ui']);
  });

  it('settles nothing in a channel whose name has the same ending', () => {
    const both = { ...rules, channels: ['log', 'audit.log'] };
    expect(ids(dueJobs(withNotices({ '1.audit.log': 'sent' }), both, now, now))).toEqual(['notice.a.s.1.5.log']);
  });

  it('is due at once when it is retried, even if a nearer one was sent', () => {
    const due = dueJobs(withNotices({ '10.log': 'retried', '5.log': 'sent' }), rules, now, now);
    expect(listed(due)).toEqual([`notice.a.s.1.10.log ${now}`]);
  });
});

describe('the notice of the expiry', () => {
  const now = secret.expiresAt ?? '';
  const expired: ExpiryFacts = { ...secret, expiredVersion: 1 };

  it('waits until the expiry is recorded', () => {
    expect(ids(dueJobs(secret, rules, now, EVER))).toEqual(['expire.a.s.1']);
    expect(listed(dueJobs(expired, rules, now, now))).toEqual([`notice.a.s.1.0.log ${now}`]);
  });

  it('is the only job after the expiry is recorded', () => {
    expect(ids(dueJobs({ ...expired, notices: { '5.log': 'retried' } }, rules, now, EVER))).toEqual([
      'notice.a.s.1.0.log',
    ]);
  });

  it('is sent once', () => {
    expect(dueJobs({ ...expired, notices: { '0.log': 'sent' } }, rules, now, EVER)).toEqual([]);
    expect(dueJobs({ ...expired, notices: { '0.log': 'failed' } }, rules, now, EVER)).toEqual([]);
    expect(ids(dueJobs({ ...expired, notices: { '0.log': 'retried' } }, rules, now, EVER))).toEqual([
      'notice.a.s.1.0.log',
    ]);
  });

  it('is dropped after 30 days', () => {
    const late = plus(now, EXPIRED_NOTICE_DAYS * DAY_MS);
    expect(ids(dueJobs(expired, rules, plus(late, -1), EVER))).toEqual(['notice.a.s.1.0.log']);
    expect(dueJobs(expired, rules, late, EVER)).toEqual([]);
    expect(ids(dueJobs(secret, rules, late, EVER))).toEqual(['expire.a.s.1']);
  });

  it('belongs to the expired version, not to the next one', () => {
    const renewed: ExpiryFacts = { ...expired, version: 2, createdAt: now, expiresAt: at('2027-04-30T12:00Z') };
    expect(ids(dueJobs(renewed, rules, now, at('2027-04-26T00:00Z')))).not.toContain('notice.a.s.2.0.log');
    expect(ids(dueJobs(renewed, rules, at('2027-04-30T12:00Z'), EVER))).toEqual(['expire.a.s.2']);
  });
});

describe('a secret that is not active', () => {
  const now = at('2027-03-28T00:00Z');

  it.each(['suspended', 'disabled'] as const)('has its expiry recorded without notices when it is %s', (state) => {
    expect(ids(dueJobs({ ...secret, state }, rules, now, EVER))).toEqual(['expire.a.s.1']);
    expect(dueJobs({ ...secret, state, expiredVersion: 1 }, rules, secret.expiresAt ?? '', EVER)).toEqual([]);
  });

  it.each(['revoked', 'deleted'] as const)('has no jobs when it is %s', (state) => {
    expect(dueJobs({ ...secret, state }, rules, now, EVER)).toEqual([]);
  });

  it('has no jobs while its document is broken', () => {
    expect(dueJobs({ ...secret, broken: true }, rules, now, EVER)).toEqual([]);
  });
});

describe('job ids', () => {
  it('contain only characters that every engine accepts, and are all in possibleJobs', () => {
    const all = possibleJobs('a.s', 1, { ...rules, channels: ['log', 'ui'] });
    for (const job of all) expect(`${queueOf(job)} ${job.id}`).toMatch(/^[\w.-]+ [\w.-]+$/);
    const due = dueJobs(secret, rules, secret.createdAt, EVER);
    expect(all.map(({ id }) => id)).toEqual(expect.arrayContaining(ids(due)));
  });
});

describe('a watcher that computes jobs at random times', () => {
  const life = fc.record({
    createdAt: fc.integer({ min: Date.UTC(2027, 0, 1), max: Date.UTC(2027, 11, 31) }),
    livesMs: fc.oneof(fc.integer({ min: 1, max: 3 * HOUR_MS }), fc.integer({ min: 1, max: 60 * DAY_MS })),
    thresholds: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 6 }),
    cron: fc.constantFrom('0 0 5 * * *', '0 30 2 * * *', '0 0 */6 * * *', '0 0 9 * * 1'),
    zone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York'),
    /** Waits between looks: sometimes it was down for days. */
    waitsMs: fc.array(fc.oneof(fc.integer({ min: 1, max: 6 * HOUR_MS }), fc.integer({ min: 1, max: 9 * DAY_MS })), {
      minLength: 1,
      maxLength: 30,
    }),
  });

  it('sends each threshold at most once, in decreasing order, none after the expiry, and the expiry last', () => {
    fc.assert(
      fc.property(life, ({ createdAt, livesMs, thresholds, cron, zone, waitsMs }) => {
        const made = new Date(createdAt).toISOString();
        const expiresAt = plus(made, livesMs);
        const ticks = new Ticks(cron, zone);
        const known: NoticeRules = { thresholds, channels: ['log'], ticks };
        let value: ExpiryFacts = { ...secret, createdAt: made, expiresAt };
        let now = made;
        const told: { threshold: number; at: Instant }[] = [];
        for (let look = 0, over = false; !over; look++) {
          over = now >= expiresAt;
          for (let due = dueJobs(value, known, now, now); due.length > 0; due = dueJobs(value, known, now, now)) {
            const [first] = due;
            expect(due).toHaveLength(1);
            expect((first?.runAt ?? '') <= now).toBe(true);
            if (first?.kind === 'expiry') value = { ...value, expiredVersion: 1 };
            if (first?.kind !== 'notice') continue;
            told.push({ threshold: first.threshold, at: now });
            value = { ...value, notices: { ...value.notices, [`${first.threshold}.log`]: 'sent' } };
          }
          now = plus(now, waitsMs[look] ?? 2 * DAY_MS);
        }
        const before = told.slice(0, -1);
        expect(told.at(-1)?.threshold).toBe(0);
        for (const { at: when } of before) expect(when < expiresAt).toBe(true);
        const order = told.map(({ threshold }) => threshold);
        expect(order).toEqual([...new Set(order)].sort((left, right) => right - left));
        for (const { threshold, at: when } of before) {
          const due = ticks.atOrAfter([plus(expiresAt, -threshold * DAY_MS), made].sort().at(-1) ?? '') ?? '';
          expect(due <= when).toBe(true);
        }
      }),
    );
  });

  it('schedules the same jobs ahead of time as at every tick', () => {
    fc.assert(
      fc.property(life, ({ createdAt, livesMs, thresholds, cron, zone }) => {
        const made = new Date(createdAt).toISOString();
        const value: ExpiryFacts = { ...secret, createdAt: made, expiresAt: plus(made, livesMs) };
        const known: NoticeRules = { thresholds, channels: ['log'], ticks: new Ticks(cron, zone) };
        const ahead = dueJobs(value, known, made, EVER);
        for (const job of ahead)
          if (job.kind === 'notice' && job.runAt > made)
            expect(ids(dueJobs(value, known, job.runAt, job.runAt))).toContain(job.id);
        expect(new Set(ahead.map(({ runAt }) => runAt)).size).toBe(ahead.length);
      }),
    );
  });
});
