import { SqliteDatabase, SqliteEventStore } from '@rekey/adapters/embedded';
import { MongoDatabase, MongoReadModels, clientOptions } from '@rekey/adapters/mongodb';
import { START, SystemClock } from '@rekey/ports';
import { Projector, VIEWS, type View } from '@rekey/read-models';
import { MongoClient, type Db } from 'mongodb';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { figure, type BenchContext } from '../bench';
import type { Figure } from '../report';
import { seed } from '../seed';

const LOOK_EVERY_MS = 5;
const BUILT_WITHIN_MS = 600_000;
/** Events that the projector takes in at a time. */
const PAGE = 5_000;
/** For a write of a page, which takes an emulator longer than a call may take by default. */
const TIMEOUT_MS = 60_000;
/** A view of fewer documents says nothing of writing. */
const DOCUMENTS_MIN = 100;

/**
 * Each view built from zero by itself on a MongoDB, in this process, and beside it the driver alone, which writes the
 * documents that the view ends in to a collection with the same indexes, as many at a time.
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

  const build = async (view: View): Promise<{ collection: string; tookMs: number }> => {
    const projector = new Projector({ store, readModels, clock, name: 'bench', views: [view], log, pageSize: PAGE });
    const startedMs = performance.now();
    await projector.start();
    try {
      for (let tookMs = 0; tookMs < BUILT_WITHIN_MS; tookMs = performance.now() - startedMs) {
        const pointer = await readModels.pointer(view.name);
        if (pointer) return { collection: pointer.collection, tookMs: performance.now() - startedMs };
        await sleep(LOOK_EVERY_MS);
      }
      throw new Error(`The view ${view.name} was not built in time.`);
    } finally {
      await projector.stop();
    }
  };

  /** Milliseconds that the driver takes to write the documents of a collection; undefined where they are too few. */
  const writeBare = async (view: View, collection: string): Promise<number | undefined> => {
    const documents = await documentsOf(client.db(name), collection);
    if (documents.length < DOCUMENTS_MIN) return undefined;
    const bare = `${view.name}.v${view.version}.bare`;
    const { indexes, version } = view;
    await readModels.createBuild(
      {
        collection: bare,
        view: view.name,
        version,
        storeIdentity: '',
        target: START,
        checkpoint: START,
        owner: '',
        beat: 0,
      },
      indexes,
    );
    const written = client.db(name).collection<{ _id: string }>(`view:${bare}`);
    const atATime = Math.ceil((documents.length * PAGE) / events);
    const startedMs = performance.now();
    for (let from = 0; from < documents.length; from += atATime) {
      const some = documents.slice(from, from + atATime);
      await written.bulkWrite(
        some.map((document) => ({ insertOne: { document } })),
        { ordered: false },
      );
    }
    return performance.now() - startedMs;
  };

  try {
    const figures: Figure[] = [];
    for (const view of VIEWS) {
      const { collection, tookMs } = await build(view);
      const bareMs = await writeBare(view, collection);
      const perSecond = (events * 1000) / tookMs;
      context.say(`  ${view.name} ${Math.round(perSecond)} events/s`);
      const what = `view ${view.name} on MongoDB from zero`;
      figures.push(figure(`services.rebuild.${view.name}`, `${what}, ${events} events`, 'events/s', [perSecond]));
      if (bareMs === undefined) continue;
      figures.push(
        figure(`services.rebuild.${view.name}.bare`, `${what}: only its documents written, by the driver`, 'events/s', [
          (events * 1000) / bareMs,
        ]),
        figure(`services.rebuild.${view.name}.ratio`, `${what} ÷ only written`, '', [bareMs / tookMs]),
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

/** What lies in a view's collection, but for the build's record. */
const documentsOf = (database: Db, collection: string): Promise<{ _id: string }[]> =>
  database
    .collection<{ _id: string }>(`view:${collection}`)
    .find({ _id: { $gt: '' } })
    .toArray();
