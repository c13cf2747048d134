import type { ApplicationCredentials, DomainCredentials, ScheduledSecret } from '@rekey/contracts';
import { applicationIdOf, applicationStream, present, type RegisteredApplication, type Secret } from '@rekey/domain';
import type { Appended, NewEvent, StoredEvent, ViewDocument } from '@rekey/ports';
import { VIEWS, decodeStored, foldEvents, secretsView, type SecretDocument, type View } from '../index';
import { RandomHistory, randomOf } from '../read-models.testing';

/** The appended events, in order. */
class Recorded {
  readonly events: StoredEvent[] = [];

  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    for (const [index, event] of events.entries()) {
      const position = String(this.events.length + 1).padStart(20, '0');
      this.events.push({ ...event, stream, revision: expectedRevision + 1 + index, position });
    }
    return { revision: expectedRevision + events.length, position: this.events.at(-1)?.position ?? '' };
  }
}

const historyOf = async (seed: number, count: number) => {
  const recorded = new Recorded();
  const history = new RandomHistory(recorded, seed);
  await history.more(count);
  return { events: recorded.events.map(decodeStored), history };
};

type Documents = ReadonlyMap<string, ViewDocument>;

const folded = (view: View, events: ReturnType<typeof decodeStored>[], from: Documents = new Map()): Documents => {
  const { changed, failures } = foldEvents(view, from, events);
  expect(failures.size).toBe(0);
  return new Map([...from, ...changed]);
};

describe('foldEvents', () => {
  const seeds = [1, 2, 3, 4, 5];

  it.each(seeds)(
    'folds the same documents for any page size, and if events are folded again (history %i)',
    async (seed) => {
      const { events } = await historyOf(seed, 600);
      const random = randomOf(seed);
      for (const view of VIEWS) {
        const whole = folded(view, events);
        let pieces: Documents = new Map();
        for (let from = 0; from < events.length;) {
          const to = from + 1 + Math.floor(random() * 40);
          pieces = folded(view, events.slice(from, to), pieces);
          from = to;
        }
        expect(pieces).toEqual(whole);
        for (let round = 0; round < 10; round++) {
          const from = Math.floor(random() * events.length);
          const stretch = events.slice(from, from + 1 + Math.floor(random() * 200));
          expect(foldEvents(view, whole, stretch).changed.size).toBe(0);
        }
      }
    },
  );

  it.each(seeds)('folds documents that agree with the aggregates (history %i)', async (seed) => {
    const { events, history } = await historyOf(seed, 800);
    const documentsOf = (name: View['name']): Documents =>
      folded(VIEWS.find((view) => view.name === name) as View, events);
    const authentication = documentsOf('authentication');
    const secrets = documentsOf('secrets');
    const schedule = documentsOf('expiry-schedule');
    let compared = 0;
    for (const state of history.states().applications) {
      if (state.status !== 'active' && state.status !== 'disabled') continue;
      const credentials = authentication.get(applicationStream(state.applicationId)) as ApplicationCredentials;
      expect(credentials).toMatchObject({ state: state.status, clientId: state.clientId, domainId: state.domainId });
      const unrevoked = Object.values(state.secrets).filter(({ status }) => status !== 'revoked');
      expect(credentials.secrets.map(({ secretId }) => secretId).sort()).toEqual(
        unrevoked.map(({ secretId }) => secretId).sort(),
      );
      for (const secret of Object.values(state.secrets)) {
        compared += 1;
        const id = `${state.applicationId}.${secret.secretId}`;
        compareSecret(secret, secrets.get(id) as SecretDocument);
        compareSchedule(state, secret, schedule.get(id) as ScheduledSecret);
        const checked = credentials.secrets.find(({ secretId }) => secretId === secret.secretId);
        if (!checked) continue;
        const { notBefore, allowedCidrs, status } = secret;
        expect(checked).toMatchObject({ suspended: status === 'suspended', allowedCidrs, ...present({ notBefore }) });
        expect(checked.values.map(({ version, validUntil }) => present({ version, validUntil }))).toEqual([
          present({ version: secret.version, validUntil: secret.expiresAt }),
          ...(secret.previousValidUntil === undefined
            ? []
            : [{ version: secret.version - 1, validUntil: secret.previousValidUntil }]),
        ]);
      }
    }
    expect(compared).toBeGreaterThan(10);
    for (const state of history.states().domains)
      if (state.status === 'active' || state.status === 'disabled')
        expect((authentication.get(`domain-${state.domainId}`) as DomainCredentials).state).toBe(state.status);
  });

  const compareSecret = (secret: Secret, document: SecretDocument): void => {
    const { secretId, version, description, status, allowedCidrs, valueCreatedAt, resourceRevision, own } = secret;
    const { expiresAt, notBefore, previousValidUntil } = secret;
    expect(document).toMatchObject({
      secretId,
      version,
      description,
      state: status,
      allowedCidrs,
      valueCreatedAt,
      resourceRevision,
    });
    const dates = (of: Partial<Secret>) => [of.expiresAt, of.notBefore, of.previousValidUntil];
    expect(dates(document as Partial<Secret>)).toEqual([expiresAt, notBefore, previousValidUntil]);
    expect(document.ownExpiresIn).toEqual(own.kind === 'in' ? own.duration : undefined);
    expect(document.ownNever).toBe(own.kind === 'never' ? true : undefined);
  };

  const compareSchedule = (state: RegisteredApplication, secret: Secret, document: ScheduledSecret): void => {
    const { version, status, valueCreatedAt: createdAt, expiresAt, expiredVersion } = secret;
    const worth = status === 'revoked' ? 'revoked' : state.status === 'disabled' ? 'disabled' : status;
    expect(document).toMatchObject(present({ version, createdAt, state: worth, expiresAt, expiredVersion }));
    const ofVersion = Object.entries(secret.notices).filter(([id]) => id.startsWith(`${version}.`));
    expect(document.notices).toEqual(
      Object.fromEntries(ofVersion.map(([id, known]) => [id.slice(`${version}.`.length), known])),
    );
  };

  it('keeps nothing of a deleted application when its client id is registered again', async () => {
    const recorded = new Recorded();
    const history = new RandomHistory(recorded, 7);
    const ids = { domainId: 'domain-0', applicationId: applicationIdOf('domain-0', 'client') };
    await history.commandDomain('domain-0', { type: 'CreateDomain', data: { domainId: 'domain-0', name: 'Domain' } });
    for (const secretId of ['first', 'second', 'third']) {
      const firstSecret = { secretId, description: 'the same' };
      const data = { ...ids, clientId: 'client', name: 'App', firstSecret };
      expect(await history.command({ type: 'RegisterApplication', data })).toBe(true);
      if (secretId !== 'third') expect(await history.command({ type: 'DeleteApplication', data: ids })).toBe(true);
    }
    const events = recorded.events.map(decodeStored);
    const secrets = [...folded(secretsView, events).values()] as SecretDocument[];
    const live = secrets.filter(({ applicationState }) => applicationState !== 'deleted');
    expect(live.map(({ secretId }) => secretId)).toEqual(['third']);
    expect(secrets).toHaveLength(3);
  });

  it('stops a stream at its first unreadable event, marks its document, and folds the others', async () => {
    const { events } = await historyOf(3, 300);
    const [view] = VIEWS.filter(({ name }) => name === 'authentication') as [View];
    const stream = events.find(({ stored }) => stored.stream.startsWith('application-'))?.stored.stream ?? '';
    const mine = events.filter(({ stored }) => stored.stream === stream);
    const bad = mine[3]?.stored as StoredEvent;
    const poisoned = events.map(({ stored }) =>
      decodeStored(stored === bad ? { ...stored, type: 'NobodyKnowsThis' } : stored),
    );
    const result = foldEvents(view, new Map(), poisoned);
    expect([...result.failures.keys()]).toEqual([stream]);
    expect(result.failures.get(stream)).toMatchObject({
      stored: { revision: bad.revision },
      cause: expect.stringContaining('unknown type'),
    });
    const before = folded(view, mine.slice(0, 3)).get(stream);
    const position = `${mine[2]?.stored.position}!`;
    expect(result.changed.get(stream)).toEqual({ ...before, broken: true, position });
    expect(position > (mine[2]?.stored.position ?? '') && position < bad.position).toBe(true);
    const whole = folded(view, events);
    for (const [id, document] of whole) if (id !== stream) expect(result.changed.get(id)).toEqual(document);
    // Once the code is repaired, folding the rest gives the same document as without the failure.
    expect(folded(view, mine.slice(3), result.changed).get(stream)).toEqual(whole.get(stream));
  });
});
