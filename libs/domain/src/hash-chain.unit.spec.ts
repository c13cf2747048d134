import { createHash } from 'node:crypto';
import fc from 'fast-check';
import {
  CHAIN_START,
  chain,
  checkLink,
  hashOf,
  redact,
  type BrokenLink,
  type ChainPlace,
  type ChainedEvent,
} from './hash-chain';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const metadata = {
  commandId: 'c1',
  correlationId: 'c1',
  causationId: 'c1',
  actor: { type: 'token', id: 'tester' },
  occurredAt: '2026-01-01T00:00:00.000Z',
  schemaVersion: 1,
} as const;

/** Returns a stream of `length` events. Every third one has a verifier. */
const streamOf = (length: number, stream = 'application-a'): ChainedEvent[] => {
  const events: ChainedEvent[] = [];
  let previousHash = '';
  for (let revision = 0; revision < length; revision++) {
    const data = { n: revision, text: `é ${revision}`, ...(revision % 3 === 0 && { verifier: `phc-${revision}` }) };
    const { metadata: chained, ...event } = chain(
      { stream, revision, eventId: `e${revision}`, type: 'Happened', data },
      metadata,
      previousHash,
      sha256,
    );
    previousHash = chained.hash;
    events.push({ ...event, metadata: { ...chained } });
  }
  return events;
};

const walk = (events: readonly ChainedEvent[]): BrokenLink[] => {
  const broken: BrokenLink[] = [];
  let place: ChainPlace = CHAIN_START;
  for (const event of events) {
    const link = checkLink(event, place, sha256);
    if (link.broken) broken.push(link.broken);
    place = link.place;
  }
  return broken;
};

const exported = (events: readonly ChainedEvent[]): ChainedEvent[] =>
  events.map((event) => ({ ...event, data: redact(event.data, sha256) }));

const replaced = (events: readonly ChainedEvent[], at: number, change: (event: ChainedEvent) => ChainedEvent) =>
  events.map((event, index) => (index === at ? change(event) : event));

describe('hashOf', () => {
  it('returns SHA-256 of the previous hash and the canonical JSON with sorted members', () => {
    const event = { stream: 's', revision: 0, eventId: 'e', type: 'T', data: { b: 1, a: [true, null, 'ü'] } };
    const canonical =
      '{"data":{"a":[true,null,"ü"],"b":1},"eventId":"e","metadata":{"y":"2","z":1},"revision":0,"stream":"s","type":"T"}';
    expect(hashOf({ ...event, metadata: { z: 1, y: '2', hash: 'h', previousHash: 'p' } }, 'before', sha256)).toBe(
      sha256(`before\n${canonical}`),
    );
  });

  it.each([
    // RFC 8785 §3.2.2.2 and §3.2.2.3: numbers in ECMAScript format, only the required escapes.
    [{ n: [1e21, 1e-7, -0, 4.5, 333333333.3333333] }, '{"n":[1e+21,1e-7,0,4.5,333333333.3333333]}'],
    [{ s: '€$\u000f\nA\'B"\\"/' }, '{"s":"€$\\u000f\\nA\'B\\"\\\\\\"/"}'],
    [{ '\u20ac': 1, '\r': 2, '1': 3, '\ufb33': 4, ö: 5, '😀': 6 }, '{"\\r":2,"1":3,"ö":5,"€":1,"😀":6,"\ufb33":4}'],
  ])('uses the canonical form of %j', (data, canonical) => {
    const event = { stream: 's', revision: 0, eventId: 'e', type: 'T', data, metadata: {} };
    const whole = `{"data":${canonical},"eventId":"e","metadata":{},"revision":0,"stream":"s","type":"T"}`;
    expect(hashOf(event, '', sha256)).toBe(sha256(`\n${whole}`));
  });

  it('does not depend on key order or on a round trip through JSON', () =>
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), (data) => {
        const event = { stream: 's', revision: 0, eventId: 'e', type: 'T', data, metadata: {} };
        const reversed = Object.fromEntries(Object.entries(data).reverse());
        const stored = JSON.parse(JSON.stringify({ ...event, data: reversed })) as ChainedEvent;
        expect(hashOf(stored, 'p', sha256)).toBe(hashOf(event, 'p', sha256));
      }),
    ));
});

describe('redact', () => {
  it('replaces the verifier with its digest and changes nothing else', () => {
    expect(redact({ secretId: 's', verifier: 'phc' }, sha256)).toEqual({
      secretId: 's',
      verifierDigest: sha256('phc'),
    });
    expect(redact({ secretId: 's' }, sha256)).toEqual({ secretId: 's' });
  });

  it('also removes a verifier that is not a string', () => {
    expect(redact({ verifier: { phc: 'x' } }, sha256)).toEqual({ verifierDigest: sha256('{"phc":"x"}') });
  });

  it('is idempotent', () => {
    const once = redact({ verifier: 'phc' }, sha256);
    expect(redact(once, sha256)).toEqual(once);
  });
});

describe('checkLink over a stream', () => {
  const events = streamOf(7);

  it('finds no broken link in an intact stream, stored or exported', () => {
    expect(walk(events)).toEqual([]);
    expect(walk(exported(events))).toEqual([]);
    expect(JSON.stringify(exported(events))).not.toContain('phc-');
  });

  it('finds no broken link after a round trip through JSON', () => {
    expect(walk(JSON.parse(JSON.stringify(events)) as ChainedEvent[])).toEqual([]);
  });

  it.each<[string, (event: ChainedEvent) => ChainedEvent, BrokenLink['cause']]>([
    ['data', (event) => ({ ...event, data: { ...event.data, n: 99 } }), 'hash'],
    ['an added field', (event) => ({ ...event, data: { ...event.data, more: null } }), 'hash'],
    ['a removed field', (event) => ({ ...event, data: { verifier: event.data['verifier'] } }), 'hash'],
    ['the type', (event) => ({ ...event, type: 'Other' }), 'hash'],
    ['the event id', (event) => ({ ...event, eventId: 'e9' }), 'hash'],
    ['the stream', (event) => ({ ...event, stream: 'application-b' }), 'hash'],
    ['the verifier', (event) => ({ ...event, data: { ...event.data, verifier: 'phc-x' } }), 'hash'],
    ['a verifier that is not a string', (event) => ({ ...event, data: { ...event.data, verifier: 3 } }), 'hash'],
    ['a digest next to the verifier', (event) => ({ ...event, data: { ...event.data, verifierDigest: 'x' } }), 'hash'],
    ['the actor', (event) => ({ ...event, metadata: { ...event.metadata, actor: { type: 'user', id: 'x' } } }), 'hash'],
    ['the time', (event) => ({ ...event, metadata: { ...event.metadata, occurredAt: 'x' } }), 'hash'],
    ['added metadata', (event) => ({ ...event, metadata: { ...event.metadata, more: 1 } }), 'hash'],
    ['a missing hash', (event) => ({ ...event, metadata: { ...event.metadata, hash: undefined } }), 'hash'],
    [
      'the previous hash',
      (event) => ({ ...event, metadata: { ...event.metadata, previousHash: '' } }),
      'previous-hash',
    ],
    ['the revision', (event) => ({ ...event, revision: 9 }), 'revision'],
  ])('detects an altered event: %s', (_, change, cause) => {
    const [broken] = walk(replaced(events, 3, change));
    expect(broken).toMatchObject({ cause });
  });

  it('detects a verifier added to an event without one, string or not', () => {
    for (const verifier of ['phc', 3, null, {}])
      expect(walk(replaced(events, 1, (event) => ({ ...event, data: { ...event.data, verifier } })))).toHaveLength(1);
  });

  it('detects an altered event with a recomputed hash, at the next event', () => {
    const forged = replaced(events, 3, (event) => {
      const data = { ...event.data, n: 99 };
      const hash = hashOf({ ...event, data }, String(event.metadata['previousHash']), sha256);
      return { ...event, data, metadata: { ...event.metadata, hash } };
    });
    expect(walk(forged)).toMatchObject([{ revision: 4, cause: 'previous-hash' }]);
  });

  it('detects an event removed from the start or the middle, at the next event', () => {
    for (let gone = 0; gone < events.length - 1; gone++)
      expect(walk(events.filter((_, index) => index !== gone))).toMatchObject([
        { revision: gone + 1, cause: 'revision' },
      ]);
  });

  it('detects a removed event even if later revisions are renumbered', () => {
    const closed = events.filter((_, index) => index !== 2).map((event, revision) => ({ ...event, revision }));
    expect(walk(closed)[0]).toMatchObject({ revision: 2, cause: 'previous-hash' });
  });

  it('detects an event moved from another stream', () => {
    const [first, second] = streamOf(2, 'application-b');
    if (!first || !second) throw new Error('Two events were expected.');
    expect(walk([{ ...first, stream: 'application-a' }])).toMatchObject([{ revision: 0, cause: 'hash' }]);
    expect(walk(replaced(events, 1, () => second))).toMatchObject([{ revision: 1 }, { revision: 2 }]);
  });

  it('detects every reordering, with original or renumbered revisions', () =>
    fc.assert(
      fc.property(fc.shuffledSubarray(events, { minLength: events.length }), (order) => {
        fc.pre(order.some((event, index) => event !== events[index]));
        expect(walk(order)).not.toEqual([]);
        expect(walk(order.map((event, revision) => ({ ...event, revision })))).not.toEqual([]);
      }),
    ));

  it('detects the same alteration in an export', () => {
    const altered = replaced(events, 3, (event) => ({ ...event, data: { ...event.data, n: 99 } }));
    expect(walk(exported(altered))).toEqual(walk(altered));
  });

  it('continues after a broken link and reports one fault once', () => {
    const altered = replaced(events, 3, (event) => ({ ...event, data: { ...event.data, n: 99 } }));
    expect(walk(altered)).toEqual([{ stream: 'application-a', revision: 3, eventId: 'e3', cause: 'hash' }]);
  });
});
