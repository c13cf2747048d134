import { type EventStore, SystemClock } from '@rekey/ports';
import { eventStoreConformance } from '@rekey/ports/conformance';
import { describeOn } from '@rekey/testing';
import { EventStoreDbEventStore } from './eventstoredb-event-store';
import { Peer } from './peer.testing';

const clock = new SystemClock();

/** Any number of clients of one server. */
const clientsOf = (connectionString: string) => {
  const opened: EventStore[] = [];
  const another = async (): Promise<EventStore> => {
    const store = new EventStoreDbEventStore({ connectionString, clock });
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

eventStoreConformance('EventStoreDbEventStore on the scripted peer', async () => {
  const peer = await Peer.start();
  const clients = clientsOf(peer.url);
  const store = await clients.another();
  return {
    ...clients,
    store,
    close: async () => {
      await clients.close();
      await peer.stop();
    },
  };
});

describeOn(['eventstore'], ({ eventstore }) => {
  eventStoreConformance('EventStoreDbEventStore on a real server', async () => {
    const clients = clientsOf(eventstore);
    return { ...clients, store: await clients.another() };
  });
});
