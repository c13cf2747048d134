import fc from 'fast-check';
import {
  application,
  type ApplicationCommand,
  type ApplicationEvent,
  type ApplicationState,
  type RegisteredApplication,
} from '.';
import { clientId, context, domain, ids } from './application.testing';
import { fold, type Recorded } from '../decider';
import { DomainError } from '../errors';
import { DURATION_UNITS, type ApplicationPolicy, type DomainPolicy, type Instant } from '../expiry-policy';
import { isLive, liveVersions, statusAt } from '../liveness';

// ── Random commands ─────────────────────────────────────────────────────────────────────────────────────────────

const START = Date.parse('2026-01-01T00:00:00.000Z');
const HOUR = 3_600_000;
const instant = fc.integer({ min: -100, max: 3000 }).map((hours) => new Date(START + hours * HOUR).toISOString());
const duration = fc.record({
  amount: fc.integer({ min: 1, max: 40 }),
  unit: fc.constantFrom(...DURATION_UNITS.slice(2)),
});
const expiry = fc.oneof(
  fc.constant({}),
  fc.record({ expiresIn: duration }),
  fc.record({ expiresAt: fc.option(instant) }),
);
const applicationPolicy: fc.Arbitrary<ApplicationPolicy> = fc.oneof(
  fc.constantFrom<ApplicationPolicy[]>({ mode: 'inherit' }, { mode: 'never' }),
  duration.map((after) => ({ mode: 'after' as const, after })),
);
const domainPolicy: fc.Arbitrary<DomainPolicy> = fc.record(
  {
    expiry: duration.map((after) => ({ mode: 'after' as const, after })),
    minLifetime: duration,
    maxLifetime: duration,
  },
  { requiredKeys: [] },
);

const secretId = fc.constantFrom('s1', 's2', 's3', 's4');
const version = fc.integer({ min: 1, max: 2 });
const force = fc.boolean();
const notBefore = fc.option(instant, { nil: undefined });
const notice = { version, threshold: fc.constantFrom(0, 5), channel: fc.constant('log') };
const noData = fc.constant({});

/** For each command: its weight, and its data without the ids. */
const commands: { [Type in ApplicationCommand['type']]: [number, fc.Arbitrary<object>] } = {
  RegisterApplication: [2, fc.constant({ clientId, name: 'Shop' })],
  UpdateApplication: [2, fc.record({ enabled: fc.boolean() })],
  ChangeApplicationPolicy: [2, fc.record({ policy: applicationPolicy })],
  DeleteApplication: [1, noData],
  AddSecret: [
    10,
    fc.tuple(fc.record({ description: secretId, notBefore }), expiry).map(([own, end]) => ({ ...own, ...end })),
  ],
  RenewSecret: [
    8,
    fc
      .tuple(fc.record({ overlap: fc.option(duration, { nil: undefined }) }), expiry)
      .map(([own, end]) => ({ ...own, ...end })),
  ],
  EndOverlap: [3, noData],
  RevokeSecret: [3, fc.record({ force })],
  SuspendSecret: [3, fc.record({ force })],
  ResumeSecret: [3, noData],
  UpdateSecret: [3, fc.record({ notBefore: fc.option(instant) })],
  ExpireSecret: [2, fc.record({ version })],
  RecordNoticeSent: [2, fc.record({ ...notice, recipients: fc.nat(3) })],
  RecordNoticeFailed: [3, fc.record({ ...notice, cause: fc.constant('refused') })],
  RetryNotice: [3, fc.record(notice)],
  AcknowledgeNotice: [3, fc.record(notice)],
};

const applicationCommands = new Set<string>([
  'RegisterApplication',
  'UpdateApplication',
  'ChangeApplicationPolicy',
  'DeleteApplication',
]);
const command: fc.Arbitrary<ApplicationCommand> = fc.oneof(
  ...Object.entries(commands).map(([type, [weight, data]]) => ({
    weight,
    arbitrary: fc.tuple(data, secretId).map(
      ([more, id]) =>
        ({
          type,
          data: { ...ids, ...(!applicationCommands.has(type) && { secretId: id }), ...more },
        }) as ApplicationCommand,
    ),
  })),
);

interface Step {
  readonly waitMs: number;
  readonly command: ApplicationCommand;
  /** The policy of the domain from this command on. */
  readonly policy: DomainPolicy | undefined;
}
const steps: fc.Arbitrary<Step[]> = fc
  .array(
    fc.record({
      waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 200 * HOUR })),
      command,
      policy: fc.option(domainPolicy, { nil: undefined, freq: 6 }),
    }),
    { minLength: 5, maxLength: 40, size: 'max' },
  )
  .map((some) => [
    {
      waitMs: 0,
      policy: undefined,
      command: { type: 'RegisterApplication', data: { ...ids, clientId, name: 'Shop' } },
    },
    ...some,
  ]);

interface StepResult {
  readonly step: Step;
  readonly now: Instant;
  readonly before: ApplicationState;
  readonly after: ApplicationState;
  readonly decided: readonly ApplicationEvent[];
  readonly events: readonly Recorded<ApplicationEvent>[];
}

/** Runs the steps with a simulated clock, ignores rejected commands, and calls `each` after every step. */
const run = (
  all: readonly Step[],
  each: (result: StepResult) => void = () => undefined,
): Recorded<ApplicationEvent>[] => {
  const events: Recorded<ApplicationEvent>[] = [];
  let nowMs = START;
  let policy: DomainPolicy = {};
  let state: ApplicationState = application.initial;
  for (const step of all) {
    nowMs += step.waitMs;
    policy = step.policy ?? policy;
    const now = new Date(nowMs).toISOString();
    const before = state;
    let decided: ApplicationEvent[] = [];
    try {
      decided = application.decide(step.command, state, { ...context, now, domain: domain({ policy }) });
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
    }
    const metadata = { occurredAt: now, actor: { type: 'token', id: 'tester' }, commandId: 'command' } as const;
    for (const event of decided) events.push({ ...event, revision: events.length, metadata });
    state = fold(application, events.slice(events.length - decided.length), state);
    each({ step, now, before, after: state, decided, events });
  }
  return events;
};

const checkEveryStep = (check: (result: StepResult) => void) =>
  fc.assert(
    fc.property(steps, (all) => void run(all, check)),
    { numRuns: 150 },
  );

const secretsOf = (state: ApplicationState): RegisteredApplication['secrets'] =>
  'secrets' in state ? state.secrets : {};

// ── Ends of values, computed from the events only ───────────────────────────────────────────────────────────────

const NEVER = '~';

/** Returns when each value ends, computed from the events without the state: `<secretId>/<version>` → end. */
const endsOf = (events: readonly Recorded<ApplicationEvent>[]): Map<string, Instant> => {
  const ends = new Map<string, Instant>();
  const end = (key: string, at: Instant) => ends.set(key, at < (ends.get(key) ?? at) ? at : (ends.get(key) ?? at));
  for (const { type, data, metadata } of events) {
    const endAll = (prefix: string) =>
      [...ends.keys()].filter((key) => key.startsWith(prefix)).forEach((key) => end(key, metadata.occurredAt));
    if (type === 'SecretAdded') ends.set(`${data.secretId}/1`, data.expiresAt ?? NEVER);
    else if (type === 'SecretRenewed') {
      const until = data.previousValidUntil ?? metadata.occurredAt;
      for (let older = 1; older < data.version - 1; older++) end(`${data.secretId}/${older}`, metadata.occurredAt);
      end(`${data.secretId}/${data.version - 1}`, until);
      ends.set(`${data.secretId}/${data.version}`, data.expiresAt ?? NEVER);
    } else if (type === 'OverlapEnded') end(`${data.secretId}/${data.version}`, metadata.occurredAt);
    else if (type === 'SecretRevoked') endAll(`${data.secretId}/`);
    else if (type === 'ApplicationDeleted') endAll('');
  }
  return ends;
};

/** Returns the same, read from the state. A value that is missing there has ended. */
const knownEnds = (state: ApplicationState): Map<string, Instant> =>
  new Map(
    Object.values(secretsOf(state))
      .filter(({ status }) => status !== 'revoked')
      .flatMap(({ secretId: id, version: current, expiresAt, previousValidUntil }): [string, Instant][] => [
        [`${id}/${current}`, expiresAt ?? NEVER],
        ...(previousValidUntil === undefined
          ? []
          : [[`${id}/${current - 1}`, previousValidUntil] as [string, Instant]]),
      ]),
  );

// ── Properties ──────────────────────────────────────────────────────────────────────────────────────────────────

describe('random command sequences', () => {
  it('produce every type of event', () => {
    const seen = new Set<string>();
    for (const all of fc.sample(steps, { numRuns: 600, seed: 7 })) run(all).forEach(({ type }) => seen.add(type));
    expect([...seen].sort()).toEqual(
      [
        'ApplicationRegistered',
        'SecretAdded',
        'SecretRenewed',
        'OverlapEnded',
        'SecretRevoked',
        'SecretSuspended',
        'SecretResumed',
        'SecretExpired',
        'ExpiryNoticeSent',
        'ExpiryNoticeFailed',
        'ExpiryNoticeRetried',
        'ExpiryNoticeAcknowledged',
        'PolicyChanged',
        'SecretRestricted',
        'ApplicationDisabled',
        'ApplicationEnabled',
        'ApplicationDeleted',
      ].sort(),
    );
  });

  it('fold deterministically, and to the same state in one part or two', () =>
    fc.assert(
      fc.property(steps, fc.nat(40), (all, at) => {
        const events = run(all);
        const whole = fold(application, events);
        expect(fold(application, JSON.parse(JSON.stringify(events)) as typeof events)).toEqual(whole);
        expect(fold(application, events.slice(at), fold(application, events.slice(0, at)))).toEqual(whole);
      }),
    ));

  it('never extend the lifetime of a value or make an ended value live again', () =>
    checkEveryStep(({ before, after }) => {
      const [old, now] = [knownEnds(before), knownEnds(after)];
      for (const [key, end] of old) expect((now.get(key) ?? '') <= end).toBe(true);
      for (const [key] of now) {
        const [id = '', number = ''] = key.split('/');
        const existing = secretsOf(before)[id];
        if (!old.has(key)) expect(Number(number)).toBe(existing ? existing.version + 1 : 1);
      }
    }));

  it('give every value the same end in the state as in the events', () =>
    checkEveryStep(({ events, after, now }) => {
      const known = knownEnds(after);
      for (const [key, end] of endsOf(events)) {
        const alive = now < end;
        expect(alive ? known.get(key) : 'ended').toBe(alive ? end : 'ended');
        if (!alive) expect((known.get(key) ?? '') <= now).toBe(true);
      }
    }));

  it('make liveVersions return the versions of an active, started secret that have not ended', () =>
    checkEveryStep(({ events, after, now }) => {
      const ends = [...endsOf(events)];
      for (const secret of Object.values(secretsOf(after))) {
        const alive = ends.filter(([key, end]) => key.startsWith(`${secret.secretId}/`) && now < end);
        const begun = secret.notBefore === undefined || secret.notBefore <= now;
        const expected = begun && secret.status === 'active' ? alive.map(([key]) => key) : [];
        const live = liveVersions(secret, now);
        expect(live.map((version) => `${secret.secretId}/${version}`).sort()).toEqual(expected.sort());
        expect(isLive(secret, now)).toBe(live.length > 0);
        expect(statusAt(secret, now) === 'active').toBe(live.length > 0);
      }
    }));

  it('leave at most the last two values of a secret live', () =>
    checkEveryStep(({ events, after, now }) => {
      for (const { secretId: id, version: current } of Object.values(secretsOf(after))) {
        const live = [...endsOf(events)].filter(([key, end]) => key.startsWith(`${id}/`) && now < end);
        for (const [key] of live) expect([`${id}/${current}`, `${id}/${current - 1}`]).toContain(key);
      }
    }));

  it('start every value before its end', () =>
    checkEveryStep(({ decided, now }) => {
      for (const { type, data } of decided)
        if (type === 'SecretAdded' || type === 'SecretRenewed') {
          expect((data.expiresAt ?? NEVER) > now).toBe(true);
          if (type === 'SecretAdded') expect((data.expiresAt ?? NEVER) > (data.notBefore ?? '')).toBe(true);
          else expect((data.previousValidUntil ?? NEVER) > now).toBe(true);
        }
    }));

  it('never exceed the limit of secrets', () =>
    checkEveryStep(({ after }) => {
      const unrevoked = Object.values(secretsOf(after)).filter(({ status }) => status !== 'revoked');
      expect(unrevoked.length).toBeLessThanOrEqual(context.secretsMax);
    }));

  it('keep the descriptions of unrevoked secrets unique', () =>
    checkEveryStep(({ after }) => {
      const unrevoked = Object.values(secretsOf(after)).filter(({ status }) => status !== 'revoked');
      expect(new Set(unrevoked.map(({ description }) => description)).size).toBe(unrevoked.length);
    }));

  it('never revoke or suspend the last live secret without force', () =>
    checkEveryStep(({ step, before, after, now, decided }) => {
      const { type, data } = step.command;
      if ((type !== 'RevokeSecret' && type !== 'SuspendSecret') || data.force || decided.length === 0) return;
      const live = (state: ApplicationState) => Object.values(secretsOf(state)).some((secret) => isLive(secret, now));
      if (live(before)) expect(live(after)).toBe(true);
    }));

  it('change nothing after a deletion, except by a new registration', () =>
    checkEveryStep(({ step, before, after, decided }) => {
      if (before.status !== 'deleted' || step.command.type === 'RegisterApplication') return;
      expect(decided).toEqual([]);
      expect(after).toBe(before);
    }));

  it('do nothing when a command is repeated, except to register, add, renew or delete', () => {
    const notIdempotent = new Set(['RegisterApplication', 'AddSecret', 'RenewSecret', 'DeleteApplication']);
    checkEveryStep(({ step, after, now, decided }) => {
      if (decided.length === 0 || notIdempotent.has(step.command.type)) return;
      expect(application.decide(step.command, after, { ...context, now })).toEqual([]);
    });
  });

  it('leave no live value after every secret is revoked', () =>
    fc.assert(
      fc.property(steps, fc.nat(5000), (all, laterHours) => {
        const revocations = ['s1', 's2', 's3', 's4'].map((id): Step => ({
          waitMs: 0,
          policy: undefined,
          command: { type: 'RevokeSecret', data: { ...ids, secretId: id, force: true } },
        }));
        const events = run([...all, ...revocations]);
        const state = fold(application, events);
        const after = new Date(START + laterHours * HOUR + 40 * 200 * HOUR).toISOString();
        for (const secret of Object.values(secretsOf(state))) expect(isLive(secret, after)).toBe(false);
        const last = events.at(-1)?.metadata.occurredAt ?? '';
        for (const [, end] of endsOf(events)) expect(end <= last).toBe(true);
      }),
    ));
});
