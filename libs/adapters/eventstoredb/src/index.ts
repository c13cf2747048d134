export { EventStoreDbEventStore, type EventStoreDbOptions } from './eventstoredb-event-store';
export { StreamRemoved } from './failures';
