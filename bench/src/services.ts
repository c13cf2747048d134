import { SqliteDatabase, SqliteEventStore } from '@rekey/adapters/embedded';
import { EventStoreDbEventStore } from '@rekey/adapters/eventstoredb';
import { ensureTopics, topicsOf } from '@rekey/adapters/kafka';
import { SystemClock, type EventStore } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { Redis } from 'ioredis';
import { Kafka, logLevel } from 'kafkajs';
import { MongoClient } from 'mongodb';
import {
  HOST,
  NO_LIMIT,
  freePort,
  newToken,
  launchApp,
  writeConfiguration,
  type RekeyServer,
  type Running,
} from './processes';

export type ServiceName = 'command-service' | 'expiry-watcher' | 'gateway' | 'projector';

/** Addresses of engines. Without one, views or events are stored in SQLite. */
export interface EngineUrls {
  readonly kafka: string;
  readonly redis: string;
  readonly mongodb?: string | undefined;
  readonly eventstore?: string | undefined;
}

export interface ServicesOptions {
  /** Folder with the bundles, one folder per app. */
  readonly apps: string;
  /** Folder for configuration, keys, logs and the SQLite file. */
  readonly folder: string;
  readonly urls: EngineUrls;
}

const TOPICS_WITHIN_MS = 60_000;

/** Runs the services as processes, with their own topics, database and Redis prefix. */
export class Services {
  readonly name = `rekey-bench-${randomUUID().slice(0, 8)}`;
  private readonly access = newToken();
  private readonly topicPrefix = `${this.name}.`;
  private readonly running: Running[] = [];

  constructor(private readonly options: ServicesOptions) {}

  async createTopics(): Promise<void> {
    const ignore = (): void => undefined;
    const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
    await ensureTopics({
      connection: { brokers: this.options.urls.kafka.split(','), log },
      topics: topicsOf(this.topicPrefix),
      timeoutMs: TOPICS_WITHIN_MS,
    });
  }

  /** Runs `work` with the event store of the services. */
  async withStore<T>(work: (store: EventStore) => Promise<T>): Promise<T> {
    const { folder, urls } = this.options;
    const clock = new SystemClock();
    const database = urls.eventstore === undefined ? await SqliteDatabase.open(path.join(folder, 'data')) : undefined;
    const store = database
      ? await SqliteEventStore.open(database, clock)
      : new EventStoreDbEventStore({ connectionString: urls.eventstore ?? '', clock });
    try {
      return await work(store);
    } finally {
      await store.close();
      await database?.close();
    }
  }

  /** Starts a service and waits until it is ready. `more` overrides the configuration. */
  async start(name: ServiceName, more: object = {}): Promise<RekeyServer> {
    const { apps, folder } = this.options;
    const port = await freePort();
    const home = path.join(folder, `${name}-${port}`);
    const file = writeConfiguration(home, { ...this.configuration(port), ...more });
    const launched = launchApp({
      main: path.join(apps, name, 'main.js'),
      folder: home,
      log: path.join(home, 'log'),
      env: { REKEY_CONFIG: file },
      port,
    });
    // Registered before it is ready: `stop` must also end it if another service fails to start.
    this.running.push(launched);
    return { ...(await launched.ready), token: this.access.token };
  }

  /** Starts one of each service and returns the gateway. */
  async startAll(): Promise<RekeyServer> {
    const others: readonly ServiceName[] = ['projector', 'command-service', 'expiry-watcher'];
    const [gateway] = await Promise.all([this.start('gateway'), ...others.map((name) => this.start(name))]);
    return gateway;
  }

  private configuration(port: number): object {
    const { folder, urls } = this.options;
    const { kafka, redis, mongodb, eventstore } = urls;
    const ports = { commandService: port, projector: port, expiryWatcher: port };
    return {
      http: { host: HOST, port },
      operations: { host: HOST, ports },
      access: { tokens: this.access.tokens },
      storage: { kind: 'embedded', path: path.join(folder, 'data') },
      adapters: {
        bus: 'kafka',
        jobs: 'bullmq',
        views: mongodb === undefined ? 'sqlite' : 'mongodb',
        events: eventstore === undefined ? 'sqlite' : 'eventstoredb',
      },
      kafka: { brokers: kafka.split(','), topicPrefix: this.topicPrefix },
      redis: { url: redis, prefix: this.name },
      ...(mongodb !== undefined && { mongodb: { uri: mongodb, database: this.name } }),
      ...(eventstore !== undefined && { eventstore: { connectionString: eventstore } }),
      authentication: NO_LIMIT,
    };
  }

  /** Returns the CPU time of all running services in milliseconds. */
  cpuMs(): number {
    return this.running.reduce((sum, each) => sum + (each.cpuMs() ?? 0), 0);
  }

  /** Stops all services, also those that are not ready yet. */
  async stop(): Promise<void> {
    await Promise.all(this.running.splice(0).map((each) => each.stop()));
  }

  /** Removes topics, database and jobs from shared engines. Events stay: an event store cannot delete them. */
  async clean(): Promise<void> {
    const { kafka, redis, mongodb } = this.options.urls;
    const admin = new Kafka({ brokers: kafka.split(','), logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(this.topicPrefix));
    await admin.deleteTopics({ topics });
    await admin.disconnect();
    const jobs = new Redis(redis);
    for await (const keys of jobs.scanStream({ match: `${this.name}:*`, count: 1_000 }) as AsyncIterable<string[]>)
      if (keys.length > 0) await jobs.unlink(keys);
    await jobs.quit();
    if (mongodb === undefined) return;
    const client = new MongoClient(mongodb);
    await client.db(this.name).dropDatabase();
    await client.close();
  }
}
