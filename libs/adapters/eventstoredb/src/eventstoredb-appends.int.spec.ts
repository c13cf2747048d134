import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { status } from '@grpc/grpc-js';
import { RekeyError } from '@rekey/contracts';
import { EngineUnavailable, NO_STREAM, type NewEvent, WrongRevision } from '@rekey/ports';
import { exampleEvent, exampleEvents, exampleStream } from '@rekey/ports/conformance';
import { failureOf, eventually } from '@rekey/testing';
import type { EventStoreDbEventStore } from './eventstoredb-event-store';
import { StreamRemoved } from './failures';
import { type AppendFault, FakeServer } from './fake-server.testing';
import { OpenedStores } from './opened-stores.testing';

/** For calls that are to get no answer, and for appends that are to be given up. */
const SHORT = { callTimeoutMs: 300 };
const IMPATIENT = { callTimeoutMs: 200, appendRetryMs: 600 };

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

const ids = (events: readonly NewEvent[]): string[] => events.map(({ eventId }) => eventId);
const stored = (stream: string): string[] => {
  const events = server.log.read(stream);
  return events === undefined || events === 'deleted' ? [] : events.map(({ id }) => id);
};

// The numbers are those of docs/eventstoredb.md.

describe('1. appends that share nothing with those of other clients of the process', () => {
  it('are made by calls of their own, which the client does only when it is given credentials', async () => {
    await store.append(exampleStream(), NO_STREAM, exampleEvents(2));
    expect(server.calls).toMatchObject({ append: 1, batchAppend: 0 });
    const plain = EventStoreDBClient.connectionString(server.url);
    const shared = plain.appendToStream(exampleStream(), jsonEvent({ type: 'SecretAdded', data: {} }));
    await eventually(() => server.calls.batchAppend === 1);
    await plain.dispose();
    await expect(shared).rejects.toThrow();
  });

  it('go on while another client is closed, and while another one loses its server', async () => {
    const other = await FakeServer.start();
    const elsewhere = open(other.url, IMPATIENT);
    const third = open();
    const appends = Array.from({ length: 30 }, (_, number) => (number % 2 ? store : open(server.url))).map((each) =>
      each.append(exampleStream(), NO_STREAM, exampleEvents(1)),
    );
    const lost = failureOf(elsewhere.append(exampleStream(), NO_STREAM, exampleEvents(1)));
    await Promise.all([third.close(), other.stop()]);
    expect((await Promise.all(appends)).every(({ revision }) => revision === 0)).toBe(true);
    await lost;
    expect(server.calls.batchAppend).toBe(0);
  });
});

describe('2. calls that end by our own time', () => {
  it('sends an append again that got no answer', async () => {
    const stream = exampleStream();
    const events = exampleEvents(2);
    server.faults.append.push({ kind: 'stall' });
    expect((await open(server.url, SHORT).append(stream, NO_STREAM, events)).revision).toBe(1);
    expect(server.appends).toEqual([ids(events), ids(events)]);
    expect(stored(stream)).toEqual(ids(events));
  });

  it('gives an append up when a stopped server has not answered for so long, and finds it done later', async () => {
    const stream = exampleStream();
    const [first, second] = [exampleEvents(1), exampleEvents(1)];
    const impatient = open(server.url, IMPATIENT);
    await store.append(stream, NO_STREAM, first);
    await eventually(() => impatient.head().then(Boolean, () => false));
    server.network.freeze();
    const begun = performance.now();
    expect(await failureOf(impatient.append(stream, 0, second))).toBeInstanceOf(EngineUnavailable);
    // The client itself would wait for its keepalive: 10 s, and 10 s more.
    expect(performance.now() - begun).toBeLessThan(5_000);
    server.network.unfreeze();
    expect((await store.append(stream, 0, second)).revision).toBe(1);
    expect(stored(stream)).toEqual([...ids(first), ...ids(second)]);
  });
});

describe('4. appends with a server that comes and goes', () => {
  const codes = [
    status.CANCELLED,
    status.UNKNOWN,
    status.DEADLINE_EXCEEDED,
    status.ABORTED,
    status.INTERNAL,
    status.UNAVAILABLE,
  ];
  const unknown: [string, AppendFault][] = [
    ...codes.flatMap((code): [string, AppendFault][] => [
      [`${status[code]}, not done`, { kind: 'fail', code }],
      [`${status[code]}, done`, { kind: 'fail', code, done: true }],
    ]),
    ['a connection cut before it was done', { kind: 'cut' }],
    ['a connection cut after it was done', { kind: 'cut', done: true }],
    ['no answer though it was done', { kind: 'stall', done: true }],
    ['an answer without a position', { kind: 'no position' }],
  ];

  it.each(unknown)('settles an unknown outcome with the same event ids: %s', async (_, fault) => {
    const stream = exampleStream();
    const [first, second] = [exampleEvents(2), exampleEvents(3)];
    await store.append(stream, NO_STREAM, first);
    server.faults.append.push(fault);
    const answer = await open(server.url, fault.kind === 'stall' ? SHORT : {}).append(stream, 1, second);
    expect(stored(stream)).toEqual([...ids(first), ...ids(second)]);
    const last = (await store.readStream(stream)).at(-1);
    expect(answer).toEqual({ revision: 4, position: last?.position });
    for (const sent of server.appends.slice(1)) expect(sent).toEqual(ids(second));
  });

  it('settles it through several failures', async () => {
    const stream = exampleStream();
    const events = exampleEvents(1);
    server.faults.append.push(
      { kind: 'fail', code: status.UNAVAILABLE },
      { kind: 'cut', done: true },
      { kind: 'fail', code: status.INTERNAL },
      { kind: 'stall' },
    );
    expect((await open(server.url, SHORT).append(stream, NO_STREAM, events)).revision).toBe(0);
    expect(stored(stream)).toEqual(ids(events));
    expect(server.appends).toHaveLength(5);
  });

  it('tells who won where the outcome was unknown and others were faster', async () => {
    const stream = exampleStream();
    server.faults.append.push({ kind: 'fail', code: status.UNAVAILABLE });
    const late = store.append(stream, NO_STREAM, exampleEvents(1));
    await eventually(() => server.appends.length === 1);
    server.log.append(stream, 'no_stream', [
      { id: 'b', type: 'SecretAdded', json: true, data: Buffer.from('{}'), metadata: Buffer.from('{}') },
    ]);
    expect(await failureOf(late)).toMatchObject({ name: 'WrongRevision', expected: NO_STREAM, actual: 0 });
  });

  it('gives up after a while as unavailable, with the cause', async () => {
    await server.network.shut();
    const error = await failureOf(open(server.url, IMPATIENT).append(exampleStream(), 3, exampleEvents(1)));
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect((error as Error).cause).toMatchObject({ code: status.UNAVAILABLE });
  });

  it('goes on at once when the server is back', async () => {
    const stream = exampleStream();
    await store.append(stream, NO_STREAM, exampleEvents(1));
    await server.network.shut();
    const waiting = store.append(stream, 0, exampleEvents(1));
    const given = open(server.url, IMPATIENT).append(stream, 0, exampleEvents(1));
    expect(await failureOf(given)).toBeInstanceOf(EngineUnavailable);
    await server.network.open();
    expect((await waiting).revision).toBe(1);
    expect((await store.append(stream, 1, exampleEvents(1))).revision).toBe(2);
  });

  it('is refused where the user may not write, without trying on', async () => {
    server.faults.append.push({
      kind: 'fail',
      code: status.PERMISSION_DENIED,
      exception: { exception: 'access-denied' },
    });
    const error = await failureOf(store.append(exampleStream(), 0, exampleEvents(1)));
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect(server.appends).toHaveLength(1);
  });

  it('turns to the leader of a cluster, and to the next one', async () => {
    const second = await FakeServer.start({ log: server.log });
    [server.members, second.members] = [
      [server, second],
      [server, second],
    ];
    second.leader = server;
    const cluster = open(`esdb://127.0.0.1:${second.network.port},127.0.0.1:${server.network.port}?tls=false`);
    const stream = exampleStream();
    await cluster.append(stream, NO_STREAM, exampleEvents(1));
    [server.leader, second.leader] = [second, undefined];
    expect((await cluster.append(stream, 0, exampleEvents(1))).revision).toBe(1);
    expect([server.appends.length, second.appends.length]).toEqual([1, 1]);
    expect(await cluster.readStream(stream)).toHaveLength(2);
    await second.stop();
  });
});

describe('5. a wrong revision', () => {
  it.each([
    [7n, 7],
    [undefined, NO_STREAM],
  ])('is told with the actual one: %s', async (actual, told) => {
    const stream = exampleStream();
    server.faults.append.push({ kind: 'wrong', actual });
    const error = await failureOf(store.append(stream, 2, exampleEvents(1)));
    expect(error).toBeInstanceOf(WrongRevision);
    expect(error).toMatchObject({ stream, expected: 2, actual: told });
    expect(server.appends).toHaveLength(1);
  });
});

describe('6. the size of an append', () => {
  const LIMIT = 1_048_576;
  const ofSize = (bytes: number): NewEvent => {
    const event = exampleEvent({ text: '' });
    const { type, data, metadata } = event;
    const rest = 2 * type.length + JSON.stringify(data).length + JSON.stringify(metadata).length;
    return { ...event, data: { text: 'x'.repeat(bytes - rest) } };
  };

  it('is refused before anything is sent where it is more than the server takes, counted in bytes', async () => {
    const half = LIMIT / 2;
    for (const events of [
      [ofSize(LIMIT + 1)],
      [ofSize(half), ofSize(half + 1)],
      [exampleEvent({ text: 'ä'.repeat(half) })],
    ]) {
      const error = await failureOf(store.append(exampleStream(), NO_STREAM, events));
      expect(error).toBeInstanceOf(RekeyError);
      expect(error).toMatchObject({ code: 'payload_too_large', details: { max: LIMIT } });
    }
    expect(server.calls).toMatchObject({ append: 0, read: 0 });
  });

  it('may be all that the server takes', async () => {
    expect((await store.append(exampleStream(), NO_STREAM, [ofSize(LIMIT)])).revision).toBe(0);
  });

  it('is refused where the server takes less than others do', async () => {
    const exception = { exception: 'maximum-append-size-exceeded', 'maximum-append-size': '1000' };
    server.faults.append.push({ kind: 'fail', code: status.INVALID_ARGUMENT, exception });
    const error = await failureOf(store.append(exampleStream(), NO_STREAM, exampleEvents(9)));
    expect(error).toMatchObject({ code: 'payload_too_large', details: { max: 1000 } });
    expect(server.appends).toHaveLength(1);
  });

  it('is never nothing', async () => {
    await expect(store.append(exampleStream(), NO_STREAM, [])).rejects.toThrow(RangeError);
    expect(server.calls).toMatchObject({ append: 0, read: 0 });
  });
});

describe('7. a stream that was deleted behind our back', () => {
  it('reads as none, and is not begun again at a revision that its hashes do not name', async () => {
    const stream = exampleStream();
    await store.append(stream, NO_STREAM, exampleEvents(3));
    server.log.softDelete(stream);
    expect(await store.readStream(stream)).toEqual([]);
    const error = await failureOf(store.append(stream, NO_STREAM, exampleEvents(1)));
    expect(error).toBeInstanceOf(StreamRemoved);
    expect(server.appends).toHaveLength(1);
  });

  it('reads as none, and takes nothing, where it was tombstoned', async () => {
    const stream = exampleStream();
    await store.append(stream, NO_STREAM, exampleEvents(3));
    server.log.tombstone(stream);
    expect(await store.readStream(stream)).toEqual([]);
    for (const expected of [NO_STREAM, 2])
      expect(await failureOf(store.append(stream, expected, exampleEvents(1)))).toBeInstanceOf(StreamRemoved);
  });

  it('is told apart where it is deleted between the look and the append', async () => {
    const stream = exampleStream();
    await store.append(stream, NO_STREAM, exampleEvents(3));
    server.faults.append.push({ kind: 'fail', code: status.UNAVAILABLE });
    const late = failureOf(store.append(stream, NO_STREAM, exampleEvents(1)));
    await eventually(() => server.appends.length === 2);
    server.log.softDelete(stream);
    expect(await late).toBeInstanceOf(StreamRemoved);
    expect(server.appends).toHaveLength(3);
  });
});

describe('closing', () => {
  it('waits for an append that is under way', async () => {
    const stream = exampleStream();
    await store.append(stream, NO_STREAM, exampleEvents(1));
    server.network.freeze();
    const append = store.append(stream, 0, exampleEvents(1));
    const closed = store.close();
    server.network.unfreeze();
    expect((await append).revision).toBe(1);
    await closed;
    expect(await failureOf(store.append(stream, 1, exampleEvents(1)))).toBeInstanceOf(EngineUnavailable);
    expect(server.appends).toHaveLength(2);
    await store.close();
  });

  it('makes no further attempts for an append that waits for its server', async () => {
    const patient = open(server.url, { appendRetryMs: 60_000 });
    await server.network.shut();
    const append = failureOf(patient.append(exampleStream(), 3, exampleEvents(1)));
    await patient.close();
    expect(await append).toBeInstanceOf(EngineUnavailable);
  });
});
