import {
  Inject,
  Injectable,
  Module,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type OnApplicationShutdown,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import {
  LocalCommandBus,
  SqliteDatabase,
  SqliteEventStore,
  SqliteJobs,
  SqliteOutcomes,
  SqliteReadModels,
} from '@rekey/adapters/embedded';
import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { LogNotifier, UiNotifier, WebhookNotifier } from '@rekey/adapters/notifiers';
import { Authenticator, FailureLimiter, UsageRecorder } from '@rekey/authentication';
import { CommandHandler } from '@rekey/commands';
import { VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import { ExpiryWatcher, queueOf } from '@rekey/expiry';
import { addRoutes, gatewayRoutes, type Route } from '@rekey/gateway';
import {
  Access,
  ActiveView,
  Health,
  ObservedHasher,
  ObservedNotifier,
  lagSeconds,
  type Config,
  type Keys,
  type Metrics,
} from '@rekey/platform';
import {
  Clock,
  CommandBus,
  EventStore,
  Jobs,
  Outcomes,
  ReadModels,
  SecretHasher,
  SystemClock,
  type Notifier,
} from '@rekey/ports';
import { Projector, createUsage, readUsage, recordUsage } from '@rekey/read-models';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';

/** All that is decided before the parts are put together. */
export class Setting {
  constructor(
    readonly config: Config,
    readonly keys: Keys,
    readonly log: Logger,
    readonly metrics: Metrics,
    readonly server: FastifyInstance,
    readonly version: string,
  ) {}
}

/** The read side of every view. */
abstract class Views {
  abstract readonly of: Readonly<Record<ViewName, ActiveView>>;
}

/** The channels that are enabled. */
abstract class Channels {
  abstract readonly all: readonly Notifier[];
}

/** Something of which Nest holds one: a class stands for its instance. */
interface Token<T> {
  readonly name: string;
  readonly prototype: T;
}
type Parts<Tokens extends readonly Token<unknown>[]> = {
  [Index in keyof Tokens]: Tokens[Index] extends Token<infer T> ? T : never;
};

/** A part of the system and what it is made of. */
const part = <T, Tokens extends readonly Token<unknown>[]>(
  provide: Token<T>,
  inject: readonly [...Tokens],
  useFactory: (...parts: Parts<Tokens>) => T | Promise<T>,
): Provider => ({ provide, inject: [...inject], useFactory }) as unknown as Provider;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const PURGE_EVERY_MS = 3_600_000;

const notifiersOf = ({ config, log, metrics }: Setting, clock: Clock): Channels => {
  const { log: lines, ui, webhook } = config.notifiers;
  const { webhookSecret } = config.secrets;
  const all = [
    ...(lines.enabled ? [new LogNotifier(log, clock)] : []),
    ...(ui.enabled ? [new UiNotifier()] : []),
    ...(webhook.enabled && webhook.url !== undefined && webhookSecret !== undefined
      ? [new WebhookNotifier({ url: webhook.url, secret: webhookSecret }, clock)]
      : []),
  ];
  return { all: all.map((notifier) => new ObservedNotifier(notifier, metrics)) };
};

const accessOf = ({ config, keys }: Setting, clock: Clock): Access => {
  const admin = { name: 'admin-token', sha256: keys.adminToken.sha256, roles: ['admin' as const], domains: [] };
  const { tokens, oidc } = config.access;
  return new Access({ tokens: [...tokens, admin], oidc, clock });
};

const viewsOf = ({ log }: Setting, store: EventStore, readModels: ReadModels, clock: Clock): Views => {
  const names = Object.keys(VIEW_VERSIONS) as ViewName[];
  const open = (view: ViewName): ActiveView => new ActiveView({ store, readModels, clock, view, log });
  return { of: Object.fromEntries(names.map((view) => [view, open(view)])) as Record<ViewName, ActiveView> };
};

const hasherOf = ({ config, keys, metrics }: Setting, clock: Clock): SecretHasher => {
  const { generated, imported } = config.hashing;
  const { pepper } = config.secrets;
  const hasher = new Argon2SecretHasher({ generated, imported, indexKey: keys.indexKey, ...(pepper && { pepper }) });
  return new ObservedHasher(hasher, metrics, clock);
};

const handlerOf = (
  { config, keys, log, metrics }: Setting,
  store: EventStore,
  outcomes: Outcomes,
  hasher: SecretHasher,
  clock: Clock,
  views: Views,
): CommandHandler =>
  new CommandHandler({
    store,
    outcomes,
    hasher,
    clock,
    secretsMax: config.applications.secretsMax,
    openingKey: keys.commandSeal.privateKey,
    effective: (stream, position) => views.of.authentication.waitFor(position, config.commands.waitTimeoutMs, stream),
    observe: (command, caller, outcome) => {
      metrics.commandHandled(command.type, outcome);
      log.info({ commandId: command.id, type: command.type, actor: caller.name, outcome }, 'command handled');
    },
  });

const projectorOf = ({ log, metrics }: Setting, store: EventStore, readModels: ReadModels, clock: Clock): Projector =>
  new Projector({ store, readModels, clock, log, name: 'standalone', onParked: (view) => metrics.poisonEvent(view) });

const watcherOf = (
  { config, log }: Setting,
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
    schedule: views.of['expiry-schedule'],
    notifications: config.notifications,
    log,
  });

const usageOf = ({ log }: Setting, readModels: ReadModels, clock: Clock): UsageRecorder =>
  new UsageRecorder({
    clock,
    sink: (batch) => recordUsage(readModels, batch),
    onSinkFailed: (error) => log.warn({ err: error }, 'usage could not be stored; it is kept for the next time'),
    onForgotten: (uses) => log.warn({ uses }, 'uses were forgotten: the memory for them is full'),
  });

const authenticatorOf = (
  { config, log, metrics }: Setting,
  views: Views,
  hasher: SecretHasher,
  clock: Clock,
  usage: UsageRecorder,
): Authenticator => {
  const { rememberedMax, failuresPerMinuteMax, failurePairsMax, slowChecksPerClientMax } = config.authentication;
  const limiter = new FailureLimiter(clock, {
    failuresMax: failuresPerMinuteMax,
    windowMs: MINUTE_MS,
    pairsMax: failurePairsMax,
    slowConcurrency: slowChecksPerClientMax,
  });
  return new Authenticator({
    view: views.of.authentication,
    hasher,
    clock,
    limiter,
    usage,
    rememberedMax,
    onChecked: (outcome) => {
      metrics.checked(outcome.outcome);
      // Of a flood of wrong answers the first ones of each minute and source are logged; the metric has them all.
      if (outcome.outcome !== 'valid') log[outcome.limited ? 'debug' : 'info'](outcome, 'check refused');
    },
  });
};

/** Starts the parts in the order in which they need each other, and ends them in the other. */
@Injectable()
export class System implements OnModuleInit, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly ending = new AbortController();
  private cancelPurge: () => void = () => undefined;
  /** Every route that is served. */
  routes: readonly Route[] = [];

  constructor(
    @Inject(Setting) private readonly setting: Setting,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(SqliteDatabase) private readonly database: SqliteDatabase,
    @Inject(EventStore) private readonly store: EventStore,
    @Inject(ReadModels) private readonly readModels: ReadModels,
    @Inject(Outcomes) private readonly outcomes: Outcomes,
    @Inject(Jobs) private readonly jobs: Jobs,
    @Inject(CommandBus) private readonly bus: CommandBus,
    @Inject(CommandHandler) private readonly handler: CommandHandler,
    @Inject(Projector) private readonly projector: Projector,
    @Inject(Views) private readonly views: Views,
    @Inject(ExpiryWatcher) private readonly watcher: ExpiryWatcher,
    @Inject(UsageRecorder) private readonly usage: UsageRecorder,
    @Inject(Authenticator) private readonly authenticator: Authenticator,
    @Inject(Access) private readonly access: Access,
    @Inject(Health) private readonly health: Health,
  ) {}

  async onModuleInit(): Promise<void> {
    const { projector, views, bus, handler, watcher, usage } = this;
    this.serveHttp();
    await createUsage(this.readModels);
    await projector.start();
    await Promise.all(Object.values(views.of).map((view) => view.start()));
    await bus.serve(handler.handle);
    await watcher.start();
    usage.start();
    this.watch();
    this.purgeNow();
  }

  /** Before the port is closed: nobody sends new work here, and streams end. */
  beforeApplicationShutdown(): void {
    this.health.stop();
    this.ending.abort();
  }

  async onApplicationShutdown(): Promise<void> {
    this.cancelPurge();
    await this.watcher.stop();
    await this.bus.close();
    await this.usage.stop();
    await this.jobs.close();
    await this.projector.stop();
    for (const view of Object.values(this.views.of)) view.stop();
    await this.outcomes.close();
    await this.readModels.close();
    await this.store.close();
    await this.database.close();
  }

  private serveHttp(): void {
    const { config, keys, log, metrics, server, version } = this.setting;
    const { access, authenticator, bus, clock, health, outcomes, store, readModels } = this;
    const views = this.views.of;
    this.routes = gatewayRoutes({
      access,
      authenticator,
      bus,
      clock,
      health,
      metrics,
      outcomes,
      store,
      views,
      usage: (ids) => readUsage(readModels, ids),
      recipient: keys.sealing,
      commandKey: keys.commandSeal.publicKey,
      forwardAuthFrom: config.http.forwardAuthFrom,
      expiringWithinDays: Math.max(0, ...config.notifications.expiryThresholds),
      commandTimeoutMs: config.commands.timeoutMs,
      waitTimeoutMs: config.commands.waitTimeoutMs,
      version,
      signal: this.ending.signal,
    });
    const { bodyLimitBytes, requestTimeoutMs, trustedProxies } = config.http;
    const http = { bodyLimitBytes, requestTimeoutMs, trustedProxies };
    addRoutes(server, this.routes, { access, views, log, metrics, http, waitTimeoutMs: config.commands.waitTimeoutMs });
  }

  /** What health and metrics ask about. */
  private watch(): void {
    const { health, store, clock, jobs } = this;
    const { metrics, config } = this.setting;
    for (const [name, view] of Object.entries(this.views.of)) {
      health.add(`view ${name}`, () => view.status());
      metrics.watchView(name, async () => {
        const { ready, checkpoint } = view.status();
        return { ready, lagSeconds: await lagSeconds(store, checkpoint, clock) };
      });
    }
    health.add('expiry watcher', () => this.watcher.status());
    const channels = Object.entries(config.notifiers).filter(([, { enabled }]) => enabled);
    const queues = [queueOf({ kind: 'expiry' }), ...channels.map(([channel]) => queueOf({ kind: 'notice', channel }))];
    for (const queue of queues) metrics.watchJobs(queue, () => jobs.counts(queue));
  }

  /** Outcomes are kept for as long as a command may come again, and not for ever. */
  private purgeNow(): void {
    const { clock, outcomes, setting } = this;
    const before = new Date(clock.nowMs() - setting.config.commands.outcomesKeptDays * DAY_MS).toISOString();
    outcomes
      .purge(before, clock.now())
      .catch((error: unknown) => setting.log.warn({ err: error }, 'old outcomes could not be removed'));
    this.cancelPurge = clock.schedule(PURGE_EVERY_MS, () => this.purgeNow());
  }
}

/** The whole system in one process: which adapter stands behind which port, and what each part is made of. */
@Module({})
export class AppModule {
  static of(setting: Setting): DynamicModule {
    return {
      module: AppModule,
      providers: [
        part(Setting, [], () => setting),
        part(Clock, [], () => new SystemClock()),
        part(SqliteDatabase, [Setting], ({ config }) => SqliteDatabase.open(config.storage.path)),
        part(EventStore, [SqliteDatabase, Clock], (database, clock) => SqliteEventStore.open(database, clock)),
        part(ReadModels, [SqliteDatabase], (database) => SqliteReadModels.open(database, { alone: true })),
        part(Outcomes, [SqliteDatabase], (database) => SqliteOutcomes.open(database)),
        part(Jobs, [SqliteDatabase, Clock, Setting], (database, clock, { log }) =>
          SqliteJobs.open({
            database,
            clock,
            report: (facts, message) => log.warn(facts, message),
          }),
        ),
        part(CommandBus, [Clock], (clock) => new LocalCommandBus(clock)),
        part(SecretHasher, [Setting, Clock], hasherOf),
        part(Channels, [Setting, Clock], notifiersOf),
        part(Access, [Setting, Clock], accessOf),
        part(Views, [Setting, EventStore, ReadModels, Clock], viewsOf),
        part(Health, [], () => new Health()),
        part(CommandHandler, [Setting, EventStore, Outcomes, SecretHasher, Clock, Views], handlerOf),
        part(Projector, [Setting, EventStore, ReadModels, Clock], projectorOf),
        part(ExpiryWatcher, [Setting, EventStore, Jobs, CommandBus, Clock, Channels, Views], watcherOf),
        part(UsageRecorder, [Setting, ReadModels, Clock], usageOf),
        part(Authenticator, [Setting, Views, SecretHasher, Clock, UsageRecorder], authenticatorOf),
        System,
      ],
    };
  }
}
