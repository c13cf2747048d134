import type { Build, CollectionName, ViewIndex } from '@rekey/ports';
import { drop } from './document-writes';
import { buildOf, BY_ID, keyOf, PREFIX, RECORD, recordOf, type Stored } from './mongo-collection';
import { isDuplicate } from './mongo-database';
import { checkedField } from './mongo-query';
import type { ViewCollections } from './view-collections';

/** See `ReadModels.createBuild`. */
export const createBuild = async (
  collections: ViewCollections,
  build: Build,
  indexes: readonly ViewIndex[],
): Promise<void> => {
  const fields = [...new Set(indexes.flatMap((index) => index.fields))].filter((field) => field !== '_id');
  const keys = indexes.flatMap(({ name, fields: parts }) => {
    const own = parts.filter((field) => field !== '_id').map((field) => [keyOf(field), 1] as const);
    // Ending in the id, an index also returns equal values in the order of their ids. An index of the id alone exists.
    const key = Object.fromEntries([...own, ['_id', 1] as const]);
    return own.length === 0 ? [] : [{ name: `by-${checkedField(name)}`, key }];
  });
  await collections.on(build.collection, async (stored) => {
    // Documents without a build record are left over from a collection whose record was deleted.
    const [first] = await stored.find({}, { ...BY_ID, limit: 1, projection: { _id: 1 } }).toArray();
    if (first && first._id !== RECORD._id) await drop(stored);
    const { _id, ...record } = recordOf(build, fields);
    try {
      await stored.updateOne({ _id }, { $setOnInsert: record }, { upsert: true });
    } catch (error) {
      // Another process has just created it.
      if (!isDuplicate(error)) throw error;
    }
    // Serves guarded writes on servers that cannot use the id index for a condition that also names the position.
    const guard = { name: 'guard', key: { _id: 1, position: 1 }, unique: true } as const;
    await stored.createIndexes([guard, ...keys]);
  });
  collections.forget(build.collection);
};

/** See `ReadModels.builds`. */
export const readBuilds = async (collections: ViewCollections, view?: string): Promise<Build[]> => {
  const builds = await collections.run(async (database) => {
    const listed = await database.listCollections({}, { nameOnly: true }).toArray();
    const names = listed.map(({ name }) => name).filter((name) => name.startsWith(PREFIX));
    return Promise.all(
      names.map(async (name) => {
        const record = await database.collection<Stored>(name).findOne(RECORD);
        return buildOf(name.slice(PREFIX.length), record);
      }),
    );
  });
  return builds
    .filter((build): build is Build => build !== null && (view === undefined || build.view === view))
    .sort((a, b) => (a.collection < b.collection ? -1 : 1));
};

/** See `ReadModels.claim`. */
export const claimBuild = async (
  collections: ViewCollections,
  collection: CollectionName,
  owner: string,
  seen: Pick<Build, 'owner' | 'beat'>,
): Promise<Build | null> => {
  const filter = { ...RECORD, 'build.owner': seen.owner, 'build.beat': seen.beat };
  const update = { $set: { 'build.owner': owner }, $inc: { 'build.beat': 1 } };
  const record = await collections.on(collection, (stored) =>
    stored.findOneAndUpdate(filter, update, { returnDocument: 'after' }),
  );
  return buildOf(collection, record);
};
