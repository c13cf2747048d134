import { ensureTopics, topicsOf } from '@rekey/adapters/kafka';
import { type AppName, freePort, RekeyProcess } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

export const SERVICE_NAMES = ['projector', 'command-service', 'expiry-watcher', 'gateway'] as const;
export type ServiceAppName = Exclude<AppName, 'standalone'>;

/** Addresses of engines. Without an address, stores are SQLite in the folder and the bus is in the process. */
export interface EngineUrls {
  readonly kafka?: string;
  readonly mongodb?: string;
  readonly redis?: string;
  readonly eventstore?: string;
}

/** Returns the environment of a test's processes, with names on the engines that no other test uses. */
export const environmentOf = (
  folder: string,
  { kafka, mongodb, redis, eventstore }: EngineUrls,
  name = `rekey-test-${randomUUID().slice(0, 8)}`,
): Record<string, string> => ({
  REKEY_STORAGE_PATH: path.join(folder, 'data'),
  ...(kafka !== undefined && {
    REKEY_ADAPTERS_BUS: 'kafka',
    REKEY_KAFKA_BROKERS: kafka,
    REKEY_KAFKA_TOPICPREFIX: `${name}.`,
  }),
  ...(mongodb !== undefined && {
    REKEY_ADAPTERS_VIEWS: 'mongodb',
    REKEY_MONGODB_URI: mongodb,
    REKEY_MONGODB_DATABASE: name,
  }),
  ...(redis !== undefined && { REKEY_ADAPTERS_JOBS: 'bullmq', REKEY_REDIS_URL: redis, REKEY_REDIS_PREFIX: name }),
  ...(eventstore !== undefined && {
    REKEY_ADAPTERS_EVENTS: 'eventstoredb',
    REKEY_EVENTSTORE_CONNECTIONSTRING: eventstore,
    REKEY_EVENTSTORE_STREAMPREFIX: `${name.replaceAll('-', '_')}.`,
  }),
});

/** Creates the Kafka topics of `environmentOf`. */
export const createTopics = async (env: Readonly<Record<string, string>>): Promise<void> => {
  const ignore = (): void => undefined;
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  await ensureTopics({
    connection: { brokers: (env['REKEY_KAFKA_BROKERS'] ?? '').split(','), log },
    topics: topicsOf(env['REKEY_KAFKA_TOPICPREFIX']),
    replicationFactor: 1,
    timeoutMs: 60_000,
  });
};

/** The four services as processes on one folder. Gateways keep their ports across restarts. */
export class ServiceProcesses {
  readonly running: RekeyProcess[] = [];
  private readonly launched: RekeyProcess[] = [];

  private constructor(
    readonly folder: string,
    readonly env: Readonly<Record<string, string>>,
    readonly gatewayPort: number,
  ) {}

  /** Starts one of each. Resolves when all are running. */
  static async start(folder: string, env: Readonly<Record<string, string>>): Promise<ServiceProcesses> {
    const services = new ServiceProcesses(folder, env, await freePort());
    await Promise.all(SERVICE_NAMES.map((name) => services.launch(name).started));
    return services;
  }

  get url(): string {
    return `http://127.0.0.1:${this.gatewayPort}`;
  }

  get token(): string {
    return readFileSync(path.join(this.env['REKEY_STORAGE_PATH'] ?? '', 'admin-token'), 'utf8').trim();
  }

  /** Output of all processes, including those that have ended. */
  get output(): string {
    return this.launched.map(({ output }) => output).join('');
  }

  /** Launches another process; a gateway on `port`. */
  launch(name: ServiceAppName, port = this.gatewayPort): RekeyProcess {
    const app = new RekeyProcess(name, this.folder, { env: this.env }, name === 'gateway' ? port : 0);
    this.running.push(app);
    this.launched.push(app);
    return app;
  }

  /** Sends SIGTERM to all. Resolves with their exit codes. */
  async stop(): Promise<(number | null)[]> {
    return Promise.all(this.running.splice(0).map((app) => app.stop()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.running.splice(0).map((app) => app.kill()));
  }
}
