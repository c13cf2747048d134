import type { Provider } from '@nestjs/common';
import { KafkaEventPublisher } from '@rekey/adapters/kafka';
import { Health, tellable, type Metrics, type Tracing } from '@rekey/platform';
import { Clock, EventStore, ReadModels, type EventPublisher } from '@rekey/ports';
import { Projections, Projector, type AroundPage } from '@rekey/read-models';
import { kafkaConnectionOf, kafkaTopicsOf } from './kafka';
import { provider } from './provider';
import { Service } from './service';
import { ProcessContext } from './process-context';
import type { ShutdownStep } from './shutdown';

/** Publisher of events to Kafka, if Kafka is configured. */
abstract class Publication {
  abstract readonly publisher: EventPublisher | undefined;
}

/** Maintains the views and publishes events. */
export class ProjectorService extends Service {
  constructor(
    private readonly projector: Projector,
    private readonly publication: Publication,
    private readonly projections: Projections,
    private readonly health: Health,
    private readonly metrics: Metrics,
  ) {
    super();
  }

  start(): Promise<void> {
    const { health, metrics, projections } = this;
    for (const [view, probe] of this.projector.health()) health.add(`projection ${view}`, probe);
    metrics.watchProjections(async () => (await projections.list()).filter(({ active }) => active));
    if (this.publication.publisher) metrics.watchPublisher('kafka', () => projections.publisherLagSeconds());
    return this.projector.start();
  }

  stopSteps(): readonly ShutdownStep[] {
    return [
      { name: 'projector', run: () => this.projector.stop() },
      { name: 'event publisher', run: () => this.publication.publisher?.close() },
    ];
  }
}

/** CloudEvents `source` when `http.publicUrl` is not set. */
const SOURCE = 'urn:rekey';

const publicationOf = ({ config, log, instance }: ProcessContext): Publication => {
  switch (config.adapters.bus) {
    case 'local':
      return { publisher: undefined };
    case 'kafka': {
      const connection = kafkaConnectionOf(config, log, instance);
      const source = config.http.publicUrl ?? SOURCE;
      return { publisher: new KafkaEventPublisher({ connection, topics: kafkaTopicsOf(config), source }) };
    }
  }
};

/** Maximum number of ids in an attribute of a span. */
const IDS_MAX = 32;

const someIds = (ids: readonly string[]): string[] =>
  [...new Set(ids.flatMap((id) => tellable(id) ?? []))].slice(0, IDS_MAX);

/** Creates one span per page of events, with the ids of the commands that caused them, to find their traces. */
const tracedPages =
  (tracing: Tracing): AroundPage =>
  ({ view, collection, events }, take) => {
    const attributes = {
      'rekey.view': view,
      'rekey.build': collection,
      'rekey.events': events.length,
      'rekey.position': events.at(-1)?.position,
      'rekey.command_ids': someIds(events.map(({ metadata }) => metadata.commandId)),
      'rekey.correlation_ids': someIds(events.map(({ metadata }) => metadata.correlationId)),
    };
    return tracing.within({ name: `project ${view}`, kind: 'internal', attributes, parent: 'none' }, () => take());
  };

const projectorOf = (
  { log, metrics, tracing, instance }: ProcessContext,
  store: EventStore,
  readModels: ReadModels,
  clock: Clock,
  { publisher }: Publication,
): Projector =>
  new Projector({
    store,
    readModels,
    clock,
    log,
    name: instance,
    onParked: (view) => metrics.poisonEvent(view),
    ...(tracing && { around: tracedPages(tracing) }),
    ...(publisher && { publisher }),
  });

export const projector: readonly Provider[] = [
  provider(Publication, [ProcessContext], publicationOf),
  provider(Projector, [ProcessContext, EventStore, ReadModels, Clock, Publication], projectorOf),
  provider(
    ProjectorService,
    [Projector, Publication, Projections, Health, ProcessContext],
    (each, publication, projections, health, { metrics }) =>
      new ProjectorService(each, publication, projections, health, metrics),
  ),
];
