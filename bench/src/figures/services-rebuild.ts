import { SqliteDatabase, SqliteEventStore } from '@rekey/adapters/embedded';
import { MongoDatabase, MongoReadModels, clientOptions } from '@rekey/adapters/mongodb';
import { START, SystemClock } from '@rekey/ports';
import { VIEWS, type View } from '@rekey/read-models';
import { MongoClient, type Db } from 'mongodb';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { figure, type BenchContext } from '../bench';
import type { Figure } from '../report';
import { seed } from '../seed';
import { buildView } from './build-view';

/** Events per page of the projector. */
const PAGE = 5_000;
/** Longer than the default, because an emulator needs longer to write a page. */
const TIMEOUT_MS = 60_000;
/** With fewer documents, the time of writing them means nothing. */
const DOCUMENTS_MIN = 100;

/**
 * Measures the rebuild of each view on its own on MongoDB, in this process, next to the driver alone writing the same
 * documents.
 */
export const measureServicesRebuild = async (
  context: BenchContext,
  uri: string,
  secrets: number,
  secretsPerApplication: number,
): Promise<Figure[]> => {
  const folder = path.join(context.folder, 'services-rebuild');
  context.say(`services, rebuild: filling a store with ${secrets} secrets`);
  const { events } = await seed({ folder, secrets, secretsPerApplication, usable: 1 });
  const clock = new SystemClock();
  const database = await SqliteDatabase.open(path.join(folder, 'data'));
  const store = await SqliteEventStore.open(database, clock);
  const name = `rekey-bench-${randomUUID().slice(0, 8)}`;
  const mongo = new MongoDatabase({ uri, database: name, timeoutMs: TIMEOUT_MS });
  const readModels = new MongoReadModels(mongo);
  const client = new MongoClient(uri, clientOptions(TIMEOUT_MS));
  const say = (fields: object, text: string): void => context.say(`  ${text} ${JSON.stringify(fields)}`);
  const log = { info: () => undefined, warn: say, error: say };

  try {
    const figures: Figure[] = [];
    for (const view of VIEWS) {
      const { collection, tookMs } = await buildView({ store, readModels, clock, log, pageSize: PAGE }, view);
      const bareMs = await writeBare(readModels, client.db(name), view, collection, events);
      const perSecond = (events * 1000) / tookMs;
      context.say(`  ${view.name} ${Math.round(perSecond)} events/s`);
      const what = `view ${view.name} on MongoDB from zero`;
      figures.push(figure(`services.rebuild.${view.name}`, `${what}, ${events} events`, 'events/s', [perSecond]));
      if (bareMs === undefined) continue;
      const barePerSecond = (events * 1000) / bareMs;
      figures.push(
        figure(`services.rebuild.${view.name}.bare`, `${what}: documents written by the driver alone`, 'events/s', [
          barePerSecond,
        ]),
        figure(`services.rebuild.${view.name}.ratio`, `${what} ÷ driver alone`, '', [perSecond / barePerSecond]),
      );
    }
    return figures;
  } finally {
    await client.db(name).dropDatabase();
    await client.close();
    await readModels.close();
    await mongo.close();
    await store.close();
    await database.close();
  }
};

/**
 * Writes the documents of a built view again with the driver alone, into a collection with the same indexes, as many per
 * write as the projector. Returns the milliseconds that takes; undefined for a view with too few documents.
 */
const writeBare = async (
  readModels: MongoReadModels,
  database: Db,
  { name, version, indexes }: View,
  collection: string,
  events: number,
): Promise<number | undefined> => {
  const documents = await documentsOf(database, collection);
  if (documents.length < DOCUMENTS_MIN) return undefined;
  const bare = `${name}.v${version}.bare`;
  const build = { collection: bare, view: name, version, storeIdentity: '', target: START, checkpoint: START };
  await readModels.createBuild({ ...build, owner: '', beat: 0 }, indexes);
  const target = database.collection<{ _id: string }>(`view:${bare}`);
  const batchSize = Math.ceil((documents.length * PAGE) / events);
  const startedMs = performance.now();
  for (let from = 0; from < documents.length; from += batchSize) {
    const batch = documents.slice(from, from + batchSize);
    await target.bulkWrite(
      batch.map((document) => ({ insertOne: { document } })),
      { ordered: false },
    );
  }
  return performance.now() - startedMs;
};

/** Returns the documents of a view without the record of the build, whose `_id` is empty. */
const documentsOf = (database: Db, collection: string): Promise<{ _id: string }[]> =>
  database
    .collection<{ _id: string }>(`view:${collection}`)
    .find({ _id: { $gt: '' } })
    .toArray();
