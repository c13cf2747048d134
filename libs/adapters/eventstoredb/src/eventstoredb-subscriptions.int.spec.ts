import { status } from '@grpc/grpc-js';
import { type EventBatch, NO_STREAM, type NewEvent, type Position, START, SystemClock } from '@rekey/ports';
import { exampleEvents, exampleStream } from '@rekey/ports/conformance';
import { eventually } from '@rekey/testing';
import { EventStoreDbEventStore } from './eventstoredb-event-store';
import { type Break, FakeServer, type FakeServerOptions } from './fake-server.testing';

const clock = new SystemClock();

let server: FakeServer;
let store: EventStoreDbEventStore;

const start = async (options: FakeServerOptions = {}): Promise<void> => {
  server = await FakeServer.start(options);
  store = new EventStoreDbEventStore({ connectionString: server.url, clock, callTimeoutMs: 500 });
};

beforeEach(() => start());
afterEach(async () => {
  await store.close();
  await server.stop();
});

/** Events of the feed in the server's log, by one append each so many. */
const write = (sizes: readonly number[], stream = exampleStream()): string[] =>
  sizes.flatMap((size) => {
    const events = exampleEvents(size);
    server.log.append(stream, 'any', events.map(proposed));
    return events.map(({ eventId }) => eventId);
  });

const proposed = ({ eventId, type, data, metadata }: NewEvent) => ({
  id: eventId,
  type,
  json: true,
  data: Buffer.from(JSON.stringify(data)),
  metadata: Buffer.from(JSON.stringify(metadata)),
});

/** A consumer who takes a batch, and the next one only when it is told to go on. */
class Consumer {
  readonly batches: EventBatch[] = [];
  readonly ending = new AbortController();
  readonly done: Promise<void>;
  isStuck = false;
  private goOn: () => void = () => undefined;

  constructor(batchSize = 100, after: Position = START) {
    this.done = (async () => {
      for await (const batch of store.subscribe({ after, batchSize, signal: this.ending.signal })) {
        this.batches.push(batch);
        if (this.isStuck) await new Promise<void>((resolve) => (this.goOn = resolve));
      }
    })();
  }

  get ids(): string[] {
    return this.batches.flatMap(({ events }) => events.map(({ eventId }) => eventId));
  }

  get isCaughtUp(): boolean {
    return this.batches.at(-1)?.caughtUp ?? false;
  }

  release(): void {
    this.isStuck = false;
    this.goOn();
  }

  async end(): Promise<void> {
    this.release();
    this.ending.abort();
    await this.done;
  }
}

describe('3. a subscriber that is too slow for live events', () => {
  it('is dropped, and resumes after the last processed event without a gap', async () => {
    const before = write([3]);
    const consumer = new Consumer(10);
    await eventually(() => consumer.isCaughtUp);
    consumer.isStuck = true;
    const meanwhile = write([1, 500, 20]);
    await eventually(() => server.subscriptions.dropped === 1);
    consumer.release();
    await eventually(() => consumer.ids.length >= before.length + meanwhile.length && consumer.isCaughtUp);
    await consumer.end();
    expect(consumer.ids).toEqual([...before, ...meanwhile]);
    expect(server.calls.subscribe).toBe(2);
  });

  it('survives any number of drops', async () => {
    const consumer = new Consumer(7);
    const written: string[] = [];
    for (let round = 1; round <= 8; round++) {
      await eventually(() => consumer.isCaughtUp);
      consumer.isStuck = true;
      written.push(...write([1, 60]));
      await eventually(() => server.subscriptions.dropped === round);
      written.push(...write([40, 1, 1]));
      consumer.release();
      await eventually(() => consumer.ids.length >= written.length);
    }
    await eventually(() => consumer.isCaughtUp);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
  });

  it('is caught up again only after it has processed the events it was dropped for', async () => {
    const consumer = new Consumer(10);
    await eventually(() => consumer.isCaughtUp);
    consumer.isStuck = true;
    const written = write([1, 100]);
    await eventually(() => server.subscriptions.dropped === 1);
    consumer.release();
    await eventually(() => consumer.ids.length === written.length && consumer.isCaughtUp);
    await consumer.end();
    let seen = 0;
    for (const { events, caughtUp } of consumer.batches) {
      seen += events.length;
      // At most what had arrived when the server dropped it, and then all.
      if (caughtUp) expect(seen <= 33 || seen === written.length).toBe(true);
    }
  });

  it('follows a server that sends it back to catching up instead', async () => {
    await store.close();
    await server.stop();
    await start({ fallsBehind: true });
    const consumer = new Consumer(10);
    await eventually(() => consumer.isCaughtUp);
    consumer.isStuck = true;
    const written = write([1, 300, 2]);
    consumer.release();
    await eventually(() => consumer.ids.length === written.length && consumer.isCaughtUp);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
    expect(server.calls.subscribe).toBe(1);
    const last = consumer.batches.findLast(({ events }) => events.length > 0);
    expect(consumer.batches.filter(({ caughtUp }) => !caughtUp).length).toBeGreaterThan(1);
    expect(last?.events.at(-1)?.eventId).toBe(written.at(-1));
  });

  it('receives a batch only after it has processed the previous one', async () => {
    const written = write(Array.from({ length: 100 }, () => 50));
    const consumer = new Consumer(20);
    consumer.isStuck = true;
    await eventually(() => consumer.batches.length === 1);
    const first = consumer.ids.length;
    expect(first).toBeLessThanOrEqual(20);
    await store.head();
    expect(consumer.ids).toHaveLength(first);
    consumer.release();
    await eventually(() => consumer.ids.length === written.length);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
    expect(server.calls.subscribe).toBe(1);
  });
});

describe('caughtUp', () => {
  it.each([
    [40, 3],
    [40, 40],
    [40, 7],
    [1, 1],
    [16, 16],
    [17, 16],
  ])('comes with the last events and not before: %s in batches of %s', async (count, batchSize) => {
    const written = write([count]);
    const consumer = new Consumer(batchSize);
    consumer.isStuck = true;
    await eventually(() => consumer.batches.length === 1 && server.subscriptions.caughtUp === 1);
    // What the server said before it answered this has arrived, and the consumer has the first batch in hand.
    await store.head();
    consumer.release();
    await eventually(() => consumer.isCaughtUp);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
    const [word, ...more] = consumer.batches.filter(({ caughtUp }) => caughtUp);
    expect(more).toEqual([]);
    expect(consumer.batches.at(-1)).toBe(word);
  });

  it('comes once if there are no events', async () => {
    server.log.noise(500);
    const consumer = new Consumer();
    await eventually(() => consumer.isCaughtUp);
    server.log.noise(100);
    const written = write([1]);
    await eventually(() => consumer.ids.length === 1);
    await consumer.end();
    expect(consumer.batches.map(({ events, caughtUp }) => [events.length, caughtUp])).toEqual([
      [0, true],
      [1, true],
    ]);
    expect(consumer.ids).toEqual(written);
  });
});

describe('4. a subscription to an unreliable server', () => {
  const faults: [string, Break][] = [
    ['UNAVAILABLE', { kind: 'fail', code: status.UNAVAILABLE }],
    ['UNKNOWN', { kind: 'fail', code: status.UNKNOWN }],
    ['CANCELLED', { kind: 'fail', code: status.CANCELLED }],
    ['ABORTED', { kind: 'fail', code: status.ABORTED }],
    ['a cut connection', { kind: 'cut' }],
    ['no confirmation', { kind: 'stall' }],
    ['no permission', { kind: 'fail', code: status.PERMISSION_DENIED, exception: { exception: 'access-denied' } }],
  ];

  it.each(faults)('retries if it cannot start: %s', async (_, fault) => {
    const written = write([5]);
    server.faults.subscribe.push(fault, fault);
    const consumer = new Consumer();
    await eventually(() => consumer.isCaughtUp);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
    expect(server.calls.subscribe).toBe(3);
  });

  it('resumes after the last processed event when its connection breaks, idle or during a batch', async () => {
    const written = write([30]);
    const consumer = new Consumer(4);
    for (let round = 0; round < 6; round++) {
      await eventually(() => consumer.ids.length >= written.length && consumer.isCaughtUp);
      consumer.isStuck = round % 2 === 1;
      const batches = consumer.batches.length;
      written.push(...write([9]));
      await eventually(() => consumer.batches.length > batches);
      server.network.cut();
      written.push(...write([3]));
      consumer.release();
    }
    await eventually(() => consumer.ids.length >= written.length && consumer.isCaughtUp);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
  });

  it('waits for an unavailable server, and delivers what was appended meanwhile', async () => {
    const written = write([2]);
    const consumer = new Consumer();
    await eventually(() => consumer.isCaughtUp);
    await server.network.shut();
    written.push(...write([2]));
    await server.network.open();
    await eventually(() => consumer.ids.length === written.length);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
  });

  it('ends at once by its signal or when the store is closed, while the server is unavailable', async () => {
    await server.network.shut();
    const [consumer, other] = [new Consumer(), new Consumer()];
    await new Promise(setImmediate);
    await consumer.end();
    await store.close();
    await other.done;
    expect([...consumer.batches, ...other.batches]).toEqual([]);
  });
});

describe('the end of a subscription', () => {
  const following = async (leave: (consumed: number) => boolean): Promise<void> => {
    let consumed = 0;
    for await (const { events } of store.subscribe({
      after: START,
      batchSize: 5,
      signal: new AbortController().signal,
    })) {
      consumed += events.length;
      if (leave(consumed)) break;
    }
  };

  it('is sent to the server when a consumer breaks, live or catching up', async () => {
    write([3]);
    await following((consumed) => consumed === 3);
    await eventually(() => server.calls.subscribe === 1 && server.subscriptions.active.size === 0);
    write([2_000]);
    await following(() => true);
    await eventually(() => server.calls.subscribe === 2 && server.subscriptions.active.size === 0);
  });

  it('is sent to the server when a consumer throws', async () => {
    write([3]);
    const failing = following(() => {
      throw new Error('of the consumer');
    });
    await expect(failing).rejects.toThrow('of the consumer');
    await eventually(() => server.subscriptions.active.size === 0);
  });

  it('is sent to the server on abort, and when the store is closed', async () => {
    const [consumer, other] = [new Consumer(), new Consumer()];
    await eventually(() => consumer.isCaughtUp && other.isCaughtUp);
    expect(server.subscriptions.active.size).toBe(2);
    await consumer.end();
    await eventually(() => server.subscriptions.active.size === 1);
    await store.close();
    await other.done;
    await eventually(() => server.subscriptions.active.size === 0);
  });

  it('comes with an error if the position is malformed', async () => {
    const subscription = store.subscribe({ after: 'x', batchSize: 5, signal: new AbortController().signal });
    await expect(subscription[Symbol.asyncIterator]().next()).rejects.toThrow(RangeError);
  });
});

describe('7. streams that were deleted', () => {
  it('deliver their events, and nothing about the deletion', async () => {
    const [soft, hard] = [exampleStream(), exampleStream('domain')];
    const written = [...write([2], soft), ...write([2], hard)];
    const consumer = new Consumer();
    await eventually(() => consumer.isCaughtUp);
    server.log.softDelete(soft);
    server.log.tombstone(hard);
    written.push(...write([1]));
    await eventually(() => consumer.ids.length >= written.length);
    await consumer.end();
    expect(consumer.ids).toEqual(written);
    const again = new Consumer();
    await eventually(() => again.isCaughtUp);
    await again.end();
    expect(again.ids).toEqual(written);
  });
});

it('delivers single appends to one stream without a gap', async () => {
  const consumer = new Consumer(3);
  const stream = exampleStream();
  for (let revision = NO_STREAM; revision < 20; revision++) await store.append(stream, revision, exampleEvents(1));
  await eventually(() => consumer.ids.length === 21);
  await consumer.end();
  expect(consumer.batches.flatMap(({ events }) => events)).toEqual(await store.readStream(stream));
});
