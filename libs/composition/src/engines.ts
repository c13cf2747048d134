import type { Provider } from '@nestjs/common';
import { BullJobs } from '@rekey/adapters/bullmq';
import {
  LocalCommandBus,
  SqliteDatabase,
  SqliteEventStore,
  SqliteJobs,
  SqliteOutcomes,
  SqliteReadModels,
} from '@rekey/adapters/embedded';
import { EventStoreDbEventStore } from '@rekey/adapters/eventstoredb';
import { KafkaCommandBus } from '@rekey/adapters/kafka';
import { MongoDatabase, MongoOutcomes, MongoReadModels } from '@rekey/adapters/mongodb';
import { TracedCommandBus, type Probe } from '@rekey/platform';
import { Clock, CommandBus, EventStore, Jobs, Outcomes, ReadModels, SystemClock } from '@rekey/ports';
import { kafkaConnectionOf, kafkaTopicsOf, maxCommandAgeMsOf, replyTopicsOf, signerOf, verifierOf } from './kafka';
import { provider } from './provider';
import { ProcessContext } from './process-context';
import type { ShutdownStep } from './shutdown';

/** A connection that several adapters share. Opened on first use. */
class Shared<T extends { close(): Promise<void> }> {
  private opened: Promise<T> | undefined;

  constructor(private readonly open: () => T | Promise<T>) {}

  get(): Promise<T> {
    this.opened ??= Promise.resolve().then(this.open);
    return this.opened;
  }

  async close(): Promise<void> {
    await (await this.opened?.catch(() => undefined))?.close();
  }
}

/** The SQLite file of `storage.path`. */
abstract class Sqlite extends Shared<SqliteDatabase> {}
abstract class Mongo extends Shared<MongoDatabase> {}

/** Connections that several ports share; closed after the ports. */
export abstract class Connections {
  abstract stopSteps(): readonly ShutdownStep[];
}

/** Returns a value that the validated configuration must contain. Throws if it is missing. */
const required = <T>(value: T | undefined, key: string): T => {
  if (value === undefined) throw new Error(`${key} is missing.`);
  return value;
};

const eventStoreOf = async ({ config }: ProcessContext, clock: Clock, sqlite: Sqlite): Promise<EventStore> => {
  switch (config.adapters.events) {
    case 'sqlite':
      return SqliteEventStore.open(await sqlite.get(), clock);
    case 'eventstoredb': {
      const connectionString = required(config.secrets.eventstore, 'eventstore.connectionString');
      return new EventStoreDbEventStore({ connectionString, streamPrefix: config.eventstore.streamPrefix, clock });
    }
  }
};

const readModelsOf = async ({ config, alone }: ProcessContext, sqlite: Sqlite, mongo: Mongo): Promise<ReadModels> => {
  switch (config.adapters.views) {
    case 'sqlite':
      return SqliteReadModels.open(await sqlite.get(), { alone });
    case 'mongodb':
      return new MongoReadModels(await mongo.get(), { checkReadConcern: config.mongodb.checkReadConcern });
  }
};

const outcomesOf = async ({ config }: ProcessContext, sqlite: Sqlite, mongo: Mongo): Promise<Outcomes> => {
  switch (config.adapters.views) {
    case 'sqlite':
      return SqliteOutcomes.open(await sqlite.get());
    case 'mongodb':
      return new MongoOutcomes(await mongo.get());
  }
};

const jobsOf = async ({ config, log }: ProcessContext, clock: Clock, sqlite: Sqlite): Promise<Jobs> => {
  const report = (facts: object, message: string): void => log.warn(facts, message);
  switch (config.adapters.jobs) {
    case 'sqlite':
      return SqliteJobs.open({ database: await sqlite.get(), clock, report });
    case 'bullmq': {
      const url = required(config.secrets.redis, 'redis.url');
      return BullJobs.open({ url, prefix: config.redis.prefix, report });
    }
  }
};

const busOf = async (context: ProcessContext, clock: Clock): Promise<CommandBus> => {
  const bus = await untracedBusOf(context, clock);
  return context.tracing ? new TracedCommandBus(bus, context.tracing) : bus;
};

const untracedBusOf = async (context: ProcessContext, clock: Clock): Promise<CommandBus> => {
  const { config, log, instance, services, metrics } = context;
  switch (config.adapters.bus) {
    case 'local':
      return new LocalCommandBus(clock);
    case 'kafka':
      return KafkaCommandBus.open({
        connection: kafkaConnectionOf(config, log, instance),
        topics: kafkaTopicsOf(config),
        clock,
        instance,
        replyTopics: replyTopicsOf(config),
        maxCommandAgeMs: maxCommandAgeMsOf(config, clock),
        ...((services.has('gateway') || services.has('expiry-watcher')) && { sign: signerOf(context, clock) }),
        ...(services.has('command-service') && { verify: verifierOf(context) }),
        observer: {
          deadLettered: (reason) => metrics.deadLettered(reason),
          replyUndeliverable: () => metrics.replyUndeliverable(),
          commandRefused: (code) => metrics.commandRefused(code),
          commandWaits: () => metrics.commandWaits(),
          consumerRestarted: (consumer) => metrics.consumerRestarted(consumer),
        },
      });
  }
};

/** Providers of the ports that every service needs, with the configured adapters. Connects to configured engines only. */
export const engines: readonly Provider[] = [
  provider(Clock, [], () => new SystemClock()),
  provider(Sqlite, [ProcessContext], ({ config }) => new Shared(() => SqliteDatabase.open(config.storage.path))),
  provider(Mongo, [ProcessContext], ({ config }) => {
    const { database } = config.mongodb;
    return new Shared(() => new MongoDatabase({ uri: required(config.secrets.mongodb, 'mongodb.uri'), database }));
  }),
  provider(Connections, [Sqlite, Mongo], (sqlite, mongo) => ({
    stopSteps: () => [
      { name: 'MongoDB connection', run: () => mongo.close() },
      { name: 'SQLite database', run: () => sqlite.close() },
    ],
  })),
  provider(EventStore, [ProcessContext, Clock, Sqlite], eventStoreOf),
  provider(ReadModels, [ProcessContext, Sqlite, Mongo], readModelsOf),
  provider(Outcomes, [ProcessContext, Sqlite, Mongo], outcomesOf),
];

/** For services that send or handle commands. */
export const commandBus: Provider = provider(CommandBus, [ProcessContext, Clock], busOf);

/** For the service that runs scheduled jobs. */
export const jobs: Provider = provider(Jobs, [ProcessContext, Clock, Sqlite], jobsOf);

/** Returns the readiness probe of an adapter, or undefined if it has none. */
export const probeOf = (adapter: CommandBus | Jobs): (() => Promise<Probe>) | undefined => {
  const engine = adapter instanceof TracedCommandBus ? adapter.bus : adapter;
  return engine instanceof KafkaCommandBus || engine instanceof BullJobs ? () => engine.status() : undefined;
};
