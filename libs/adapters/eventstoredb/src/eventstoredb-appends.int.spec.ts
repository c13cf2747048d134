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

/** Limits for calls that get no answer, and for appends that fail as unavailable. */
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

// The numbers are those of the list in docs/eventstoredb.md.

describe('1. appends that are independent of other clients of the process', () => {
  it('use unary calls, which the client makes only if it is given credentials', async () => {
    await store.append(exampleStream(), NO_STREAM, exampleEvents(2));
    expect(server.calls).toMatchObject({ append: 1, batchAppend: 0 });
    const plain = EventStoreDBClient.connectionString(server.url);
    const shared = plain.appendToStream(exampleStream(), jsonEvent({ type: 'SecretAdded', data: {} }));
    await eventually(() => server.calls.batchAppend === 1);
    await plain.dispose();
    await expect(shared).rejects.toThrow();
  });

  it('continue while another client is closed and another one loses its server', async () => {
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

describe('2. calls with a time limit', () => {
  it('retries an append that got no answer', async () => {
    const stream = exampleStream();
    const events = exampleEvents(2);
    server.faults.append.push({ kind: 'stall' });
    expect((await open(server.url, SHORT).append(stream, NO_STREAM, events)).revision).toBe(1);
    expect(server.appends).toEqual([ids(events), ids(events)]);
    expect(stored(stream)).toEqual(ids(events));
  });

  it('gives up an append if a stopped server does not answer, and finds it stored later', async () => {
    const stream = exampleStream();
    const [first, second] = [exampleEvents(1), exampleEvents(1)];
    const impatient = open(server.url, IMPATIENT);
    await store.append(stream, NO_STREAM, first);
    await eventually(() => impatient.head().then(Boolean, () => false));
    server.network.freeze();
    const begun = performance.now();
    expect(await failureOf(impatient.append(stream, 0, second))).toBeInstanceOf(EngineUnavailable);
    // The client alone would wait for two keepalive periods of 10 s.
    expect(performance.now() - begun).toBeLessThan(5_000);
    server.network.unfreeze();
    expect((await store.append(stream, 0, second)).revision).toBe(1);
    expect(stored(stream)).toEqual([...ids(first), ...ids(second)]);
  });
});

describe('4. appends to an unreliable server', () => {
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

  it.each(unknown)('resolves an unknown outcome by retrying with the same event ids: %s', async (_, fault) => {
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

  it('resolves it after several failures', async () => {
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

  it('reports a wrong revision if another writer was faster after an unknown outcome', async () => {
    const stream = exampleStream();
    server.faults.append.push({ kind: 'fail', code: status.UNAVAILABLE });
    const late = store.append(stream, NO_STREAM, exampleEvents(1));
    await eventually(() => server.appends.length === 1);
    server.log.append(stream, 'no_stream', [
      { id: 'b', type: 'SecretAdded', json: true, data: Buffer.from('{}'), metadata: Buffer.from('{}') },
    ]);
    expect(await failureOf(late)).toMatchObject({ name: 'WrongRevision', expected: NO_STREAM, actual: 0 });
  });

  it('fails as unavailable after its retry limit, with the cause', async () => {
    await server.network.shut();
    const error = await failureOf(open(server.url, IMPATIENT).append(exampleStream(), 3, exampleEvents(1)));
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect((error as Error).cause).toMatchObject({ code: status.UNAVAILABLE });
  });

  it('continues at once when the server is back', async () => {
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

  it('fails without a retry if the user may not write', async () => {
    server.faults.append.push({
      kind: 'fail',
      code: status.PERMISSION_DENIED,
      exception: { exception: 'access-denied' },
    });
    const error = await failureOf(store.append(exampleStream(), 0, exampleEvents(1)));
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect(server.appends).toHaveLength(1);
  });

  it('follows the leader of a cluster, also after a change', async () => {
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
  ])('is reported with the actual one: %s', async (actual, told) => {
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

  it('is checked in bytes before anything is sent', async () => {
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

  it('may be exactly the limit of the server', async () => {
    expect((await store.append(exampleStream(), NO_STREAM, [ofSize(LIMIT)])).revision).toBe(0);
  });

  it('is refused if the server has a lower limit', async () => {
    const exception = { exception: 'maximum-append-size-exceeded', 'maximum-append-size': '1000' };
    server.faults.append.push({ kind: 'fail', code: status.INVALID_ARGUMENT, exception });
    const error = await failureOf(store.append(exampleStream(), NO_STREAM, exampleEvents(9)));
    expect(error).toMatchObject({ code: 'payload_too_large', details: { max: 1000 } });
    expect(server.appends).toHaveLength(1);
  });

  it('must not be zero events', async () => {
    await expect(store.append(exampleStream(), NO_STREAM, [])).rejects.toThrow(RangeError);
    expect(server.calls).toMatchObject({ append: 0, read: 0 });
  });
});

describe('7. a stream that was deleted in EventStoreDB', () => {
  it('reads as empty if soft-deleted, and refuses appends', async () => {
    const stream = exampleStream();
    await store.append(stream, NO_STREAM, exampleEvents(3));
    server.log.softDelete(stream);
    expect(await store.readStream(stream)).toEqual([]);
    const error = await failureOf(store.append(stream, NO_STREAM, exampleEvents(1)));
    expect(error).toBeInstanceOf(StreamRemoved);
    expect(server.appends).toHaveLength(1);
  });

  it('reads as empty if tombstoned, and refuses appends', async () => {
    const stream = exampleStream();
    await store.append(stream, NO_STREAM, exampleEvents(3));
    server.log.tombstone(stream);
    expect(await store.readStream(stream)).toEqual([]);
    for (const expected of [NO_STREAM, 2])
      expect(await failureOf(store.append(stream, expected, exampleEvents(1)))).toBeInstanceOf(StreamRemoved);
  });

  it('is detected if it is deleted between the check and the append', async () => {
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
  it('waits for a running append', async () => {
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

  it('stops retrying an append whose server is unavailable', async () => {
    const patient = open(server.url, { appendRetryMs: 60_000 });
    await server.network.shut();
    const append = failureOf(patient.append(exampleStream(), 3, exampleEvents(1)));
    await patient.close();
    expect(await append).toBeInstanceOf(EngineUnavailable);
  });
});
