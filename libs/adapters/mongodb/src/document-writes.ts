import type { Accumulation, Changes, CollectionName, ViewDocument } from '@rekey/ports';
import { type AnyBulkWriteOperation, type BulkWriteResult, type Collection, MongoBulkWriteError } from 'mongodb';
import { accumulation, BY_ID, RECORD, RECORD_ID, type Stored, storedId, storedOf } from './mongo-collection';
import { isDuplicate, isMissingCollection } from './mongo-database';
import type { ViewCollections } from './view-collections';

/** Above this number of documents, unordered inserts are faster than upserts in the order of one bulk. */
const ORDERED_MAX = 100;

/** What `advance` writes to the build record. */
export interface RecordUpdate {
  readonly filter: Record<string, unknown>;
  readonly update: Record<string, unknown>;
}

/**
 * Writes documents under the guard of their positions: reads the stored positions, then inserts what is missing and
 * replaces what is still at the position read. Repeats for documents that another writer changed in between. So a replay
 * writes nothing, and an older document never replaces a newer one.
 */
export const putDocuments = async (
  collections: ViewCollections,
  collection: CollectionName,
  documents: readonly ViewDocument[],
): Promise<void> => {
  let left = newestOf(documents);
  if (left.length === 0) return;
  await collections.on(collection, async (stored, late) => {
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
      const result = await orConflict(stored.bulkWrite(operations, { ordered: false }));
      if (result === CONFLICT || result.insertedCount > 0) await dropIfOrphan(stored);
      if (result !== CONFLICT && result.insertedCount + result.matchedCount === operations.length) return;
    }
  });
};

/**
 * Writes documents and moves the checkpoint. A few documents go into the same bulk as the checkpoint, which saves a round
 * trip. Returns whether the checkpoint was moved.
 */
export const putAndAdvance = async (
  collections: ViewCollections,
  collection: CollectionName,
  { documents, before }: Changes,
  { filter, update }: RecordUpdate,
): Promise<boolean> => {
  if (documents.length > 0 && documents.length <= ORDERED_MAX) {
    const fields = await collections.fieldsOf(collection);
    if (!fields) return false;
    const writes = newestOf(documents)
      .map((document) => guardedWrite(storedOf(document, fields), before.get(document._id)?.position))
      .filter((write) => write !== null);
    const moved = await collections.on(collection, async (stored) => {
      const operations = [...writes, { updateOne: { filter, update } }];
      const result = await orConflict(stored.bulkWrite(operations, { ordered: true }));
      if (result === CONFLICT) return CONFLICT;
      const done = result.matchedCount + result.upsertedCount === operations.length;
      if (!done && result.upsertedCount > 0) await dropIfOrphan(stored);
      return done;
    });
    if (moved !== CONFLICT) return moved;
  }
  await putDocuments(collections, collection, documents);
  const { matchedCount } = await collections.on(collection, (stored) => stored.updateOne(filter, update));
  return matchedCount === 1;
};

/** Changes documents without a guard. Throws `EngineUnavailable` if the collection is gone. */
export const accumulateDocuments = async (
  collections: ViewCollections,
  collection: CollectionName,
  changes: readonly Accumulation[],
): Promise<void> => {
  if (changes.length === 0) return;
  await collections.on(collection, async (stored, late) => {
    const record = await stored.findOne(RECORD);
    if (!record?.build) throw collections.gone(collection);
    const operations = changes.map((change) => accumulation(change, record.fields ?? []));
    for (let done = 0; done < operations.length && !late.aborted;)
      try {
        await stored.bulkWrite(operations.slice(done), { ordered: true });
        done = operations.length;
      } catch (error) {
        // Of two concurrent upserts of a new document one fails as a duplicate. Retried, it finds the document.
        const failed =
          error instanceof MongoBulkWriteError && isDuplicate(error) ? [error.writeErrors].flat()[0] : null;
        if (!failed) throw error;
        done += failed.index;
      }
    if (await dropIfOrphan(stored)) throw collections.gone(collection);
  });
};

/** Drops a collection; one that does not exist is no error. */
export const drop = async (stored: Collection<Stored>): Promise<void> => {
  try {
    await stored.drop();
  } catch (error) {
    if (!isMissingCollection(error)) throw error;
  }
};

/**
 * Drops a collection that has no build record: an insert creates a missing collection, so a write that raced with a drop
 * would leave one behind. Returns whether it did.
 */
const dropIfOrphan = async (stored: Collection<Stored>): Promise<boolean> => {
  const isOrphan = !(await stored.findOne(RECORD, { projection: { _id: 1 } }));
  if (isOrphan) await drop(stored);
  return isOrphan;
};

const newestOf = (documents: readonly ViewDocument[]): ViewDocument[] => {
  const newest = new Map<string, ViewDocument>();
  for (const document of documents) {
    const known = newest.get(document._id);
    if (!known || known.position < document.position) newest.set(document._id, document);
  }
  return [...newest.values()];
};

/** A position that no document has. */
const NO_POSITION = 'none';

/**
 * Returns the write that replaces the document read before, or creates it. If another version is stored meanwhile, the
 * upsert fails as a duplicate, and an ordered bulk stops there. Returns null if the document read is not older.
 */
const guardedWrite = (next: Stored, before = ''): AnyBulkWriteOperation<Stored> | null => {
  if (before >= next.position) return null;
  const filter = { _id: next._id, position: before === '' ? NO_POSITION : before };
  return { replaceOne: { filter, replacement: next, upsert: true } };
};

const CONFLICT = Symbol('conflict');

/** Returns `CONFLICT` if every failed write of the bulk met a document that another writer had created. */
const orConflict = async (write: Promise<BulkWriteResult>): Promise<BulkWriteResult | typeof CONFLICT> => {
  try {
    return await write;
  } catch (error) {
    if (!(error instanceof MongoBulkWriteError) || error.result.getWriteConcernError()) throw error;
    const errors = [error.writeErrors].flat();
    if (errors.length === 0 || !errors.every(isDuplicateWrite)) throw error;
    return CONFLICT;
  }
};

const isDuplicateWrite = ({ code }: { readonly code: number }): boolean => code === 11_000;
