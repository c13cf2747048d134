import type { StoredEvent } from '@rekey/ports';
import fc from 'fast-check';
import {
  APPLICATION,
  MemoryHistory,
  VERIFIER,
  domainCreated,
  ofApplication,
  registered,
  secretAdded,
} from './audit.testing';
import { exportHistory } from './history';
import { BROKEN_MAX, verifyExport, verifyHistory, type Verification } from './verify';

const OTHER = '33333333-3333-4333-8333-333333333333';
const day = (number: number) => `2027-01-${String(number).padStart(2, '0')}T00:00:00.000Z`;
const ALL = { domains: [] };

let history: MemoryHistory;
beforeEach(() => {
  history = new MemoryHistory().write(
    domainCreated('shop', day(1)),
    registered(day(2)),
    registered(day(3), OTHER),
    secretAdded(day(4)),
    ofApplication('ApplicationRenamed', day(5), { name: 'Web shop' }),
    ofApplication('ApplicationDisabled', day(6), {}, OTHER),
    ofApplication('SecretRevoked', day(7), { secretId: 's', reason: 'unspecified' }),
  );
});

const lines = async (): Promise<string[]> => {
  const all: string[] = [];
  for await (const line of exportHistory(history, ALL)) all.push(line);
  return all;
};

/** Verifies the store and its export, and expects the same result. */
const verified = async (): Promise<Verification> => {
  const own = await verifyHistory(history, ALL);
  expect(await verifyExport(await lines())).toEqual(own);
  return own;
};

const indexOf = (type: string): number => history.events.findIndex((event) => event.type === type);
const stream = `application-${APPLICATION}`;

describe('an intact history', () => {
  it('is valid in the store and in an export without verifiers', async () => {
    expect(await verified()).toEqual({ streams: 3, events: 7, broken: [] });
    expect((await lines()).join('')).not.toContain(VERIFIER);
    expect((await lines()).join('')).toContain('verifierDigest');
  });

  it('is valid stream by stream', async () => {
    expect(await verifyHistory(history, { stream, domains: [] })).toEqual({ streams: 1, events: 4, broken: [] });
    expect(await verifyHistory(history, { stream: 'application-none', domains: [] })).toMatchObject({ streams: 0 });
    expect(await verifyHistory(history, { stream: 'rekey-system', domains: [] })).toMatchObject({ streams: 0 });
  });

  it('is verified only as far as the caller may see', async () => {
    history.write(domainCreated('bank', day(8)));
    expect(await verifyHistory(history, { domains: ['bank'] })).toEqual({ streams: 1, events: 1, broken: [] });
  });

  it('is verified in several reads', async () => {
    for (let count = 0; count < 1_500; count++)
      history.write(ofApplication('ApplicationRenamed', day(9), { name: `${count}` }));
    expect(await verifyHistory(history, ALL)).toEqual({ streams: 3, events: 1_507, broken: [] });
    expect(history.largestRead).toBeLessThanOrEqual(100);
  });
});

describe('verifyHistory', () => {
  it.each<[string, (event: StoredEvent) => StoredEvent]>([
    ['changed data', (event) => ({ ...event, data: { ...event.data, name: 'Other' } })],
    ['a changed type', (event) => ({ ...event, type: 'ContactsChanged' })],
    ['a changed id', (event) => ({ ...event, eventId: OTHER })],
    ['a changed actor', (event) => ({ ...event, metadata: { ...event.metadata, actor: { type: 'user', id: 'bob' } } })],
    ['an earlier time', (event) => ({ ...event, metadata: { ...event.metadata, occurredAt: day(1) } })],
  ])('detects an event with %s', async (_what, change) => {
    history.alter(indexOf('ApplicationRenamed'), change);
    expect((await verified()).broken).toMatchObject([{ stream, revision: 2, cause: 'hash' }]);
  });

  it('detects an event with a changed verifier', async () => {
    history.alter(indexOf('SecretAdded'), (event) => ({
      ...event,
      data: { ...event.data, verifier: '$argon2id$other' },
    }));
    expect((await verified()).broken).toMatchObject([{ stream, revision: 1, cause: 'hash' }]);
  });

  it('detects an altered event with a recomputed hash, at the next event', async () => {
    const forged = new MemoryHistory().write(registered(day(2)), secretAdded(day(4), { description: 'forged' }));
    history.alter(indexOf('SecretAdded'), (event) => ({
      ...event,
      data: forged.events[1]?.data ?? {},
      metadata: forged.events[1]?.metadata ?? event.metadata,
    }));
    expect((await verified()).broken.length).toBeGreaterThan(0);
  });

  it('detects an event removed from the middle', async () => {
    history.events.splice(indexOf('ApplicationRenamed'), 1);
    expect((await verified()).broken).toMatchObject([{ stream, revision: 3, cause: 'revision' }]);
  });

  it('detects an event removed from the middle even if later ones are renumbered', async () => {
    history.events.splice(indexOf('ApplicationRenamed'), 1);
    history.alter(indexOf('SecretRevoked'), (event) => ({ ...event, revision: 2 }));
    expect((await verified()).broken).toMatchObject([{ stream, revision: 2, cause: 'previous-hash' }]);
  });

  it('detects an event removed from the start', async () => {
    history.events.splice(indexOf('ApplicationRegistered'), 1);
    expect((await verified()).broken).toMatchObject([{ stream, revision: 1, cause: 'revision' }]);
  });

  it('detects an event moved to another stream', async () => {
    history.alter(indexOf('ApplicationRenamed'), (event) => ({
      ...event,
      stream: `application-${OTHER}`,
      revision: 1,
    }));
    const { broken } = await verified();
    expect(broken.map(({ stream: where }) => where).sort()).toEqual([
      stream,
      `application-${OTHER}`,
      `application-${OTHER}`,
    ]);
  });

  it('detects reordered events', async () => {
    const [earlier, later] = [indexOf('SecretAdded'), indexOf('ApplicationRenamed')];
    const [first, second] = [history.events[earlier], history.events[later]];
    history.alter(earlier, (event) => ({ ...(second ?? event), position: event.position }));
    history.alter(later, (event) => ({ ...(first ?? event), position: event.position }));
    expect((await verified()).broken.length).toBeGreaterThan(0);
  });
});

describe('tampering', () => {
  it('is detected anywhere, except for a truncated end', async () => {
    const changes: readonly ((events: StoredEvent[], index: number) => StoredEvent[])[] = [
      (events, index) =>
        events.map((event, at) => (at === index ? { ...event, data: { ...event.data, added: 1 } } : event)),
      (events, index) => events.map((event, at) => (at === index ? { ...event, type: `${event.type}X` } : event)),
      (events, index) => events.filter((_event, at) => at !== index),
    ];
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 3 }), fc.constantFrom(...changes), async (at, change) => {
        const whole = new MemoryHistory();
        whole.events = history.events.filter((event) => event.stream === stream);
        whole.write(ofApplication('ApplicationDisabled', day(9)));
        whole.events = change(whole.events, at);
        expect((await verifyHistory(whole, ALL)).broken.length).toBeGreaterThan(0);
      }),
    );
  });

  it('in many places is listed up to a limit', async () => {
    for (let count = 0; count < BROKEN_MAX + 10; count++)
      history.write(ofApplication('ApplicationRenamed', day(9), { name: `${count}` }));
    history.events = history.events.map((event) => ({ ...event, type: 'X' }));
    const { broken, more } = await verifyHistory(history, ALL);
    expect([broken.length, more]).toEqual([BROKEN_MAX, true]);
  });
});

describe('an export', () => {
  it('of the last part of a history is verified from its first event, if allowed', async () => {
    const end = (await lines()).slice(3);
    expect(await verifyExport(end, { partial: true })).toMatchObject({ broken: [] });
    expect((await verifyExport(end)).broken).toHaveLength(2);
    const altered = end.map((line) => line.replace('Web shop', 'Web shot'));
    expect((await verifyExport(altered, { partial: true })).broken).toMatchObject([{ cause: 'hash' }]);
  });

  it('may contain empty lines', async () => {
    expect(await verifyExport([...(await lines()), '', '\n'])).toMatchObject({ events: 7, broken: [] });
  });

  it.each(['{', 'null', '[]', '{"stream":"application-x"}', '"text"'])(
    'with the line %s is rejected with the line number',
    async (line) => {
      await expect(verifyExport([...(await lines()), line])).rejects.toMatchObject({
        code: 'invalid_request',
        details: { line: 8 },
      });
    },
  );
});
