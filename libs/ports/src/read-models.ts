import type { Position } from './event-store';

/** A document of a view. `position` is the place of the last event that changed it: the guard of every write. */
export interface ViewDocument {
  readonly _id: string;
  readonly position: Position;
}

/** A declared index: fields (dots reach into objects) in order. Only declared fields may be searched or sorted by. */
export interface ViewIndex {
  readonly name: string;
  readonly fields: readonly string[];
}

type Scalar = string | number | boolean | null;

/**
 * A condition on a document; `contains` is a part of a text, blind to case. A missing field equals `null`; `lt`, `lte`,
 * `gt` and `gte` hold for no missing value and against no `null`. Texts compare by code point. No conditions: `and` holds,
 * `or` does not.
 */
export type Filter =
  | { readonly field: string; readonly op: 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte'; readonly value: Scalar }
  | { readonly field: string; readonly op: 'in'; readonly value: readonly Scalar[] }
  | { readonly field: string; readonly op: 'contains'; readonly value: string }
  | { readonly and: readonly Filter[] }
  | { readonly or: readonly Filter[] };

export interface Query {
  readonly filter?: Filter;
  /**
   * Field to sort by, `_id` breaking ties in the same direction; default `_id`. Missing values come first ascending, last
   * descending.
   */
  readonly sort?: { readonly field: string; readonly descending?: boolean };
  /** Sort value and id of the last document of the page before. */
  readonly after?: { readonly value: Scalar; readonly id: string };
  readonly limit: number;
}

/** Names a collection that a view is built in: `<view>.v<version>.<buildId>`. */
export type CollectionName = string;

/** Lease, heartbeat and checkpoint of a build: one document, changed by one atomic operation each. */
export interface Build {
  readonly collection: CollectionName;
  readonly view: string;
  readonly version: number;
  /** Identity of the store that it is made from. */
  readonly storeIdentity: string;
  /** The store's head when the build began: it is ready once its checkpoint is there. */
  readonly target: Position;
  /** All events up to here, it included, are in the documents. */
  readonly checkpoint: Position;
  /** Who projects into it; empty: nobody. */
  readonly owner: string;
  /** Counts every sign of life of the owner. */
  readonly beat: number;
}

/** Which build answers for a view. */
export interface Pointer {
  readonly view: string;
  readonly version: number;
  readonly collection: CollectionName;
  /** The build that answered before, kept for a while after a switch. */
  readonly previous?: CollectionName;
  /** Counts the switches; the guard of the next one. */
  readonly revision: number;
}

/** Documents that are stored together with a checkpoint. */
export interface Changes {
  readonly documents: readonly ViewDocument[];
  /** What was stored under their ids when they were read, null: nothing. Where others have written since, storing takes longer. */
  readonly before: ReadonlyMap<string, ViewDocument | null>;
}

/** What a read by id saw, all at one moment. */
export interface Snapshot<D extends ViewDocument> {
  /** In the order of the ids; null where there is none. */
  readonly documents: readonly (D | null)[];
  /** The build's checkpoint when they were read; null where the build is gone. */
  readonly checkpoint: Position | null;
}

/**
 * Documents derived from events, kept in collections that a pointer chooses among. CRUD, bulk writes, declared
 * indexes and find-and-modify only. Every method throws `EngineUnavailable` where the store is away.
 */
export abstract class ReadModels {
  /**
   * Documents by id, and the checkpoint that they answer for. A collection that is gone gives `checkpoint: null`. Others
   * may be handed the same documents: nobody may change one.
   */
  abstract read<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Promise<Snapshot<D>>;

  /**
   * Documents that fit, sorted. Throws `invalid_request` where a field is in no declared index, and `EngineUnavailable`
   * where the collection is gone.
   */
  abstract find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]>;

  /** How many documents fit. Throws as `find` does. */
  abstract count(collection: CollectionName, filter?: Filter): Promise<number>;

  /**
   * Writes each document where none is stored under its id, or one with a smaller `position`; leaves the rest. Needs
   * no lease: the guard makes a late writer harmless. Does nothing where the collection is gone; `advance` says so.
   */
  abstract put(collection: CollectionName, documents: readonly ViewDocument[]): Promise<void>;

  /**
   * Adds amounts to number fields of a document and sets others, making it where it is missing. For facts that are not
   * derived from events (usage), so without a guard. Throws `EngineUnavailable` where the collection is gone.
   */
  abstract accumulate(collection: CollectionName, changes: readonly Accumulation[]): Promise<void>;

  /** Makes an empty collection with its indexes and its build record; does nothing where it is there. */
  abstract createBuild(build: Build, indexes: readonly ViewIndex[]): Promise<void>;

  /** Build records, of one view or all. */
  abstract builds(view?: string): Promise<Build[]>;

  /** Removes a collection and its build record. */
  abstract dropBuild(collection: CollectionName): Promise<void>;

  /**
   * Makes `owner` the owner of a build where its owner and beat are still as `seen`. Answers the build then, else null.
   */
  abstract claim(collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Promise<Build | null>;

  /**
   * Stores documents, each under the guard of `put`, and then moves the checkpoint from one place to another (or keeps
   * it: a heartbeat) and counts a beat. False where somebody else owns the build, the checkpoint is not `from`, or the
   * build is gone: then the checkpoint is as it was. Rejects, and leaves it as it was, where a document cannot be stored.
   */
  abstract advance(
    collection: CollectionName,
    owner: string,
    from: Position,
    to: Position,
    changes?: Changes,
  ): Promise<boolean>;

  abstract pointer(view: string): Promise<Pointer | null>;

  /** Stores a pointer where the stored one has `next.revision - 1` (or there is none and it is 1). */
  abstract switchPointer(next: Pointer): Promise<boolean>;

  /**
   * Resolves true as soon as the build's checkpoint is at or past a place, false when the time is out or the build is
   * gone. Only for positions of the feed.
   */
  abstract reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean>;

  abstract close(): Promise<void>;
}

/** A change of a document that is counted, not derived. */
export interface Accumulation {
  readonly _id: string;
  readonly add: Readonly<Record<string, number>>;
  readonly set: Readonly<Record<string, Scalar>>;
}
