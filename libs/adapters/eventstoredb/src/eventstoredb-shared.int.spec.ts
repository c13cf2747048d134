import { status } from '@grpc/grpc-js';
import { EngineUnavailable, NO_STREAM, type Position, START } from '@rekey/ports';
import { exampleEvents, exampleStream } from '@rekey/ports/conformance';
import { failureOf, eventually } from '@rekey/testing';
import type { EventStoreDbEventStore } from './eventstoredb-event-store';
import { FakeServer } from './fake-server.testing';
import { OpenedStores } from './opened-stores.testing';

// A server with very many events of other systems, all of which an unfiltered read of the log would return.

const MANY = 10_000;
/** Maximum number of events read, however many there are. */
const FEW = 400;

let server: FakeServer;
let store: EventStoreDbEventStore;
const stores = new OpenedStores();

const open = (options = {}): EventStoreDbEventStore => stores.open(server.url, options);

beforeEach(async () => {
  server = await FakeServer.start();
  store = open();
});
afterEach(async () => {
  try {
    await eventually(() => server.subscriptions.active.size === 0);
  } finally {
    await stores.closeAll();
    await server.stop();
  }
});

/** Appends events of the feed with another client. Returns their ids and the position of the last one. */
const write = async (count: number): Promise<{ ids: string[]; position: Position }> => {
  const events = exampleEvents(count);
  const { position } = await open().append(exampleStream(), NO_STREAM, events);
  return { ids: events.map(({ eventId }) => eventId), position };
};

const idsAfter = async (after: Position, limit = 100): Promise<string[]> =>
  (await store.readFeed({ after, limit })).map(({ eventId }) => eventId);

/** Counts the events read from the log and the subscriptions started by some work. */
const costOf = async (work: () => Promise<unknown>): Promise<{ events: number; subscriptions: number }> => {
  server.eventsRead = 0;
  const before = server.calls.subscribe;
  await work();
  return { events: server.eventsRead, subscriptions: server.calls.subscribe - before };
};

describe('the feed after very many events of others', () => {
  it('costs only its own events, and is not searched again in a range without any', async () => {
    server.log.noise(MANY);
    const { ids, position } = await write(30);
    server.log.noise(MANY);
    const whole = await costOf(async () => expect(await idsAfter(START)).toEqual(ids));
    expect(whole.events).toBeLessThan(FEW);
    const first = await costOf(async () => expect(await idsAfter(position, 1)).toEqual([]));
    expect(first.events).toBeLessThan(FEW);
    for (let round = 0; round < 5; round++) {
      server.log.noise(10);
      const again = await costOf(async () => expect(await idsAfter(position, 1)).toEqual([]));
      expect(again).toEqual({ events: expect.any(Number), subscriptions: 0 });
      expect(again.events).toBeLessThan(20);
    }
  });

  it('costs only its own events if they are sparse', async () => {
    const written: string[] = [];
    for (let round = 0; round < 60; round++) {
      server.log.noise(50);
      written.push(...(await write(1)).ids);
    }
    const cost = await costOf(async () => expect(await idsAfter(START)).toEqual(written));
    expect(cost.events).toBeLessThan(FEW);
    expect(cost.subscriptions).toBe(1);
  });

  it('is read unfiltered if few events are in between', async () => {
    const written: string[] = [];
    for (let round = 0; round < 60; round++) {
      server.log.noise(4);
      written.push(...(await write(1)).ids);
    }
    const cost = await costOf(async () => expect(await idsAfter(START)).toEqual(written));
    expect(cost.subscriptions).toBe(0);
  });

  it('is searched once if it is empty', async () => {
    server.log.noise(MANY);
    for (const subscriptions of [1, 0, 0]) {
      const cost = await costOf(async () => expect(await idsAfter(START)).toEqual([]));
      expect(cost.subscriptions).toBe(subscriptions);
      expect(cost.events).toBeLessThan(FEW);
    }
  });

  it('includes everything appended before the call, by any client', async () => {
    server.log.noise(MANY);
    let { position: after } = await write(1);
    for (let round = 0; round < 12; round++) {
      // Once in a while more than a page, so that every way of reading comes by.
      server.log.noise([0, 3, 500][round % 3] ?? 0);
      expect(await idsAfter(after)).toEqual([]);
      server.log.noise([700, 0, 5][round % 3] ?? 0);
      const { ids, position } = await write(1 + (round % 2));
      server.log.noise([0, 400][round % 2] ?? 0);
      expect(await idsAfter(after)).toEqual(ids);
      expect(await store.head()).toBe(position);
      after = position;
    }
  });

  it.each([1, 7, 63, 64, 200, 201])('has exact pages of %s events', async (limit) => {
    const written: string[] = [];
    for (const size of [1, 100, 40, 60]) {
      server.log.noise(600);
      written.push(...(await write(size)).ids);
    }
    server.log.noise(600);
    const read: string[] = [];
    for (let after = START; ;) {
      const page = await store.readFeed({ after, limit });
      expect(page.length).toBeLessThanOrEqual(limit);
      read.push(...page.map(({ eventId }) => eventId));
      if (page.length < limit) break;
      after = page.at(-1)?.position ?? after;
    }
    expect(read).toEqual(written);
  });

  it('cannot be read from a position without an event even if the end is known', async () => {
    const { position } = await write(1);
    server.log.noise(MANY);
    expect(await idsAfter(position)).toEqual([]);
    const between = String(BigInt(position.slice(0, 20)) + 1n).padStart(20, '0');
    for (const after of ['7'.repeat(40), between + between])
      expect(await failureOf(idsAfter(after))).toBeInstanceOf(EngineUnavailable);
    expect(await failureOf(idsAfter('7'))).toBeInstanceOf(RangeError);
  });

  it('is that of an older copy after a restore', async () => {
    const first = await write(1);
    const length = server.log.records.length;
    server.log.noise(500);
    const gone = await write(1);
    server.log.noise(MANY);
    for (const { position } of [first, gone]) await idsAfter(position);
    server.log.cutTo(length);
    server.log.noise(5);
    expect(await idsAfter(first.position)).toEqual([]);
    expect(await failureOf(idsAfter(gone.position))).toBeInstanceOf(EngineUnavailable);
    const { ids } = await write(2);
    expect(await idsAfter(first.position)).toEqual(ids);
  });

  it('is read from the leader', async () => {
    server.log.noise(MANY);
    const leader = await FakeServer.start({ log: server.log });
    server.leader = leader;
    try {
      expect(await idsAfter(START)).toEqual([]);
      expect(await open().head()).toBe(START);
      expect([server.calls.subscribe, leader.calls.subscribe]).toEqual([0, 2]);
    } finally {
      await stores.closeAll();
      await leader.stop();
    }
  });
});

describe('a filtered search', () => {
  it('is given up and cancelled if nothing arrives in time', async () => {
    server.log.noise(MANY);
    const hasty = open({ callTimeoutMs: 300 });
    server.faults.subscribe.push({ kind: 'stall' }, { kind: 'slow', everyMs: 5_000 });
    for (let round = 0; round < 2; round++)
      expect(await failureOf(hasty.readFeed({ limit: 1 }))).toBeInstanceOf(EngineUnavailable);
    await eventually(() => server.subscriptions.active.size === 0);
    expect(await hasty.readFeed({ limit: 1 })).toEqual([]);
  });

  it('may take long as long as it makes progress', async () => {
    server.log.noise(2 * MANY);
    const hasty = open({ callTimeoutMs: 400 });
    server.faults.subscribe.push({ kind: 'slow', everyMs: 150 });
    const begun = performance.now();
    expect(await hasty.readFeed({ limit: 1 })).toEqual([]);
    expect(performance.now() - begun).toBeGreaterThan(600);
  });

  it('resumes after a drop as long as it makes progress', async () => {
    server.log.noise(MANY);
    const { ids } = await write(50);
    for (const after of [1, 20, 3]) server.faults.subscribe.push({ kind: 'drop', after });
    expect(await idsAfter(START)).toEqual(ids);
    expect(server.calls.subscribe).toBe(4);
    server.faults.subscribe.push({ kind: 'drop', after: 5 }, { kind: 'drop', after: 0 });
    expect(await failureOf(idsAfter(START))).toBeInstanceOf(EngineUnavailable);
  });

  it.each([status.CANCELLED, status.UNAVAILABLE])('is retried once: code %s', async (code) => {
    server.log.noise(MANY);
    server.faults.subscribe.push({ kind: 'fail', code });
    expect(await idsAfter(START)).toEqual([]);
  });

  it('ends when its page is full', async () => {
    server.log.noise(MANY);
    const { ids } = await write(500);
    expect(await idsAfter(START, 10)).toEqual(ids.slice(0, 10));
    await eventually(() => server.subscriptions.active.size === 0);
  });
});

describe('the head before very many events of others', () => {
  it('costs few events, whether an earlier head is known or not', async () => {
    const { position } = await write(20);
    server.log.noise(MANY);
    const first = await costOf(async () => expect(await store.head()).toBe(position));
    expect(first.events).toBeLessThan(2_000);
    server.log.noise(MANY);
    const second = await costOf(async () => expect(await store.head()).toBe(position));
    expect(second.events).toBeLessThan(FEW);
    server.log.noise(MANY);
    const next = await write(3);
    server.log.noise(MANY);
    const third = await costOf(async () => expect(await store.head()).toBe(next.position));
    expect(third.events).toBeLessThan(FEW);
  });

  it('is searched once for concurrent callers, and is not older than their calls', async () => {
    await write(5);
    server.log.noise(MANY);
    const asked = Array.from({ length: 10 }, () => store.head());
    const { position } = await write(1);
    const cost = await costOf(async () => {
      for (const head of await Promise.all(asked)) expect(head <= position).toBe(true);
      expect(await store.head()).toBe(position);
    });
    expect(cost.events).toBeLessThan(10 * FEW);
    server.log.noise(MANY);
    const late = open();
    const early = late.head();
    await eventually(() => server.subscriptions.active.size > 0 || early.then(() => true));
    const { position: last } = await write(1);
    const heads = await Promise.all(Array.from({ length: 5 }, () => late.head()));
    expect(new Set(heads)).toEqual(new Set([last]));
  });

  it('is found backwards if the feed is long, or if the search from the start is dropped', async () => {
    const { position } = await write(2_000);
    server.log.noise(1_000);
    server.faults.subscribe.push({ kind: 'stall' });
    const cost = await costOf(async () => expect(await store.head()).toBe(position));
    expect(cost.events).toBeLessThan(1_000 + FEW);
    server.faults.subscribe.push({ kind: 'drop', after: 0 }, { kind: 'drop', after: 0 });
    expect(await open().head()).toBe(position);
  });

  it('fails as unavailable if both searches fail', async () => {
    server.log.noise(MANY);
    // The two small pages are answered, and nothing behind them.
    for (let call = 0; call < 2; call++) server.faults.read.push({ kind: 'slow', everyMs: 0 });
    server.faults.read.push({ kind: 'fail', code: status.UNKNOWN });
    server.faults.subscribe.push({ kind: 'fail', code: status.UNKNOWN });
    expect(await failureOf(store.head())).toBeInstanceOf(EngineUnavailable);
    expect(await store.head()).toBe(START);
  });
});
