import {
  Inject,
  Injectable,
  Module,
  Optional,
  type DynamicModule,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { addRoutes, healthRoutes } from '@rekey/gateway';
import { Access, Health, lagSeconds } from '@rekey/platform';
import { Clock, CommandBus, EventStore, Outcomes, ReadModels } from '@rekey/ports';
import { CommandService, commandService } from './command-service';
import { Connections, engines, probeOf } from './engines';
import { ExpiryWatcherService, expiryWatcher } from './expiry-watcher';
import { GatewayService, gateway } from './gateway';
import { provider, type Token } from './provider';
import { ProjectorService, projector } from './projector';
import type { Service } from './service';
import { SERVICES, ProcessContext, type ServiceName } from './process-context';
import { Views, shared } from './shared';
import type { ShutdownStep } from './shutdown';

const READY = { ready: true } as const;
/** No command has this id (RFC 9562 §5.9). */
const NO_COMMAND = '00000000-0000-0000-0000-000000000000';

/** Token and providers of each service, without the shared ones. */
const SERVICE_PROVIDERS: Readonly<Record<ServiceName, readonly [Token<Service>, readonly Provider[]]>> = {
  projector: [ProjectorService, projector],
  'command-service': [CommandService, commandService],
  gateway: [GatewayService, gateway],
  'expiry-watcher': [ExpiryWatcherService, expiryWatcher],
};

/** The services of this process, in start order. */
abstract class Services {
  abstract readonly all: readonly Service[];
}

/** Starts the services of a process in order and returns the steps that stop them. */
@Injectable()
export class System implements OnModuleInit {
  constructor(
    @Inject(ProcessContext) private readonly context: ProcessContext,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Services) private readonly services: Services,
    @Inject(Views) private readonly views: Views,
    @Inject(Access) private readonly access: Access,
    @Inject(Health) private readonly health: Health,
    @Inject(EventStore) private readonly store: EventStore,
    @Inject(ReadModels) private readonly readModels: ReadModels,
    @Inject(Outcomes) private readonly outcomes: Outcomes,
    @Inject(Connections) private readonly connections: Connections,
    @Optional() @Inject(CommandBus) private readonly bus?: CommandBus,
  ) {}

  async onModuleInit(): Promise<void> {
    const { services, views } = this;
    const isGateway = services.all.some((service) => service instanceof GatewayService);
    if (!isGateway) this.serveHealth();
    this.watchEngines();
    for (const service of services.all) await service.start();
    await Promise.all([...views.inUse.values()].map((view) => view.start()));
    this.watchViews();
  }

  /** Steps to run before the port closes: readiness turns off, so that no new work arrives, and streams end. */
  drainSteps(): readonly ShutdownStep[] {
    return [
      { name: 'readiness', run: () => this.health.stop() },
      ...this.services.all.map((service) => ({ name: service.constructor.name, run: () => service.drain() })),
    ];
  }

  /** Steps to run after the port is closed: services in reverse order of their start, then what they work on. */
  stopSteps(): readonly ShutdownStep[] {
    return [
      ...this.services.all.toReversed().flatMap((service) => service.stopSteps()),
      ...[...this.views.inUse].map(([name, view]) => ({ name: `view ${name}`, run: () => view.stop() })),
      { name: 'outcomes', run: () => this.outcomes.close() },
      { name: 'read models', run: () => this.readModels.close() },
      { name: 'event store', run: () => this.store.close() },
      ...this.connections.stopSteps(),
    ];
  }

  /** Adds the health and metrics routes to a process without the API. */
  private serveHealth(): void {
    const { access, health, context } = this;
    const { config, log, metrics, server } = context;
    addRoutes(server, healthRoutes({ health, metrics }), {
      access,
      viewOf: (name) => this.views.of(name),
      log,
      metrics,
      waitTimeoutMs: config.commands.waitTimeoutMs,
    });
  }

  private watchEngines(): void {
    const { health, store, outcomes, readModels, bus, context } = this;
    health.add('event store', () => store.head().then(() => READY));
    if (context.services.has('command-service') || context.services.has('gateway'))
      health.add('outcomes', () => outcomes.find(NO_COMMAND).then(() => READY));
    if (context.services.has('projector'))
      health.add('views', () => readModels.pointer('authentication').then(() => READY));
    const busProbe = bus && probeOf(bus);
    if (busProbe) health.add('command bus', busProbe);
  }

  private watchViews(): void {
    const { health, store, clock } = this;
    for (const [name, view] of this.views.inUse) {
      health.add(`view ${name}`, () => view.status());
      this.context.metrics.watchView(name, async () => {
        const { ready, checkpoint } = view.status();
        return { ready, lagSeconds: await lagSeconds(store, checkpoint, clock) };
      });
    }
  }
}

/** Nest module of a process: one service, several, or all. */
@Module({})
export class SystemModule {
  static of(context: ProcessContext, names: readonly ServiceName[]): DynamicModule {
    const chosen = SERVICES.filter((name) => names.includes(name)).map((name) => SERVICE_PROVIDERS[name]);
    return {
      module: SystemModule,
      providers: [
        provider(ProcessContext, [], () => context),
        ...engines,
        ...shared,
        ...new Set(chosen.flatMap(([, parts]) => parts)),
        provider(
          Services,
          chosen.map(([token]) => token),
          (...all) => ({ all }),
        ),
        System,
      ],
    };
  }
}
