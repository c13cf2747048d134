import { Projector, type View } from '@rekey/read-models';
import { setTimeout as sleep } from 'node:timers/promises';

type ProjectorOptions = ConstructorParameters<typeof Projector>[0];

const POLL_MS = 5;
const TIMEOUT_MS = 600_000;

export interface BuiltView {
  readonly collection: string;
  readonly tookMs: number;
}

/** Builds one view from zero with a projector of its own. Throws if it is not active in time. */
export const buildView = async (options: Omit<ProjectorOptions, 'views' | 'name'>, view: View): Promise<BuiltView> => {
  const projector = new Projector({ ...options, name: 'bench', views: [view] });
  const startedMs = performance.now();
  await projector.start();
  try {
    while (performance.now() - startedMs < TIMEOUT_MS) {
      const pointer = await options.readModels.pointer(view.name);
      if (pointer) return { collection: pointer.collection, tookMs: performance.now() - startedMs };
      await sleep(POLL_MS);
    }
    throw new Error(`The view ${view.name} was not built within ${TIMEOUT_MS / 1_000} s.`);
  } finally {
    await projector.stop();
  }
};
