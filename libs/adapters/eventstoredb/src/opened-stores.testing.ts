import { SystemClock } from '@rekey/ports';
import { type EventStoreDbOptions, EventStoreDbEventStore } from './eventstoredb-event-store';

const clock = new SystemClock();

/** The stores that a test opens, to be closed after it. */
export class OpenedStores {
  private stores: EventStoreDbEventStore[] = [];

  open(connectionString: string, options: Partial<EventStoreDbOptions> = {}): EventStoreDbEventStore {
    const store = new EventStoreDbEventStore({ connectionString, clock, ...options });
    this.stores.push(store);
    return store;
  }

  async closeAll(): Promise<void> {
    const stores = this.stores;
    this.stores = [];
    await Promise.all(stores.map((store) => store.close()));
  }
}
