import { SqliteDatabase, SqliteEventStore, SqliteReadModels } from '@rekey/adapters/embedded';
import { SystemClock } from '@rekey/ports';
import { Projector, VIEWS, type View } from '@rekey/read-models';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { figure, type BenchContext } from '../bench';
import type { Figure } from '../report';
import { seed } from '../seed';

const GOAL = { atLeast: 20_000 };
const LOOK_EVERY_MS = 5;
const BUILT_WITHIN_MS = 600_000;

/** Each view built from zero by itself, with the store and the projector of the server, in this process. */
export const measureRebuild = async (
  context: BenchContext,
  secrets: number,
  secretsPerApplication: number,
): Promise<Figure[]> => {
  const folder = path.join(context.folder, 'rebuild');
  context.say(`rebuild: filling a store with ${secrets} secrets`);
  const { events } = await seed({ folder, secrets, secretsPerApplication, usable: 1 });
  const clock = new SystemClock();
  const database = await SqliteDatabase.open(path.join(folder, 'data'));
  const store = await SqliteEventStore.open(database, clock);
  const readModels = await SqliteReadModels.open(database);
  const say = (fields: object, text: string): void => context.say(`  ${text} ${JSON.stringify(fields)}`);
  const log = { info: () => undefined, warn: say, error: say };
  const build = async (view: View): Promise<number> => {
    const projector = new Projector({ store, readModels, clock, name: 'bench', views: [view], log });
    const startedMs = performance.now();
    await projector.start();
    try {
      for (let tookMs = 0; tookMs < BUILT_WITHIN_MS; tookMs = performance.now() - startedMs) {
        if (await readModels.pointer(view.name)) return (events * 1000) / tookMs;
        await sleep(LOOK_EVERY_MS);
      }
      throw new Error(`The view ${view.name} was not built in time.`);
    } finally {
      await projector.stop();
    }
  };
  try {
    const figures: Figure[] = [];
    for (const view of VIEWS) {
      const perSecond = await build(view);
      context.say(`  ${view.name} ${Math.round(perSecond)} events/s`);
      const what = `view ${view.name} from zero, ${events} events`;
      figures.push(figure(`rebuild.${view.name}`, what, 'events/s', [perSecond], { goal: GOAL }));
    }
    return figures;
  } finally {
    await readModels.close();
    await store.close();
    await database.close();
  }
};
