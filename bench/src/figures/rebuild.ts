import { SqliteDatabase, SqliteEventStore, SqliteReadModels } from '@rekey/adapters/embedded';
import { SystemClock } from '@rekey/ports';
import { VIEWS } from '@rekey/read-models';
import path from 'node:path';
import { figure, type BenchContext } from '../bench';
import type { Figure } from '../report';
import { seed } from '../seed';
import { buildView } from './build-view';

const GOAL = { atLeast: 20_000 };

/** Measures the rebuild of each view on its own, with the store and projector of the server, in this process. */
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
  try {
    const figures: Figure[] = [];
    for (const view of VIEWS) {
      const { tookMs } = await buildView({ store, readModels, clock, log }, view);
      const perSecond = (events * 1000) / tookMs;
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
