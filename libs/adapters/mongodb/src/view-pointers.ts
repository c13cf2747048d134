import type { Pointer } from '@rekey/ports';
import type { Collection, Db } from 'mongodb';
import { isDuplicate } from './mongo-database';
import type { ViewCollections } from './view-collections';

interface StoredPointer extends Omit<Pointer, 'view'> {
  readonly _id: string;
}

const pointersIn = (database: Db): Collection<StoredPointer> => database.collection('view-pointers');

/** See `ReadModels.pointer`. */
export const readPointer = async (collections: ViewCollections, view: string): Promise<Pointer | null> => {
  const stored = await collections.run((database) => pointersIn(database).findOne({ _id: view }));
  if (!stored) return null;
  const { _id, ...pointer } = stored;
  return { view: _id, ...pointer };
};

/** See `ReadModels.switchPointer`. */
export const switchPointer = (collections: ViewCollections, { view, ...next }: Pointer): Promise<boolean> =>
  collections.run(async (database) => {
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
