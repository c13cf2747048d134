import type {
  CollectionName,
  Filter,
  Position,
  Query,
  ReadModels,
  StoredEvent,
  ViewDocument,
  ViewIndex,
} from '@rekey/ports';
import { afterPosition } from './fold';
import { createPlainCollection } from '../plain-collection';

/**
 * A stream that a build no longer folds, because one of its events failed. That event and all later ones of the stream wait
 * in the store to be replayed. One document per build and stream.
 */
export interface ParkedStream extends ViewDocument {
  readonly view: string;
  readonly collection: CollectionName;
  readonly stream: string;
  readonly state: 'parked' | 'replayed';
  /** The first waiting event. */
  readonly revision: number;
  readonly eventPosition: Position;
  readonly eventType: string;
  /** Names fields and error types, never values. */
  readonly cause: string;
  /** Number of waiting events. */
  readonly events: number;
}

/** An event that could not be folded. `waiting` counts it and the later events of its stream. */
export interface FailedEvent {
  readonly view: string;
  readonly collection: CollectionName;
  readonly stream: string;
  readonly revision: number;
  readonly position: Position;
  readonly type: string;
  readonly cause: string;
  readonly waiting: number;
}

export const PARKED_COLLECTION = 'parked.v1';
const INDEXES: readonly ViewIndex[] = [{ name: 'state', fields: ['state', 'collection'] }];
const PAGE = 1000;

/** Creates the collection of parked streams if it is missing. */
export const createParked = (readModels: Pick<ReadModels, 'createBuild'>): Promise<void> =>
  createPlainCollection(readModels, PARKED_COLLECTION, 'parked', INDEXES);

/** Returns every stream that a build has parked. */
const parkedStreams = async (
  readModels: Pick<ReadModels, 'find'>,
  collection: CollectionName,
): Promise<ParkedStream[]> => {
  const found: ParkedStream[] = [];
  const filter = parkedOf([collection]);
  for (;;) {
    const last = found.at(-1)?._id;
    const query: Query = { filter, limit: PAGE, ...(last !== undefined && { after: { value: last, id: last } }) };
    const page = await readModels.find<ParkedStream>(PARKED_COLLECTION, query);
    found.push(...page);
    if (page.length < PAGE) return found;
  }
};

export const failedEventOf = (parked: ParkedStream): FailedEvent => {
  const { view, collection, stream, revision, eventPosition: position, eventType: type, cause, events } = parked;
  return { view, collection, stream, revision, position, type, cause, waiting: events };
};

/** Returns the record of a stream in each of the builds; null if it was never parked there. */
export const parkedIn = async (
  readModels: Pick<ReadModels, 'read'>,
  collections: readonly CollectionName[],
  stream: string,
): Promise<readonly (ParkedStream | null)[]> => {
  const ids = collections.map((collection) => parkedIdOf(collection, stream));
  return (await readModels.read<ParkedStream>(PARKED_COLLECTION, ids)).documents;
};

/** Returns the number of parked streams in each of the builds. */
export const countParked = (
  readModels: Pick<ReadModels, 'count'>,
  collections: readonly CollectionName[],
): Promise<number[]> =>
  Promise.all(collections.map((collection) => readModels.count(PARKED_COLLECTION, parkedOf([collection]))));

/** Returns a filter for the streams that are parked in any of the builds. */
export const parkedOf = (collections: readonly CollectionName[]): Filter => ({
  and: [
    { field: 'state', op: 'eq', value: 'parked' },
    { field: 'collection', op: 'in', value: collections },
  ],
});

const parkedIdOf = (collection: CollectionName, stream: string): string => `${collection}/${stream}`;

/** The parked streams of one build: in memory, and stored. Only the owner of the build changes them. */
export class Parking {
  private readonly streams = new Map<string, ParkedStream>();

  constructor(
    private readonly readModels: Pick<ReadModels, 'find' | 'put'>,
    private readonly view: string,
    private readonly collection: CollectionName,
  ) {}

  get size(): number {
    return this.streams.size;
  }

  get names(): readonly string[] {
    return [...this.streams.keys()];
  }

  /** Loads what earlier owners have parked. */
  async load(): Promise<void> {
    this.streams.clear();
    for (const parked of await parkedStreams(this.readModels, this.collection)) this.streams.set(parked.stream, parked);
  }

  get(stream: string): ParkedStream | undefined {
    return this.streams.get(stream);
  }

  /** Parks a stream from an event on, or moves the first waiting event of a stream that is parked. */
  async park(event: StoredEvent, cause: string, waiting = 1): Promise<void> {
    const before = this.streams.get(event.stream);
    await this.store({
      _id: parkedIdOf(this.collection, event.stream),
      position: before ? afterPosition(before.position) : event.position,
      view: this.view,
      collection: this.collection,
      stream: event.stream,
      state: 'parked',
      revision: event.revision,
      eventPosition: event.position,
      eventType: event.type,
      cause,
      events: waiting,
    });
  }

  /** Counts later events of parked streams. Events that were counted before are skipped. */
  async add(events: readonly StoredEvent[]): Promise<void> {
    const changed = new Map<string, ParkedStream>();
    for (const { stream, position } of events) {
      const parked = changed.get(stream) ?? this.streams.get(stream);
      if (parked && position > parked.position) changed.set(stream, { ...parked, position, events: parked.events + 1 });
    }
    if (changed.size === 0) return;
    await this.readModels.put(PARKED_COLLECTION, [...changed.values()]);
    for (const [stream, parked] of changed) this.streams.set(stream, parked);
  }

  /** Marks a stream as replayed: all of its events were folded. */
  async release(stream: string): Promise<void> {
    const parked = this.streams.get(stream);
    if (!parked) return;
    await this.readModels.put(PARKED_COLLECTION, [
      { ...parked, state: 'replayed', position: afterPosition(parked.position) } as ParkedStream,
    ]);
    this.streams.delete(stream);
  }

  private async store(parked: ParkedStream): Promise<void> {
    await this.readModels.put(PARKED_COLLECTION, [parked]);
    this.streams.set(parked.stream, parked);
  }
}
