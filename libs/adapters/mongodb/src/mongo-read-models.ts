import { invalid } from '@rekey/domain';
import {
  type Accumulation,
  type Build,
  type Changes,
  type CollectionName,
  EngineUnavailable,
  type Filter,
  type Pointer,
  type Position,
  type Query,
  ReadModels,
  type Snapshot,
  type ViewDocument,
  type ViewIndex,
} from '@rekey/ports';
import {
  type AnyBulkWriteOperation,
  type BulkWriteResult,
  type Collection,
  type Db,
  type Filter as MongoFilter,
  MongoBulkWriteError,
} from 'mongodb';
import {
  accumulation,
  buildOf,
  documentOf,
  Found,
  keyOf,
  PREFIX,
  RECORD_ID,
  recordOf,
  type Stored,
  storedId,
  storedNameOf,
  storedOf,
} from './mongo-collection';
import { isDuplicate, isNotThere, type MongoDatabase } from './mongo-database';
import { checkedField, type Condition, conditionOf, type KeyOf, pageOf, searchable } from './mongo-query';
import { ReadsTogether } from './reads-together';
import { Waiting } from './waiting';

interface StoredPointer extends Omit<Pointer, 'view'> {
  readonly _id: string;
}

/** How sure a read is: see `checkReadConcern`. */
export type ReadConcern = 'local' | 'majority' | 'linearizable';

export interface MongoReadModelsOptions {
  /**
   * For reads by id, those of the check. `local` and `majority` may, for the seconds of an election, be answered by a
   * primary that has been replaced and does not know it yet; `linearizable` may not, for a round trip to a majority.
   * Default `local`.
   */
  readonly checkReadConcern?: ReadConcern;
}

/** The order of the ids' index, in which the record comes first. */
const BY_ID = { sort: { _id: 1 }, hint: { _id: 1 } } as const;
/** What a majority has: what is answered with it, a failover does not take back. */
const SETTLED = { readConcern: { level: 'majority' } } as const;
const RECORD = { _id: RECORD_ID };
/** Documents in the answer to one question; more are asked for by further ones. */
const BATCH_MAX = 5_000;
/** More documents are stored sooner by themselves, where inserts need not be upserts, in no order. */
const TOGETHER_MAX = 100;

const pointersIn = (database: Db): Collection<StoredPointer> => database.collection('view-pointers');

/** Read models on MongoDB. Nothing is kept in this process but the declared fields of collections. */
export class MongoReadModels extends ReadModels {
  private closed = false;
  private readonly fields = new Map<CollectionName, readonly string[]>();
  private readonly readConcern: { readonly level: ReadConcern };
  private readonly reads = new ReadsTogether((collection, ids) => this.findById(collection, ids));
  private readonly waiting = new Waiting((collection) => this.checkpoint(collection));

  /** The database stays the caller's to close. */
  constructor(
    private readonly database: MongoDatabase,
    { checkReadConcern = 'local' }: MongoReadModelsOptions = {},
  ) {
    super();
    this.readConcern = { level: checkReadConcern };
  }

  // ── Documents ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads of one turn of the event loop are one question; documents may be shared by those who asked. */
  async read<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Promise<Snapshot<D>> {
    const asked = ids.map(searchable);
    storedNameOf(collection);
    const found = await this.reads.read(collection, asked);
    if (found.checkpoint === null) return { documents: ids.map(() => null), checkpoint: null };
    return { documents: asked.map((id) => found.document(id) as D | null), checkpoint: found.checkpoint };
  }

  /**
   * One question, read in the order of the ids, so the checkpoint first: each document is at least as new as it. Two
   * documents may be of different moments.
   */
  private async findById(collection: CollectionName, ids: readonly string[]): Promise<Found> {
    const found = await this.on(collection, (stored) =>
      stored
        .find(
          { _id: { $in: [RECORD_ID, ...ids] } },
          { ...BY_ID, readConcern: this.readConcern, batchSize: ids.length + 2, maxTimeMS: this.database.timeoutMs },
        )
        .toArray(),
    );
    return new Found(found);
  }

  async find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]> {
    const { condition, sort } = pageOf(query, await this.keysOf(collection));
    const found = await this.on(collection, async (stored) => {
      if (query.limit === 0) return [];
      const batchSize = Math.min(query.limit, BATCH_MAX);
      const options = { sort, limit: query.limit, batchSize, maxTimeMS: this.database.timeoutMs };
      return stored.find(documentsThat(condition), options).toArray();
    });
    await this.mustBeThere(collection);
    return found.map((each) => documentOf<D>(each));
  }

  async count(collection: CollectionName, filter: Filter = { and: [] }): Promise<number> {
    const condition = conditionOf(filter, await this.keysOf(collection));
    const count = await this.on(collection, (stored) =>
      stored.countDocuments(documentsThat(condition), { maxTimeMS: this.database.timeoutMs }),
    );
    await this.mustBeThere(collection);
    return count;
  }

  /**
   * Reads the positions of what is stored, then inserts what is missing and replaces what still is at the position that
   * was read; begins anew with what somebody else got at in between. So a replay writes nothing, and a late writer loses.
   */
  async put(collection: CollectionName, documents: readonly ViewDocument[]): Promise<void> {
    let left = newestOf(documents);
    if (left.length === 0) return;
    await this.on(collection, async (stored, late) => {
      const projection = { position: 1, build: 1, fields: 1 };
      while (left.length > 0 && !late.aborted) {
        const ids = left.map(({ _id }) => storedId(_id));
        const known = await stored.find({ _id: { $in: [RECORD_ID, ...ids] } }, { ...BY_ID, projection }).toArray();
        const byId = new Map(known.map((each) => [each._id, each]));
        const record = byId.get(RECORD_ID);
        if (!record?.build) return;
        left = left.filter(({ _id, position }) => position > (byId.get(storedId(_id))?.position ?? ''));
        if (left.length === 0) return;
        const operations = left.map((document): AnyBulkWriteOperation<Stored> => {
          const next = storedOf(document, record.fields ?? []);
          const position = byId.get(next._id)?.position;
          return position === undefined
            ? { insertOne: { document: next } }
            : { replaceOne: { filter: { _id: next._id, position }, replacement: next } };
        });
        const result = await unlessTaken(stored.bulkWrite(operations, { ordered: false }));
        if (result === TAKEN || result.insertedCount > 0) await dropIfOrphan(stored);
        if (result !== TAKEN && result.insertedCount + result.matchedCount === operations.length) return;
      }
    });
  }

  async accumulate(collection: CollectionName, changes: readonly Accumulation[]): Promise<void> {
    if (changes.length === 0) return;
    await this.on(collection, async (stored, late) => {
      const record = await stored.findOne(RECORD);
      if (!record?.build) throw this.gone(collection);
      const operations = changes.map((change) => accumulation(change, record.fields ?? []));
      for (let done = 0; done < operations.length && !late.aborted;)
        try {
          await stored.bulkWrite(operations.slice(done), { ordered: true });
          done = operations.length;
        } catch (error) {
          // Of two who make one document, one meets the other's: it is there the next time.
          const failed =
            error instanceof MongoBulkWriteError && isDuplicate(error) ? [error.writeErrors].flat()[0] : null;
          if (!failed) throw error;
          done += failed.index;
        }
      if (await dropIfOrphan(stored)) throw this.gone(collection);
    });
  }

  // ── Builds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async createBuild(build: Build, indexes: readonly ViewIndex[]): Promise<void> {
    const fields = [...new Set(indexes.flatMap((index) => index.fields))].filter((field) => field !== '_id');
    const keys = indexes.flatMap(({ name, fields: parts }) => {
      const own = parts.filter((field) => field !== '_id').map((field) => [keyOf(field), 1] as const);
      // With the id at its end, an index also brings equal values in the order of the ids. By the id alone there is one.
      const key = Object.fromEntries([...own, ['_id', 1] as const]);
      return own.length === 0 ? [] : [{ name: `by-${checkedField(name)}`, key }];
    });
    await this.on(build.collection, async (stored) => {
      // What is left of a collection whose record somebody has removed is no build.
      const [first] = await stored.find({}, { ...BY_ID, limit: 1, projection: { _id: 1 } }).toArray();
      if (first && first._id !== RECORD_ID) await dropped(stored);
      const { _id, ...record } = recordOf(build, fields);
      try {
        await stored.updateOne({ _id }, { $setOnInsert: record }, { upsert: true });
      } catch (error) {
        // Somebody else made it.
        if (!isDuplicate(error)) throw error;
      }
      // Servers that cannot use the ids' index for a condition on the position as well use this one for guarded writes.
      const guard = { name: 'guard', key: { _id: 1, position: 1 }, unique: true } as const;
      await stored.createIndexes([guard, ...keys]);
    });
    this.fields.delete(build.collection);
  }

  async builds(view?: string): Promise<Build[]> {
    const records = await this.run(async (database) => {
      const collections = await database.listCollections({}, { nameOnly: true }).toArray();
      const names = collections.map(({ name }) => name).filter((name) => name.startsWith(PREFIX));
      return Promise.all(
        names.map(async (name) => {
          const record = await database.collection<Stored>(name).findOne(RECORD);
          return buildOf(name.slice(PREFIX.length), record);
        }),
      );
    });
    return records
      .filter((build): build is Build => build !== null && (view === undefined || build.view === view))
      .sort((a, b) => (a.collection < b.collection ? -1 : 1));
  }

  async dropBuild(collection: CollectionName): Promise<void> {
    await this.on(collection, dropped);
    this.fields.delete(collection);
  }

  async claim(collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Promise<Build | null> {
    const filter = { ...RECORD, 'build.owner': seen.owner, 'build.beat': seen.beat };
    const update = { $set: { 'build.owner': owner }, $inc: { 'build.beat': 1 } };
    const record = await this.on(collection, (stored) =>
      stored.findOneAndUpdate(filter, update, { returnDocument: 'after' }),
    );
    return buildOf(collection, record);
  }

  /** Few documents are stored by the very command that moves the checkpoint, so that it is one write to wait for. */
  async advance(
    collection: CollectionName,
    owner: string,
    from: Position,
    to: Position,
    { documents, before }: Changes = NO_CHANGES,
  ): Promise<boolean> {
    const filter = { ...RECORD, position: from, 'build.owner': owner };
    const update = { $set: { position: to }, $inc: { 'build.beat': 1 } };
    if (documents.length > 0 && documents.length <= TOGETHER_MAX) {
      const fields = await this.fieldsOf(collection);
      if (!fields) return false;
      const writes = newestOf(documents)
        .map((document) => guardedWrite(storedOf(document, fields), before.get(document._id)?.position))
        .filter((write) => write !== null);
      const moved = await this.on(collection, async (stored) => {
        const operations = [...writes, { updateOne: { filter, update } }];
        const result = await unlessTaken(stored.bulkWrite(operations, { ordered: true }));
        if (result === TAKEN) return TAKEN;
        const done = result.matchedCount + result.upsertedCount === operations.length;
        if (!done && result.upsertedCount > 0) await dropIfOrphan(stored);
        return done;
      });
      if (moved !== TAKEN) return moved;
    }
    await this.put(collection, documents);
    const { matchedCount } = await this.on(collection, (stored) => stored.updateOne(filter, update));
    return matchedCount === 1;
  }

  // ── Pointers ───────────────────────────────────────────────────────────────────────────────────────────────────

  async pointer(view: string): Promise<Pointer | null> {
    const stored = await this.run((database) => pointersIn(database).findOne({ _id: view }));
    if (!stored) return null;
    const { _id, ...pointer } = stored;
    return { view: _id, ...pointer };
  }

  async switchPointer({ view, ...next }: Pointer): Promise<boolean> {
    return this.run(async (database) => {
      const pointers = pointersIn(database);
      if (next.revision !== 1) {
        const { matchedCount } = await pointers.replaceOne({ _id: view, revision: next.revision - 1 }, next);
        return matchedCount === 1;
      }
      try {
        await pointers.insertOne({ _id: view, ...next });
        return true;
      } catch (error) {
        if (isDuplicate(error)) return false;
        throw error;
      }
    });
  }

  // ── Waiting ────────────────────────────────────────────────────────────────────────────────────────────────────

  async reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    return this.waiting.reached(collection, position, timeoutMs);
  }

  /** Answers who still waits that the store is away. */
  async close(): Promise<void> {
    this.closed = true;
    this.waiting.close();
  }

  // ── Inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** As a majority has it: who was told that a place is reached may rely on it after a failover too. */
  private async checkpoint(collection: CollectionName): Promise<Position | null> {
    const record = await this.on(collection, (stored) => stored.findOne(RECORD, SETTLED));
    return record?.build ? record.position : null;
  }

  private async mustBeThere(collection: CollectionName): Promise<void> {
    await this.on(collection, async (stored) => {
      if (!(await stored.findOne(RECORD))?.build) throw this.gone(collection);
    });
  }

  /** Checks fields against the declared ones. */
  private async keysOf(collection: CollectionName): Promise<KeyOf> {
    const fields = await this.fieldsOf(collection);
    if (!fields) throw this.gone(collection);
    return (field) => {
      if (field !== '_id' && !fields.includes(field))
        throw invalid(field, 'Nothing can be searched or sorted by this field.');
      return keyOf(field);
    };
  }

  /** The declared fields, which a collection has from its making to its end; undefined where there is none. */
  private async fieldsOf(collection: CollectionName): Promise<readonly string[] | undefined> {
    const known = this.fields.get(collection);
    if (known) return known;
    const fields = (await this.on(collection, (stored) => stored.findOne(RECORD)))?.fields;
    if (fields) this.fields.set(collection, fields);
    return fields;
  }

  private gone(collection: CollectionName): EngineUnavailable {
    this.fields.delete(collection);
    return new EngineUnavailable('view collection');
  }

  private async on<T>(
    collection: CollectionName,
    work: (stored: Collection<Stored>, late: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const name = storedNameOf(collection);
    return this.run((database, late) => work(database.collection<Stored>(name), late));
  }

  private async run<T>(work: (database: Db, late: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) throw new EngineUnavailable('view store');
    return this.database.run(work);
  }
}

/** The documents of a collection, its record left out. */
const documentsThat = (condition: Condition): MongoFilter<Stored> => ({
  $and: [{ _id: { $gt: RECORD_ID } }, condition],
});

const newestOf = (documents: readonly ViewDocument[]): ViewDocument[] => {
  const newest = new Map<string, ViewDocument>();
  for (const document of documents) {
    const known = newest.get(document._id);
    if (!known || known.position < document.position) newest.set(document._id, document);
  }
  return [...newest.values()];
};

const NO_CHANGES: Changes = { documents: [], before: new Map() };

/**
 * Replaces what was read before, or makes what was not there. Where anything else is stored under the id by now, the
 * upsert meets it as a duplicate: in a bulk that is ordered, nothing behind it is done. Null: what was read is as new.
 */
const guardedWrite = (next: Stored, before = ''): AnyBulkWriteOperation<Stored> | null => {
  if (before >= next.position) return null;
  const filter = { _id: next._id, position: before === '' ? NO_POSITION : before };
  return { replaceOne: { filter, replacement: next, upsert: true } };
};
/** Of no document. */
const NO_POSITION = 'none';

const TAKEN = Symbol('taken');

/** `TAKEN` where all that went wrong is that others had made some of the documents. */
const unlessTaken = async (write: Promise<BulkWriteResult>): Promise<BulkWriteResult | typeof TAKEN> => {
  try {
    return await write;
  } catch (error) {
    if (!(error instanceof MongoBulkWriteError) || error.result.getWriteConcernError()) throw error;
    const errors = [error.writeErrors].flat();
    if (errors.length === 0 || !errors.every(isDuplicateWrite)) throw error;
    return TAKEN;
  }
};

const isDuplicateWrite = ({ code }: { readonly code: number }): boolean => code === 11_000;

/**
 * An insert makes a collection that is not there. Where somebody dropped it between our look and our write, what the
 * write made is removed again: it has no record.
 */
const dropIfOrphan = async (stored: Collection<Stored>): Promise<boolean> => {
  const orphan = !(await stored.findOne(RECORD, { projection: { _id: 1 } }));
  if (orphan) await dropped(stored);
  return orphan;
};

const dropped = async (stored: Collection<Stored>): Promise<void> => {
  try {
    await stored.drop();
  } catch (error) {
    if (!isNotThere(error)) throw error;
  }
};
