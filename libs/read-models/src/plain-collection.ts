import { START, type CollectionName, type ReadModels, type ViewIndex } from '@rekey/ports';

/** Creates a collection that does not belong to a view, so it has one build and no pointer, if it is missing. */
export const createPlainCollection = (
  readModels: Pick<ReadModels, 'createBuild'>,
  collection: CollectionName,
  name: string,
  indexes: readonly ViewIndex[],
): Promise<void> =>
  readModels.createBuild(
    { collection, view: name, version: 1, storeIdentity: '', target: START, checkpoint: START, owner: '', beat: 0 },
    indexes,
  );
