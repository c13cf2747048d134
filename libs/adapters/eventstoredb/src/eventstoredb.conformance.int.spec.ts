import { type EventStore, NO_STREAM, START, SystemClock } from '@rekey/ports';
import { collectBatches, eventStoreConformance, exampleEvents, exampleStream } from '@rekey/ports/conformance';
import { describeOn } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { EventStoreDbEventStore } from './eventstoredb-event-store';
import { FakeServer } from './fake-server.testing';

const clock = new SystemClock();

/** Opens any number of clients of one server with the same stream prefix. */
const clientsOf = (connectionString: string, streamPrefix = '') => {
  const opened: EventStore[] = [];
  const another = async (): Promise<EventStore> => {
    const store = new EventStoreDbEventStore({ connectionString, streamPrefix, clock });
    opened.push(store);
    return store;
  };
  const close = async () => void (await Promise.all(opened.splice(0).map((store) => store.close())));
  const reopen = async () => {
    await close();
    return another();
  };
  return { another, reopen, close };
};

eventStoreConformance('EventStoreDbEventStore on the fake server', async () => {
  const server = await FakeServer.start();
  const clients = clientsOf(server.url);
  const store = await clients.another();
  return {
    ...clients,
    store,
    close: async () => {
      await clients.close();
      await server.stop();
    },
  };
});

describe('several systems on one server', () => {
  let server: FakeServer;
  const others: ReturnType<typeof clientsOf>[] = [];
  beforeAll(async () => {
    server = await FakeServer.start();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const clients of others.splice(0)) await clients.close();
  });
  const open = async (prefix: string): Promise<EventStore> => {
    const clients = clientsOf(server.url, prefix);
    others.push(clients);
    return clients.another();
  };

  eventStoreConformance('EventStoreDbEventStore with a prefix', async () => {
    const clients = clientsOf(server.url, `test_${randomUUID().slice(0, 8)}.`);
    return { ...clients, store: await clients.another() };
  });

  it('reads and subscribes to its own events only', async () => {
    const stream = exampleStream();
    const [one, two, bare] = [await open('one.'), await open('one.two.'), await open('')];
    for (const store of [one, two, bare]) await store.append(stream, NO_STREAM, exampleEvents(2));
    const ids = new Set<string>();
    for (const store of [one, two, bare]) {
      const feed = await store.readFeed({ limit: 10 });
      const followed = await collectBatches(store, { after: START, count: 2, caughtUp: true });
      expect(feed.map((event) => event.stream)).toEqual([stream, stream]);
      expect(followed.flatMap(({ events }) => events)).toEqual(feed);
      expect(await store.readStream(stream)).toEqual(feed);
      expect(await store.head()).toBe(feed[1]?.position);
      for (const { eventId } of feed) ids.add(eventId);
      ids.add(await store.identity());
    }
    expect(ids.size).toBe(9);
  });
});

describeOn(['eventstore'], ({ eventstore }) => {
  eventStoreConformance('EventStoreDbEventStore on a real server', async () => {
    const clients = clientsOf(eventstore, `test_${randomUUID().slice(0, 8)}.`);
    return { ...clients, store: await clients.another() };
  });
});
