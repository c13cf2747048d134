import type { Provider } from '@nestjs/common';
import { Clock, EventStore, ReadModels } from '@rekey/ports';
import { Projector } from '@rekey/read-models';
import { part } from './part';
import { Service } from './service';
import { Setting } from './setting';

/** Keeps the views, and tells the world outside of events where there is a way to. */
export class ProjectorService extends Service {
  constructor(private readonly projector: Projector) {
    super();
  }

  start(): Promise<void> {
    return this.projector.start();
  }

  stop(): Promise<void> {
    return this.projector.stop();
  }
}

const projectorOf = (
  { log, metrics, instance }: Setting,
  store: EventStore,
  readModels: ReadModels,
  clock: Clock,
): Projector =>
  new Projector({ store, readModels, clock, log, name: instance, onParked: (view) => metrics.poisonEvent(view) });

export const projector: readonly Provider[] = [
  part(Projector, [Setting, EventStore, ReadModels, Clock], projectorOf),
  part(ProjectorService, [Projector], (each) => new ProjectorService(each)),
];
