import type { Position } from './event-store';

/** A document of a view. `position` is that of the last event applied to it, and guards every write. */
export interface ViewDocument {
  readonly _id: string;
  readonly position: Position;
}

/** A declared index: fields in order, with dots for nested ones. Queries may filter and sort by declared fields only. */
export interface ViewIndex {
  readonly name: string;
  readonly fields: readonly string[];
}

type Scalar = string | number | boolean | null;

/**
 * A condition on a document. `contains` ignores case. A missing field equals `null`. `lt`, `lte`, `gt` and `gte` never
 * match a missing value or `null`. Text is compared by code point. An empty `and` matches everything, an empty `or`
 * nothing.
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
   * Field to sort by; default `_id`, which also breaks ties in the same direction. Missing values come first in ascending
   * order, last in descending order.
   */
  readonly sort?: { readonly field: string; readonly descending?: boolean };
  /** Sort value and id of the last document of the previous page. */
  readonly after?: { readonly value: Scalar; readonly id: string };
  readonly limit: number;
}

/** Name of a build's collection: `<view>.v<version>.<buildId>`. */
export type CollectionName = string;

/** Lease, heartbeat and checkpoint of a build: one document, changed by single atomic operations. */
export interface Build {
  readonly collection: CollectionName;
  readonly view: string;
  readonly version: number;
  /** Identity of the event store that it is built from. */
  readonly storeIdentity: string;
  /** Head of the event store when the build started. The build is ready once its checkpoint reaches it. */
  readonly target: Position;
  /** All events up to and including this position are applied. */
  readonly checkpoint: Position;
  /** The process that holds the lease; empty if none does. */
  readonly owner: string;
  /** Counts the owner's heartbeats. */
  readonly beat: number;
}

/** Names the active build of a view. */
export interface Pointer {
  readonly view: string;
  readonly version: number;
  readonly collection: CollectionName;
  /** The previously active build, kept for a while after a switch. */
  readonly previous?: CollectionName;
  /** Counts the switches, and guards the next one. */
  readonly revision: number;
}

/** Documents to store together with a checkpoint. */
export interface Changes {
  readonly documents: readonly ViewDocument[];
  /** The stored documents when they were read, null for none. Only a hint: storing is slower if they changed since. */
  readonly before: ReadonlyMap<string, ViewDocument | null>;
}

/** Result of a read by ids, from one snapshot. */
export interface Snapshot<D extends ViewDocument> {
  /** In the order of the ids; null for an id without a document. */
  readonly documents: readonly (D | null)[];
  /** The build's checkpoint in the same snapshot; null if the build is gone. */
  readonly checkpoint: Position | null;
}

/**
 * Stores the documents of views in collections, one per build, and a pointer per view to its active build. Needs only
 * CRUD, bulk writes, declared indexes and find-and-modify of its engine. Every method throws `EngineUnavailable`.
 */
export abstract class ReadModels {
  /**
   * Returns documents by id, and the build's checkpoint in the same snapshot; null if the collection is gone. The same
   * documents may be returned to other readers: do not change them.
   */
  abstract read<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Promise<Snapshot<D>>;

  /**
   * Returns matching documents, sorted. Throws `invalid_request` if a field is not in a declared index, and
   * `EngineUnavailable` if the collection is gone.
   */
  abstract find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]>;

  /** Returns how many documents match. Throws as `find` does. */
  abstract count(collection: CollectionName, filter?: Filter): Promise<number>;

  /**
   * Writes each document unless one with the same or a greater `position` is stored under its id. Needs no lease, because
   * this guard makes late writes harmless. Does nothing if the collection is gone: `advance` reports that.
   */
  abstract put(collection: CollectionName, documents: readonly ViewDocument[]): Promise<void>;

  /**
   * Adds amounts to number fields of documents and sets other fields. Creates missing documents. For facts that are not
   * derived from events (usage), so without a guard. Throws `EngineUnavailable` if the collection is gone.
   */
  abstract accumulate(collection: CollectionName, changes: readonly Accumulation[]): Promise<void>;

  /** Creates an empty collection with its indexes and its build record, unless it exists. */
  abstract createBuild(build: Build, indexes: readonly ViewIndex[]): Promise<void>;

  /** Returns the build records of one view or all. */
  abstract builds(view?: string): Promise<Build[]>;

  /** Removes a collection and its build record. */
  abstract dropBuild(collection: CollectionName): Promise<void>;

  /**
   * Makes `owner` the owner of a build whose owner and beat are still as `seen`. Returns the build, or null if not.
   */
  abstract claim(collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Promise<Build | null>;

  /**
   * Stores documents under the guard of `put`, then moves the checkpoint (or keeps it, as a heartbeat) and counts a beat.
   * Returns false, and leaves the checkpoint unchanged, if another process owns the build, the checkpoint is not `from`,
   * or the build is gone. Throws, and leaves the checkpoint unchanged, if a document cannot be stored.
   */
  abstract advance(
    collection: CollectionName,
    owner: string,
    from: Position,
    to: Position,
    changes?: Changes,
  ): Promise<boolean>;

  abstract pointer(view: string): Promise<Pointer | null>;

  /** Stores a pointer if the stored one has revision `next.revision - 1`, or there is none and it is 1. Returns whether it did. */
  abstract switchPointer(next: Pointer): Promise<boolean>;

  /**
   * Waits until the build's checkpoint is at or past a position of the feed. Returns false on timeout, or if the build is
   * gone.
   */
  abstract reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean>;

  abstract close(): Promise<void>;
}

/** A change to a document that is not derived from events. */
export interface Accumulation {
  readonly _id: string;
  readonly add: Readonly<Record<string, number>>;
  readonly set: Readonly<Record<string, Scalar>>;
}
