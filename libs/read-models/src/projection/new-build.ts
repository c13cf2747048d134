import { RekeyError } from '@rekey/contracts';
import { START, type CollectionName, type EventStore, type ReadModels } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { collectionName, planBuilds, type Situation } from './build-plan';
import type { Log } from './leased-feed';
import type { View } from '../views/view';

/** Creates an empty build of a view. The first projector that sees it projects into it. Returns its name. */
export const makeBuild = async (
  readModels: Pick<ReadModels, 'createBuild'>,
  { name, version, indexes }: View,
  situation: Pick<Situation, 'builds' | 'pointer' | 'identity' | 'head'>,
  log: Log,
): Promise<CollectionName> => {
  const unique = randomUUID().replaceAll('-', '').slice(0, 12);
  const collection = collectionName(name, version, situation, unique);
  const { identity: storeIdentity, head: target } = situation;
  await readModels.createBuild(
    { collection, view: name, version, storeIdentity, target, checkpoint: START, owner: '', beat: 0 },
    indexes,
  );
  log.info({ view: name, collection, target }, 'a build was created');
  return collection;
};

/**
 * Creates a build of a view beside the active one, from any process, and returns its name. Returns the one in progress if
 * there is one. Throws `unavailable` if newer code keeps the view, as that would drop the build.
 */
export const beginRebuild = async (
  store: Pick<EventStore, 'identity' | 'head'>,
  readModels: Pick<ReadModels, 'createBuild' | 'builds' | 'pointer'>,
  view: View,
  log: Log,
): Promise<CollectionName> => {
  const identity = await store.identity();
  const [pointer, builds] = await Promise.all([readModels.pointer(view.name), readModels.builds(view.name)]);
  const situation = { identity, pointer, builds, head: await store.head() };
  if (pointer && pointer.version > view.version)
    throw new RekeyError(
      'unavailable',
      `A newer version of Rekey keeps the view ${view.name}. Send the request to a process of that version.`,
      {
        view: view.name,
      },
    );
  const { candidate } = planBuilds({ ...situation, version: view.version, pointerAgeMs: 0, abandoned: new Set() });
  return candidate ?? makeBuild(readModels, view, situation, log);
};
