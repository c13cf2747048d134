import type { Projector } from '@rekey/read-models';
import { RandomHistory, TestStores, VIEW_NAMES, eventually } from './views.testing';

describe('Projector', () => {
  let stores: TestStores;
  const running: Projector[] = [];

  const start = async (...given: Parameters<TestStores['projector']>): Promise<Projector> => {
    const projector = stores.projector(...given);
    running.push(projector);
    await projector.start();
    return projector;
  };

  beforeEach(async () => {
    stores = await TestStores.open();
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((projector) => projector.stop()));
    await stores.remove();
  });

  it('makes and keeps every view, and a rebuild of each equals what was kept live', async () => {
    const history = new RandomHistory(stores.store, 1);
    await history.more(40);
    const projector = await start({ pageSize: 7 });
    await history.more(400);
    await stores.allReached(history.position);
    for (const view of VIEW_NAMES) {
      const before = await stores.active(view);
      expect(before.size).toBeGreaterThan(0);
      const collection = await projector.rebuild(view);
      await eventually(async () => (await stores.readModels.pointer(view))?.collection === collection);
      await stores.reached(view, history.position);
      expect(await stores.active(view)).toEqual(before);
    }
  });
});
