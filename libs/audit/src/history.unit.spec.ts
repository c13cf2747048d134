import { MemoryHistory, VERIFIER, domainCreated, ofApplication, registered, secretAdded } from './audit.testing';
import { exportHistory, readHistory, type HistoryFilter } from './history';

const OTHER = '33333333-3333-4333-8333-333333333333';
const day = (number: number) => `2027-01-${String(number).padStart(2, '0')}T00:00:00.000Z`;

const history = new MemoryHistory().write(
  domainCreated('shop', day(1)),
  registered(day(2)),
  { ...secretAdded(day(3)), actor: 'bob' },
  domainCreated('bank', day(4)),
  {
    stream: `application-${OTHER}`,
    type: 'ApplicationRegistered',
    at: day(5),
    actor: 'bob',
    data: { applicationId: OTHER, domainId: 'bank', clientId: 'teller', name: 'Teller', contacts: [] },
  },
  ofApplication('ApplicationRenamed', day(6), { name: 'Web shop' }),
);

const types = async (filter: Partial<HistoryFilter>, limit = 50, after?: string): Promise<string[]> =>
  (await readHistory(history, { domains: [], ...filter }, { limit, after })).items.map(({ type }) => type);

describe('a page of the history', () => {
  it('returns events in store order, with digests instead of verifiers', async () => {
    const { items, next } = await readHistory(history, { domains: [] }, { limit: 50 });
    expect(items.map(({ position }) => Number(position))).toEqual([1, 2, 3, 4, 5, 6]);
    expect(next).toBeUndefined();
    expect(JSON.stringify(items)).not.toContain(VERIFIER);
    expect(items[2]?.data).toMatchObject({ verifierDigest: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
  });

  it.each<[string, Partial<HistoryFilter>, string[]]>([
    ['a stream', { stream: `application-${OTHER}` }, ['ApplicationRegistered']],
    ['a type', { type: 'DomainCreated' }, ['DomainCreated', 'DomainCreated']],
    ['an actor', { actor: 'bob' }, ['SecretAdded', 'ApplicationRegistered']],
    ['an inclusive start', { from: day(5) }, ['ApplicationRegistered', 'ApplicationRenamed']],
    ['an exclusive end', { until: day(2) }, ['DomainCreated']],
    ['a time range', { from: day(2), until: day(4) }, ['ApplicationRegistered', 'SecretAdded']],
    ['domains', { domains: ['bank'] }, ['DomainCreated', 'ApplicationRegistered']],
    ['a stream of a domain that the caller may not see', { domains: ['shop'], stream: `application-${OTHER}` }, []],
    ['several filters', { domains: ['bank'], actor: 'bob', from: day(1) }, ['ApplicationRegistered']],
    ['a stream that is not in the feed', { stream: 'rekey-system' }, []],
    ['a stream that does not exist', { stream: 'application-none' }, []],
  ])('can be limited to %s', async (_what, filter, expected) => {
    expect(await types(filter)).toEqual(expected);
  });

  it.each<[string, Partial<HistoryFilter>]>([
    ['the feed', {}],
    ['a stream', { stream: history.events[1]?.stream }],
    ['matching events', { type: 'DomainCreated' }],
  ])('continues after the previous page without gaps or repeats: %s', async (_what, filter) => {
    const whole = await types(filter);
    for (const limit of [1, 2, 3]) {
      const all: string[] = [];
      let after: string | undefined;
      do {
        const page = await readHistory(history, { domains: [], ...filter }, { limit, after });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        all.push(...page.items.map(({ type }) => type));
        after = page.next;
      } while (after !== undefined);
      expect(all).toEqual(whole);
    }
  });

  it('has no next page after the last matching event', async () => {
    const page = await readHistory(history, { domains: [], type: 'DomainCreated' }, { limit: 2 });
    expect(page.items).toHaveLength(2);
    expect(page.next).toBeUndefined();
  });

  it('ends after a number of events that do not match, and returns a cursor to continue', async () => {
    const long = new MemoryHistory();
    const { data, metadata } = history.events[1] ?? { data: {}, metadata: {} as never };
    long.events = Array.from({ length: 10_500 }, (_event, index) => ({
      stream: 'application-x',
      revision: index,
      position: String(index + 1).padStart(20, '0'),
      eventId: `${index}`,
      type: index === 10_400 ? 'SecretAdded' : 'ApplicationRenamed',
      data,
      metadata,
    }));
    const filter = { domains: [], type: 'SecretAdded' };
    const first = await readHistory(long, filter, { limit: 10 });
    expect(first.items).toEqual([]);
    const second = await readHistory(long, filter, { limit: 10, after: first.next });
    expect(second.items).toHaveLength(1);
    expect(second.next).toBeUndefined();
    expect(long.largestRead).toBeLessThanOrEqual(100);
  });

  it.each([
    ['the feed', undefined, 'x'],
    ['a stream', history.events[1]?.stream, '00x'],
    ['a stream', history.events[1]?.stream, '-5'],
  ])('rejects an invalid cursor of %s', async (_what, stream, after) => {
    const page = readHistory(history, { domains: [], stream }, { limit: 1, after });
    await expect(page).rejects.toMatchObject({ code: 'invalid_request', details: { field: 'after' } });
  });
});

describe('an export', () => {
  it('contains one event per line, the same as the pages', async () => {
    const lines: string[] = [];
    for await (const line of exportHistory(history, { domains: ['shop'] })) lines.push(line);
    const { items } = await readHistory(history, { domains: ['shop'] }, { limit: 50 });
    expect(lines.every((line) => line.indexOf('\n') === line.length - 1)).toBe(true);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(items);
  });

  it('ends when the signal is aborted', async () => {
    const ending = new AbortController();
    let count = 0;
    for await (const _line of exportHistory(history, { domains: [] }, ending.signal)) if (++count === 2) ending.abort();
    expect(count).toBe(2);
  });
});
