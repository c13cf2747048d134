import {
  type Accumulation,
  type Build,
  type Changes,
  type CollectionName,
  type Filter,
  type Pointer,
  type Position,
  type Query,
  ReadModels,
  type Snapshot,
  type ViewDocument,
  type ViewIndex,
} from '@rekey/ports';
import type { Filter as MongoFilter } from 'mongodb';
import { CheckpointPolling } from './checkpoint-polling';
import { accumulateDocuments, drop, putAndAdvance, putDocuments } from './document-writes';
import { BY_ID, documentOf, Found, RECORD, RECORD_ID, type Stored, storedNameOf } from './mongo-collection';
import { MAJORITY_READ, type MongoDatabase } from './mongo-database';
import { type Condition, conditionOf, pageQuery, searchable } from './mongo-query';
import { ReadBatcher } from './read-batcher';
import { claimBuild, createBuild, readBuilds } from './view-builds';
import { ViewCollections } from './view-collections';
import { readPointer, switchPointer } from './view-pointers';

/** See `checkReadConcern`. */
export type ReadConcern = 'local' | 'majority' | 'linearizable';

export interface MongoReadModelsOptions {
  /**
   * Read concern of reads by id, which the check uses. With `local` and `majority`, during the seconds of an election, a
   * primary that has been replaced and does not know it yet may answer. `linearizable` prevents that and costs a round
   * trip to a majority. Default `local`.
   */
  readonly checkReadConcern?: ReadConcern;
}

/** Maximum number of documents per reply of the server; a longer result takes several round trips. */
const BATCH_MAX = 5_000;

const NO_CHANGES: Changes = { documents: [], before: new Map() };

/** Read models on MongoDB. This process caches nothing but the declared fields of collections. */
export class MongoReadModels extends ReadModels {
  private readonly collections: ViewCollections;
  private readonly readConcern: { readonly level: ReadConcern };
  private readonly reads = new ReadBatcher((collection, ids) => this.findById(collection, ids));
  private readonly polling = new CheckpointPolling((collection) => this.checkpoint(collection));

  /** The caller closes the database, after the read models. */
  constructor(database: MongoDatabase, { checkReadConcern = 'local' }: MongoReadModelsOptions = {}) {
    super();
    this.collections = new ViewCollections(database);
    this.readConcern = { level: checkReadConcern };
  }

  // ── Documents ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads of the same turn of the event loop share one query, and may share the returned documents. */
  async read<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Promise<Snapshot<D>> {
    const wanted = ids.map(searchable);
    storedNameOf(collection);
    const found = await this.reads.read(collection, wanted);
    if (found.checkpoint === null) return { documents: ids.map(() => null), checkpoint: null };
    return { documents: wanted.map((id) => found.document(id) as D | null), checkpoint: found.checkpoint };
  }

  /**
   * One query in the order of the ids. The build record comes first, so every document is at least as new as the returned
   * checkpoint. Two documents may be from different moments.
   */
  private async findById(collection: CollectionName, ids: readonly string[]): Promise<Found> {
    const options = { ...BY_ID, readConcern: this.readConcern, maxTimeMS: this.collections.timeoutMs };
    const found = await this.collections.on(collection, (stored) =>
      stored.find({ _id: { $in: [RECORD_ID, ...ids] } }, { ...options, batchSize: ids.length + 2 }).toArray(),
    );
    return new Found(found);
  }

  async find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]> {
    const { condition, sort } = pageQuery(query, await this.collections.keysOf(collection));
    const found = await this.collections.on(collection, async (stored) => {
      if (query.limit === 0) return [];
      const batchSize = Math.min(query.limit, BATCH_MAX);
      const options = { sort, limit: query.limit, batchSize, maxTimeMS: this.collections.timeoutMs };
      return stored.find(documentsThat(condition), options).toArray();
    });
    await this.collections.mustExist(collection);
    return found.map((each) => documentOf<D>(each));
  }

  async count(collection: CollectionName, filter: Filter = { and: [] }): Promise<number> {
    const condition = conditionOf(filter, await this.collections.keysOf(collection));
    const count = await this.collections.on(collection, (stored) =>
      stored.countDocuments(documentsThat(condition), { maxTimeMS: this.collections.timeoutMs }),
    );
    await this.collections.mustExist(collection);
    return count;
  }

  put(collection: CollectionName, documents: readonly ViewDocument[]): Promise<void> {
    return putDocuments(this.collections, collection, documents);
  }

  accumulate(collection: CollectionName, changes: readonly Accumulation[]): Promise<void> {
    return accumulateDocuments(this.collections, collection, changes);
  }

  // ── Builds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  createBuild(build: Build, indexes: readonly ViewIndex[]): Promise<void> {
    return createBuild(this.collections, build, indexes);
  }

  builds(view?: string): Promise<Build[]> {
    return readBuilds(this.collections, view);
  }

  async dropBuild(collection: CollectionName): Promise<void> {
    await this.collections.on(collection, drop);
    this.collections.forget(collection);
  }

  claim(collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Promise<Build | null> {
    return claimBuild(this.collections, collection, owner, seen);
  }

  advance(
    collection: CollectionName,
    owner: string,
    from: Position,
    to: Position,
    changes: Changes = NO_CHANGES,
  ): Promise<boolean> {
    const filter = { ...RECORD, position: from, 'build.owner': owner };
    const update = { $set: { position: to }, $inc: { 'build.beat': 1 } };
    return putAndAdvance(this.collections, collection, changes, { filter, update });
  }

  // ── Pointers ───────────────────────────────────────────────────────────────────────────────────────────────────

  pointer(view: string): Promise<Pointer | null> {
    return readPointer(this.collections, view);
  }

  switchPointer(pointer: Pointer): Promise<boolean> {
    return switchPointer(this.collections, pointer);
  }

  // ── Waiting ────────────────────────────────────────────────────────────────────────────────────────────────────

  reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    return this.polling.reached(collection, position, timeoutMs);
  }

  /** Rejects waiting calls with `EngineUnavailable`. */
  async close(): Promise<void> {
    this.collections.close();
    this.polling.close();
  }

  /** Read with majority read concern: a position reported as reached stays reached after a failover. */
  private async checkpoint(collection: CollectionName): Promise<Position | null> {
    const record = await this.collections.on(collection, (stored) => stored.findOne(RECORD, MAJORITY_READ));
    return record?.build ? record.position : null;
  }
}

/** Restricts a condition to documents, leaving out the build record. */
const documentsThat = (condition: Condition): MongoFilter<Stored> => ({
  $and: [{ _id: { $gt: RECORD_ID } }, condition],
});
