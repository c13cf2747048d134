import { invalid } from '@rekey/domain';
import { type CollectionName, EngineUnavailable } from '@rekey/ports';
import type { Collection, Db } from 'mongodb';
import { keyOf, RECORD, type Stored, storedNameOf } from './mongo-collection';
import type { MongoDatabase } from './mongo-database';
import type { KeyOf } from './mongo-query';

/** Access to the collections of views. Caches nothing but their declared fields. */
export class ViewCollections {
  private closed = false;
  private readonly fields = new Map<CollectionName, readonly string[]>();

  constructor(private readonly database: MongoDatabase) {}

  get timeoutMs(): number {
    return this.database.timeoutMs;
  }

  /** Runs `work` within the time limit. Throws `EngineUnavailable`; see `MongoDatabase.run`. */
  async run<T>(work: (database: Db, late: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) throw viewsClosed();
    return this.database.run(work);
  }

  /** The same on one collection. Throws `invalid_request` if the name is not that of a collection. */
  async on<T>(
    collection: CollectionName,
    work: (stored: Collection<Stored>, late: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const name = storedNameOf(collection);
    return this.run((database, late) => work(database.collection<Stored>(name), late));
  }

  /** Returns the declared fields, which a collection never changes; undefined if the collection is gone. */
  async fieldsOf(collection: CollectionName): Promise<readonly string[] | undefined> {
    const known = this.fields.get(collection);
    if (known) return known;
    const fields = (await this.on(collection, (stored) => stored.findOne(RECORD)))?.fields;
    if (fields) this.fields.set(collection, fields);
    return fields;
  }

  /** Returns the function that maps fields to keys; it throws `invalid_request` for a field that is not indexed. */
  async keysOf(collection: CollectionName): Promise<KeyOf> {
    const fields = await this.fieldsOf(collection);
    if (!fields) throw this.gone(collection);
    return (field) => {
      if (field !== '_id' && !fields.includes(field))
        throw invalid(field, 'This field cannot be searched or sorted by: it is in no index of the view.');
      return keyOf(field);
    };
  }

  /** Throws `EngineUnavailable` if the collection is gone. */
  async mustExist(collection: CollectionName): Promise<void> {
    await this.on(collection, async (stored) => {
      if (!(await stored.findOne(RECORD))?.build) throw this.gone(collection);
    });
  }

  /** Forgets the fields of a collection that was created or dropped. */
  forget(collection: CollectionName): void {
    this.fields.delete(collection);
  }

  gone(collection: CollectionName): EngineUnavailable {
    this.forget(collection);
    return new EngineUnavailable(`view collection ${collection}`);
  }

  /** Later calls throw `EngineUnavailable`. */
  close(): void {
    this.closed = true;
  }
}

export const viewsClosed = (): EngineUnavailable =>
  new EngineUnavailable('view store (MongoDB)', {
    cause: new Error('The view store is closed; Rekey is shutting down.'),
  });
