import type { Provider } from '@nestjs/common';
import { KafkaNotifier } from '@rekey/adapters/kafka';
import { LogNotifier, UiNotifier, WebhookNotifier } from '@rekey/adapters/notifiers';
import { ExpiryWatcher, queueOf } from '@rekey/expiry';
import { Health, ObservedNotifier } from '@rekey/platform';
import { Clock, CommandBus, EventStore, Jobs, type Notifier } from '@rekey/ports';
import { commandBus, jobs as jobsProvider, probeOf } from './engines';
import { kafkaConnectionOf, kafkaTopicsOf } from './kafka';
import { provider } from './provider';
import { Service } from './service';
import { ProcessContext } from './process-context';
import { Views } from './shared';
import type { ShutdownStep } from './shutdown';

/** The enabled notification channels. */
abstract class Channels {
  abstract readonly all: readonly Notifier[];
  abstract close(): Promise<void>;
}

/** Schedules jobs for expiries and notices, and runs them: sends notices and commands. */
export class ExpiryWatcherService extends Service {
  constructor(
    private readonly watcher: ExpiryWatcher,
    private readonly jobs: Jobs,
    private readonly health: Health,
    private readonly channels: Channels,
    private readonly context: ProcessContext,
  ) {
    super();
  }

  start(): Promise<void> {
    const { jobs, watcher, health, channels } = this;
    health.add('expiry watcher', () => watcher.status());
    const probe = probeOf(jobs);
    if (probe) health.add('jobs', probe);
    const queues = [
      queueOf({ kind: 'expiry' }),
      ...channels.all.map(({ channel }) => queueOf({ kind: 'notice', channel })),
    ];
    for (const queue of queues) this.context.metrics.watchJobs(queue, () => jobs.counts(queue));
    return watcher.start();
  }

  stopSteps(): readonly ShutdownStep[] {
    return [
      { name: 'expiry watcher', run: () => this.watcher.stop() },
      { name: 'jobs', run: () => this.jobs.close() },
      { name: 'notification channels', run: () => this.channels.close() },
    ];
  }
}

const channelsOf = ({ config, log, metrics, instance }: ProcessContext, clock: Clock): Channels => {
  const { log: logChannel, ui, webhook, kafka } = config.notifiers;
  const { webhookSecret } = config.secrets;
  const kafkaNotifier = kafka.enabled
    ? new KafkaNotifier({
        connection: kafkaConnectionOf(config, log, instance),
        topic: kafkaTopicsOf(config).notifications,
        clock,
      })
    : undefined;
  const all = [
    ...(logChannel.enabled ? [new LogNotifier(log, clock)] : []),
    ...(ui.enabled ? [new UiNotifier()] : []),
    ...(webhook.enabled && webhook.url !== undefined && webhookSecret !== undefined
      ? [new WebhookNotifier({ url: webhook.url, secret: webhookSecret }, clock)]
      : []),
    ...(kafkaNotifier ? [kafkaNotifier] : []),
  ];
  return {
    all: all.map((notifier) => new ObservedNotifier(notifier, metrics)),
    close: async () => kafkaNotifier?.close(),
  };
};

const watcherOf = (
  { config, log }: ProcessContext,
  store: EventStore,
  jobs: Jobs,
  bus: CommandBus,
  clock: Clock,
  channels: Channels,
  views: Views,
): ExpiryWatcher =>
  new ExpiryWatcher({
    store,
    jobs,
    bus,
    clock,
    notifiers: channels.all,
    schedule: views.of('expiry-schedule'),
    notifications: config.notifications,
    log,
  });

export const expiryWatcher: readonly Provider[] = [
  commandBus,
  jobsProvider,
  provider(Channels, [ProcessContext, Clock], channelsOf),
  provider(ExpiryWatcher, [ProcessContext, EventStore, Jobs, CommandBus, Clock, Channels, Views], watcherOf),
  provider(
    ExpiryWatcherService,
    [ExpiryWatcher, Jobs, Health, Channels, ProcessContext],
    (...dependencies) => new ExpiryWatcherService(...dependencies),
  ),
];
