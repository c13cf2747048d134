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
import { START } from '@rekey/ports';
import { afterPosition } from './fold';

/**
 * A stream that a build has stopped taking in, for an event of it could not be taken in: that event and all later ones
 * of the stream wait, in the store, to be replayed from the first. One document per build and stream.
 */
export interface ParkedStream extends ViewDocument {
  readonly view: string;
  readonly collection: CollectionName;
  readonly stream: string;
  readonly state: 'parked' | 'replayed';
  /** The first event that waits. */
  readonly revision: number;
  readonly eventPosition: Position;
  readonly eventType: string;
  /** Names fields and kinds of errors, never values. */
  readonly cause: string;
  /** How many events wait. */
  readonly events: number;
}

/** An event that could not be taken in, with how many of its stream wait behind it. */
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

/** Makes the collection of parked streams where it is missing. It is derived from no history, so it has no identity. */
export const createParked = (readModels: Pick<ReadModels, 'createBuild'>): Promise<void> =>
  readModels.createBuild(
    {
      collection: PARKED_COLLECTION,
      view: 'parked',
      version: 1,
      storeIdentity: '',
      target: START,
      checkpoint: START,
      owner: '',
      beat: 0,
    },
    INDEXES,
  );

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

/** What is known of a stream in each of some builds; null where it was never parked. */
export const parkedIn = async (
  readModels: Pick<ReadModels, 'read'>,
  collections: readonly CollectionName[],
  stream: string,
): Promise<readonly (ParkedStream | null)[]> => {
  const ids = collections.map((collection) => parkedIdOf(collection, stream));
  return (await readModels.read<ParkedStream>(PARKED_COLLECTION, ids)).documents;
};

/** How many streams each of some builds has parked. */
export const countParked = (
  readModels: Pick<ReadModels, 'count'>,
  collections: readonly CollectionName[],
): Promise<number[]> =>
  Promise.all(collections.map((collection) => readModels.count(PARKED_COLLECTION, parkedOf([collection]))));

/** Holds for what is parked in some builds. */
export const parkedOf = (collections: readonly CollectionName[]): Filter => ({
  and: [
    { field: 'state', op: 'eq', value: 'parked' },
    { field: 'collection', op: 'in', value: collections },
  ],
});

const parkedIdOf = (collection: CollectionName, stream: string): string => `${collection}/${stream}`;

/** The streams that one build has parked, as its projection knows and stores them. */
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

  /** Reads what an earlier owner has parked. */
  async load(): Promise<void> {
    this.streams.clear();
    for (const parked of await parkedStreams(this.readModels, this.collection)) this.streams.set(parked.stream, parked);
  }

  get(stream: string): ParkedStream | undefined {
    return this.streams.get(stream);
  }

  /** Parks a stream from an event on; `before`: what was known of it, where a replay came only so far. */
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

  /** Counts later events of parked streams; those that were counted before are not counted again. */
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

  /** All events of a stream were taken in. */
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
