import type { Provider } from '@nestjs/common';
import { CommandHandler } from '@rekey/commands';
import { tracedAppends } from '@rekey/platform';
import { Clock, CommandBus, EventStore, Outcomes, SecretHasher } from '@rekey/ports';
import { commandBus } from './engines';
import { provider } from './provider';
import { Service } from './service';
import { ProcessContext } from './process-context';
import type { ShutdownStep } from './shutdown';
import { Views } from './shared';

const DAY_MS = 86_400_000;
const PURGE_EVERY_MS = 3_600_000;

/** The only writer: handles commands, appends their events and replies. */
export class CommandService extends Service {
  private cancelPurge: () => void = () => undefined;

  constructor(
    private readonly context: ProcessContext,
    private readonly clock: Clock,
    private readonly bus: CommandBus,
    private readonly handler: CommandHandler,
    private readonly outcomes: Outcomes,
  ) {
    super();
  }

  async start(): Promise<void> {
    await this.bus.serve(this.handler.handle);
    this.purgeNow();
  }

  stopSteps(): readonly ShutdownStep[] {
    return [
      { name: 'outcome purge', run: () => this.cancelPurge() },
      { name: 'command bus', run: () => this.bus.close() },
    ];
  }

  /** Removes outcomes older than `commands.outcomesKeptDays`, now and every hour. */
  private purgeNow(): void {
    const { clock, outcomes, context } = this;
    const before = new Date(clock.nowMs() - context.config.commands.outcomesKeptDays * DAY_MS).toISOString();
    outcomes
      .purge(before, clock.now())
      .catch((error: unknown) => context.log.warn({ err: error }, 'could not remove old outcomes'));
    this.cancelPurge = clock.schedule(PURGE_EVERY_MS, () => this.purgeNow());
  }
}

const createHandler = (
  { config, keys, log, metrics, tracing }: ProcessContext,
  store: EventStore,
  outcomes: Outcomes,
  hasher: SecretHasher,
  clock: Clock,
  views: Views,
): CommandHandler => {
  const authentication = views.of('authentication');
  return new CommandHandler({
    store: tracing ? tracedAppends(store, tracing) : store,
    outcomes,
    hasher,
    clock,
    secretsMax: config.applications.secretsMax,
    openingKey: keys.commandSeal.privateKey,
    effective: (stream, position) => authentication.waitFor(position, config.commands.waitTimeoutMs, stream),
    observe: (command, caller, outcome) => {
      metrics.commandHandled(command.type, outcome);
      log.info({ commandId: command.id, type: command.type, actor: caller.name, outcome }, 'command handled');
    },
  });
};

export const commandService: readonly Provider[] = [
  commandBus,
  provider(CommandHandler, [ProcessContext, EventStore, Outcomes, SecretHasher, Clock, Views], createHandler),
  provider(
    CommandService,
    [ProcessContext, Clock, CommandBus, CommandHandler, Outcomes],
    (...dependencies) => new CommandService(...dependencies),
  ),
];
