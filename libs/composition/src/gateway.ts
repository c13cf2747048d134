import type { Provider } from '@nestjs/common';
import { Authenticator, FailureLimiter, UsageRecorder } from '@rekey/authentication';
import { addRoutes, gatewayRoutes, type Route } from '@rekey/gateway';
import { Access, Health } from '@rekey/platform';
import { Clock, CommandBus, EventStore, Outcomes, ReadModels, SecretHasher } from '@rekey/ports';
import { Projections, readUsage, recordUsage } from '@rekey/read-models';
import { commandBus } from './engines';
import { provider } from './provider';
import { Service } from './service';
import { ProcessContext } from './process-context';
import { Views } from './shared';
import type { ShutdownStep } from './shutdown';

const MINUTE_MS = 60_000;

/** The HTTP API: management, check and history. */
export class GatewayService extends Service {
  private readonly ending = new AbortController();
  /** The served routes. Empty before `start`. */
  routes: readonly Route[] = [];

  constructor(
    private readonly context: ProcessContext,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly authenticator: Authenticator,
    private readonly bus: CommandBus,
    private readonly health: Health,
    private readonly outcomes: Outcomes,
    private readonly store: EventStore,
    private readonly readModels: ReadModels,
    private readonly usage: UsageRecorder,
    private readonly views: Views,
    private readonly projections: Projections,
  ) {
    super();
  }

  async start(): Promise<void> {
    const { config, keys, log, metrics, server, tracing, version } = this.context;
    const { access, authenticator, bus, clock, health, outcomes, store, readModels } = this;
    const views = this.views.all();
    this.routes = gatewayRoutes({
      access,
      authenticator,
      bus,
      clock,
      health,
      metrics,
      outcomes,
      projections: this.projections,
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
    addRoutes(server, this.routes, {
      access,
      viewOf: (name) => views[name],
      log,
      metrics,
      tracing,
      waitTimeoutMs: config.commands.waitTimeoutMs,
    });
    this.usage.start();
  }

  override drain(): void {
    this.ending.abort();
  }

  stopSteps(): readonly ShutdownStep[] {
    return [
      { name: 'command bus', run: () => this.bus.close() },
      { name: 'usage recorder', run: () => this.usage.stop() },
    ];
  }
}

const usageOf = ({ log }: ProcessContext, readModels: ReadModels, clock: Clock): UsageRecorder =>
  new UsageRecorder({
    clock,
    sink: (batch) => recordUsage(readModels, batch),
    onSinkFailed: (error) => log.warn({ err: error }, 'could not store usage; will retry'),
    onDropped: (uses) => log.warn({ uses }, 'discarded usage: the buffer is full'),
  });

const authenticatorOf = (
  { config, log, metrics }: ProcessContext,
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
    view: views.of('authentication'),
    hasher,
    clock,
    limiter,
    usage,
    rememberedMax,
    onChecked: (outcome) => {
      metrics.checked(outcome.outcome);
      // Only the first failures per minute and source are logged at info, so an attack cannot flood the log.
      if (outcome.outcome !== 'valid') log[outcome.limited ? 'debug' : 'info'](outcome, 'check refused');
    },
  });
};

export const gateway: readonly Provider[] = [
  commandBus,
  provider(UsageRecorder, [ProcessContext, ReadModels, Clock], usageOf),
  provider(Authenticator, [ProcessContext, Views, SecretHasher, Clock, UsageRecorder], authenticatorOf),
  provider(
    GatewayService,
    [
      ProcessContext,
      Clock,
      Access,
      Authenticator,
      CommandBus,
      Health,
      Outcomes,
      EventStore,
      ReadModels,
      UsageRecorder,
      Views,
      Projections,
    ],
    (...dependencies) => new GatewayService(...dependencies),
  ),
];
