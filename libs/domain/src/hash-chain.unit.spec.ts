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

/** A stream of so many events; every third holds a verifier. */
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

describe('the hash of an event', () => {
  it('is SHA-256 over the previous hash and the canonical JSON, members sorted', () => {
    const event = { stream: 's', revision: 0, eventId: 'e', type: 'T', data: { b: 1, a: [true, null, 'ü'] } };
    const canonical =
      '{"data":{"a":[true,null,"ü"],"b":1},"eventId":"e","metadata":{"y":"2","z":1},"revision":0,"stream":"s","type":"T"}';
    expect(hashOf({ ...event, metadata: { z: 1, y: '2', hash: 'h', previousHash: 'p' } }, 'before', sha256)).toBe(
      sha256(`before\n${canonical}`),
    );
  });

  it.each([
    // RFC 8785 §3.2.2.2 and §3.2.2.3: numbers as ECMAScript writes them, only the escapes that must be.
    [{ n: [1e21, 1e-7, -0, 4.5, 333333333.3333333] }, '{"n":[1e+21,1e-7,0,4.5,333333333.3333333]}'],
    [{ s: '€$\u000f\nA\'B"\\"/' }, '{"s":"€$\\u000f\\nA\'B\\"\\\\\\"/"}'],
    [{ '\u20ac': 1, '\r': 2, '1': 3, '\ufb33': 4, ö: 5, '😀': 6 }, '{"\\r":2,"1":3,"ö":5,"€":1,"😀":6,"\ufb33":4}'],
  ])('writes %j canonically', (data, canonical) => {
    const event = { stream: 's', revision: 0, eventId: 'e', type: 'T', data, metadata: {} };
    const whole = `{"data":${canonical},"eventId":"e","metadata":{},"revision":0,"stream":"s","type":"T"}`;
    expect(hashOf(event, '', sha256)).toBe(sha256(`\n${whole}`));
  });

  it('does not hang on the order of keys, nor on a store that wrote and read the JSON', () =>
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), (data) => {
        const event = { stream: 's', revision: 0, eventId: 'e', type: 'T', data, metadata: {} };
        const turned = Object.fromEntries(Object.entries(data).reverse());
        const stored = JSON.parse(JSON.stringify({ ...event, data: turned })) as ChainedEvent;
        expect(hashOf(stored, 'p', sha256)).toBe(hashOf(event, 'p', sha256));
      }),
    ));
});

describe('redaction', () => {
  it('puts the digest in the place of the verifier, and nothing else', () => {
    expect(redact({ secretId: 's', verifier: 'phc' }, sha256)).toEqual({
      secretId: 's',
      verifierDigest: sha256('phc'),
    });
    expect(redact({ secretId: 's' }, sha256)).toEqual({ secretId: 's' });
  });

  it('leaves no verifier that is no text either', () => {
    expect(redact({ verifier: { phc: 'x' } }, sha256)).toEqual({ verifierDigest: sha256('{"phc":"x"}') });
  });

  it('twice is the same as once', () => {
    const once = redact({ verifier: 'phc' }, sha256);
    expect(redact(once, sha256)).toEqual(once);
  });
});

describe('a walk over the chain', () => {
  const events = streamOf(7);

  it('finds nothing in a whole stream, as it is stored and as it is exported', () => {
    expect(walk(events)).toEqual([]);
    expect(walk(exported(events))).toEqual([]);
    expect(JSON.stringify(exported(events))).not.toContain('phc-');
  });

  it('finds nothing after a way through JSON', () => {
    expect(walk(JSON.parse(JSON.stringify(events)) as ChainedEvent[])).toEqual([]);
  });

  it.each<[string, (event: ChainedEvent) => ChainedEvent, BrokenLink['cause']]>([
    ['data', (event) => ({ ...event, data: { ...event.data, n: 99 } }), 'hash'],
    ['a field more', (event) => ({ ...event, data: { ...event.data, more: null } }), 'hash'],
    ['a field less', (event) => ({ ...event, data: { verifier: event.data['verifier'] } }), 'hash'],
    ['the type', (event) => ({ ...event, type: 'Other' }), 'hash'],
    ['the event id', (event) => ({ ...event, eventId: 'e9' }), 'hash'],
    ['the stream', (event) => ({ ...event, stream: 'application-b' }), 'hash'],
    ['the verifier', (event) => ({ ...event, data: { ...event.data, verifier: 'phc-x' } }), 'hash'],
    ['a verifier that is no text', (event) => ({ ...event, data: { ...event.data, verifier: 3 } }), 'hash'],
    ['a digest beside it', (event) => ({ ...event, data: { ...event.data, verifierDigest: 'x' } }), 'hash'],
    ['the actor', (event) => ({ ...event, metadata: { ...event.metadata, actor: { type: 'user', id: 'x' } } }), 'hash'],
    ['the instant', (event) => ({ ...event, metadata: { ...event.metadata, occurredAt: 'x' } }), 'hash'],
    ['metadata more', (event) => ({ ...event, metadata: { ...event.metadata, more: 1 } }), 'hash'],
    ['no hash', (event) => ({ ...event, metadata: { ...event.metadata, hash: undefined } }), 'hash'],
    ['previous hash', (event) => ({ ...event, metadata: { ...event.metadata, previousHash: '' } }), 'previous-hash'],
    ['the revision', (event) => ({ ...event, revision: 9 }), 'revision'],
  ])('finds an altered event: %s', (_, change, cause) => {
    const [broken] = walk(replaced(events, 3, change));
    expect(broken).toMatchObject({ cause });
  });

  it('finds a verifier that was added to an event that had none, text or not', () => {
    for (const verifier of ['phc', 3, null, {}])
      expect(walk(replaced(events, 1, (event) => ({ ...event, data: { ...event.data, verifier } })))).toHaveLength(1);
  });

  it('finds an altered event whose own hash was made to fit, at the one behind it', () => {
    const forged = replaced(events, 3, (event) => {
      const data = { ...event.data, n: 99 };
      const hash = hashOf({ ...event, data }, String(event.metadata['previousHash']), sha256);
      return { ...event, data, metadata: { ...event.metadata, hash } };
    });
    expect(walk(forged)).toMatchObject([{ revision: 4, cause: 'previous-hash' }]);
  });

  it('finds an event removed from the start or the middle, and names the one behind it', () => {
    for (let gone = 0; gone < events.length - 1; gone++)
      expect(walk(events.filter((_, index) => index !== gone))).toMatchObject([
        { revision: gone + 1, cause: 'revision' },
      ]);
  });

  it('finds a removed event where the revisions behind it were closed up', () => {
    const closed = events.filter((_, index) => index !== 2).map((event, revision) => ({ ...event, revision }));
    expect(walk(closed)[0]).toMatchObject({ revision: 2, cause: 'previous-hash' });
  });

  it('finds an event that was moved in from another stream', () => {
    const [first, second] = streamOf(2, 'application-b');
    if (!first || !second) throw new Error('Two events were expected.');
    expect(walk([{ ...first, stream: 'application-a' }])).toMatchObject([{ revision: 0, cause: 'hash' }]);
    expect(walk(replaced(events, 1, () => second))).toMatchObject([{ revision: 1 }, { revision: 2 }]);
  });

  it('finds every other order, with the revisions as they were and renumbered', () =>
    fc.assert(
      fc.property(fc.shuffledSubarray(events, { minLength: events.length }), (order) => {
        fc.pre(order.some((event, index) => event !== events[index]));
        expect(walk(order)).not.toEqual([]);
        expect(walk(order.map((event, revision) => ({ ...event, revision })))).not.toEqual([]);
      }),
    ));

  it('finds the same in an export', () => {
    const altered = replaced(events, 3, (event) => ({ ...event, data: { ...event.data, n: 99 } }));
    expect(walk(exported(altered))).toEqual(walk(altered));
  });

  it('goes on behind a broken link: one fault is told once', () => {
    const altered = replaced(events, 3, (event) => ({ ...event, data: { ...event.data, n: 99 } }));
    expect(walk(altered)).toEqual([{ stream: 'application-a', revision: 3, eventId: 'e3', cause: 'hash' }]);
  });
});
