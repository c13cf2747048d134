import { status } from '@grpc/grpc-js';
import { UnreadableEvent, decodeEvent } from '@rekey/contracts';
import { CHAIN_START, type ChainedEvent, checkLink } from '@rekey/domain';
import { EngineUnavailable, NO_STREAM, SYSTEM_STREAM, START, sha256 } from '@rekey/ports';
import { exampleEvents, exampleStream } from '@rekey/ports/conformance';
import { failureOf, eventually } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import type { EventStoreDbEventStore } from './eventstoredb-event-store';
import { StreamRemoved } from './failures';
import { systemRecord } from './fake-log.testing';
import { FakeServer } from './fake-server.testing';
import { OpenedStores } from './opened-stores.testing';

const SHORT = { callTimeoutMs: 300 };

let server: FakeServer;
let store: EventStoreDbEventStore;
const stores = new OpenedStores();

const open = (connectionString = server.url, options = {}): EventStoreDbEventStore =>
  stores.open(connectionString, options);

beforeEach(async () => {
  server = await FakeServer.start();
  store = open();
});
afterEach(async () => {
  await stores.closeAll();
  await server.stop();
});

const everyRead = (of = store): (() => Promise<unknown>)[] => [
  () => of.readStream('application-x'),
  () => of.readFeed({ limit: 10 }),
  () => of.head(),
  () => of.identity(),
];

describe('2. reads with a time limit', () => {
  it('fail if a stopped server does not answer, and work again when it continues', async () => {
    const hasty = open(server.url, SHORT);
    await eventually(() => hasty.identity().then(Boolean, () => false));
    server.network.freeze();
    const begun = performance.now();
    const failures = await Promise.all(everyRead(hasty).map((read) => failureOf(read())));
    for (const error of failures) expect(error).toBeInstanceOf(EngineUnavailable);
    // The client alone would wait for two keepalive periods of 10 s.
    expect(performance.now() - begun).toBeLessThan(5_000);
    server.network.unfreeze();
    for (const read of everyRead(hasty))
      await eventually(() =>
        read().then(
          () => true,
          () => false,
        ),
      );
  });

  it('fail if no further event arrives in time, not if the whole read takes long', async () => {
    const stream = exampleStream();
    for (let round = 0; round < 4; round++) await store.append(stream, round * 500 - 1, exampleEvents(500));
    const hasty = open(server.url, SHORT);
    server.faults.read.push({ kind: 'stall' });
    expect(await failureOf(hasty.readStream(stream))).toBeInstanceOf(EngineUnavailable);
    server.faults.read.push({ kind: 'slow', everyMs: 100 });
    expect(await hasty.readStream(stream, 0, 8)).toHaveLength(8);
  });
});

describe('4. reads from an unreliable server', () => {
  it('fail at once as unavailable, and work again at once when the server is back', async () => {
    await store.head();
    await server.network.shut();
    for (const read of everyRead()) {
      const error = await failureOf(read());
      expect(error).toBeInstanceOf(EngineUnavailable);
      expect((error as Error).cause).toMatchObject({ code: status.UNAVAILABLE });
    }
    await server.network.open();
    for (const read of everyRead()) await read();
  });

  it('do not fail because an idle connection broke', async () => {
    await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
    const head = await store.head();
    for (let round = 0; round < 10; round++) {
      server.network.cut();
      expect(await store.head()).toBe(head);
    }
  });

  it.each([status.CANCELLED, status.UNAVAILABLE])('are retried once: code %s', async (code) => {
    server.faults.read.push({ kind: 'fail', code });
    expect(await store.readFeed({ limit: 1 })).toEqual([]);
    server.faults.read.push({ kind: 'fail', code }, { kind: 'fail', code });
    expect(await failureOf(store.readFeed({ limit: 1 }))).toBeInstanceOf(EngineUnavailable);
  });

  it('fail as unavailable if the user may not read', async () => {
    server.faults.read.push({
      kind: 'fail',
      code: status.PERMISSION_DENIED,
      exception: { exception: 'access-denied' },
    });
    const error = await failureOf(store.head());
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect((error as Error).cause).toMatchObject({ type: 'access-denied' });
  });

  // After a failure, the client awaits a new connection in a promise that nothing handles. Jest fails a test on an
  // unhandled rejection, as Node ends a process.
  it('does not end the process when a whole cluster goes away', async () => {
    const cluster = `${server.url.replace('?', ',127.0.0.1:1?')}&maxDiscoverAttempts=2&discoveryInterval=20`;
    const ours = open(cluster);
    await ours.head();
    server.faults.read.push({ kind: 'stall' }, { kind: 'fail', code: status.CANCELLED });
    const stalled = failureOf(ours.head());
    await eventually(() => server.faults.read.length === 1);
    server.network.turnAway();
    // Cancelled by the server, so the retry looks for a cluster member until it gives up.
    const looking = failureOf(ours.head());
    await eventually(() => server.network.turnedAway > 0);
    // Meanwhile, make the call on the old connection fail.
    server.network.cut();
    for (const failure of [stalled, looking]) expect(await failure).toBeInstanceOf(EngineUnavailable);
    await server.network.open();
    expect(await ours.head()).toBe(START);
  });
});

describe('7. streams that were deleted', () => {
  it('leave only their events in the feed', async () => {
    const [soft, hard] = [exampleStream(), exampleStream('domain')];
    const events = [exampleEvents(2), exampleEvents(2)] as const;
    await store.append(soft, NO_STREAM, events[0]);
    const { position } = await store.append(hard, NO_STREAM, events[1]);
    server.log.softDelete(soft);
    server.log.tombstone(hard);
    const feed = await store.readFeed({ limit: 100 });
    expect(feed.map(({ eventId }) => eventId)).toEqual([...events[0], ...events[1]].map(({ eventId }) => eventId));
    expect(await store.head()).toBe(position);
  });

  it('do not yield a new identity if the system stream was deleted', async () => {
    await store.identity();
    server.log.tombstone(SYSTEM_STREAM);
    expect(await failureOf(store.identity())).toBeInstanceOf(StreamRemoved);
  });
});

describe('the feed among other events', () => {
  it('is found after and between any number of them', async () => {
    const streams = [exampleStream(), exampleStream('domain'), exampleStream()];
    const appended: string[] = [];
    for (const stream of streams) {
      server.log.noise(300);
      const events = exampleEvents(3);
      await store.append(stream, NO_STREAM, events);
      appended.push(...events.map(({ eventId }) => eventId));
    }
    server.log.noise(300);
    const all = await store.readFeed({ limit: 100 });
    expect(all.map(({ eventId }) => eventId)).toEqual(appended);
    for (const [index, { position: after }] of all.entries())
      for (const limit of [1, 4, 300]) {
        const page = await store.readFeed({ after, limit });
        expect(page).toEqual(all.slice(index + 1, index + 1 + limit));
      }
    expect(await store.readFeed({ limit: 0 })).toEqual([]);
  });

  it('has a head, which is searched only in new events', async () => {
    expect(await store.head()).toBe(START);
    const { position } = await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
    server.log.noise(3_000);
    expect(await store.head()).toBe(position);
    server.eventsRead = 0;
    expect(await store.head()).toBe(position);
    server.log.noise(5);
    expect(await store.head()).toBe(position);
    expect(server.eventsRead).toBeLessThan(20);
    const next = await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
    expect(await store.head()).toBe(next.position);
  });

  it('has the head of an older copy after a restore', async () => {
    const first = await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
    const length = server.log.records.length;
    await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
    server.log.noise(100);
    await store.head();
    server.log.cutTo(length);
    server.log.noise(3);
    expect(await store.head()).toBe(first.position);
  });

  it('cannot be read from a position without an event, or from a malformed one', async () => {
    await store.append(exampleStream(), NO_STREAM, exampleEvents(1));
    const error = await failureOf(store.readFeed({ after: '7'.repeat(40), limit: 1 }));
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect(await failureOf(store.readFeed({ after: '7', limit: 1 }))).toBeInstanceOf(RangeError);
  });

  it('includes foreign events in its streams, which cannot be decoded', async () => {
    const stream = exampleStream();
    const data = Buffer.from([0, 255, 1]);
    server.log.append(stream, 'any', [
      { id: randomUUID(), type: 'SecretAdded', json: false, data, metadata: data },
      { ...systemRecord('SecretAdded', 'no JSON'), json: true },
    ]);
    const events = await store.readFeed({ limit: 10 });
    expect(events).toHaveLength(2);
    for (const event of events) expect(() => decodeEvent(event)).toThrow(UnreadableEvent);
  });
});

describe('the identity', () => {
  it('is created once, by a hash-chained event, for any number of concurrent callers', async () => {
    const clients = Array.from({ length: 8 }, () => open());
    const names = await Promise.all(clients.flatMap((each) => [each.identity(), each.identity()]));
    const [event, ...more] = await store.readStream(SYSTEM_STREAM);
    expect(more).toEqual([]);
    expect(new Set(names)).toEqual(new Set([event?.eventId]));
    expect(event).toMatchObject({ type: 'StoreCreated', data: { storeId: expect.any(String) } });
    expect(checkLink(event as unknown as ChainedEvent, CHAIN_START, sha256).broken).toBeUndefined();
  });
});
