import { RekeyError } from '@rekey/contracts';
import { START, type CollectionName, type EventStore, type ReadModels } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { collectionName, planBuilds, type Situation } from './build-plan';
import type { Log } from './leased-feed';
import type { View } from '../views/view';

/** Makes an empty build of a view, younger than all there are; whoever finds it first projects into it. Answers its name. */
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
  log.info({ view: name, collection, target }, 'a new build begins');
  return collection;
};

/**
 * Begins a new build of a view beside the one that answers, from any process. One that is under way already is the
 * answer too, so asking twice does no harm. Throws `unavailable` where newer code keeps the view: it would drop the build.
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
    throw new RekeyError('unavailable', `Newer code keeps the view ${view.name}: ask a process of that.`, {
      view: view.name,
    });
  const { candidate } = planBuilds({ ...situation, version: view.version, pointerAgeMs: 0, lifeless: new Set() });
  return candidate ?? makeBuild(readModels, view, situation, log);
};
