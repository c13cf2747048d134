import { type AppName, type EngineName, type Proxy, proxyTo, temporaryFolder } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ChaosEngine } from './engines.testing';
import { ChaosKafka } from './kafka.testing';
import { NoticeReceiver } from './notices.testing';
import { ChaosStores } from './stores.testing';
import { ChaosSystem } from './system.testing';
import { Client } from '../support/client.testing';
import { createTopics, environmentOf } from '../support/services.testing';

/** Processes and engines of a system. */
export interface Composition {
  readonly apps: Readonly<Partial<Record<AppName, number>>>;
  /** Engines that the test starts and kills. */
  readonly engines: readonly EngineName[];
  /** Connection string of an external server. */
  readonly eventstore?: string;
}

/** How the system reaches an engine: directly, or through a proxy. */
interface Connection {
  readonly url: string;
  readonly proxy?: Proxy;
}

type Undo = () => unknown;

/** Longer than any pause of a gateway, which answers once it continues. */
const CLIENT_TIMEOUT_MS = 10_000;

const ENV = {
  REKEY_LOGGING_LEVEL: 'info',
  REKEY_COMMANDS_TIMEOUTMS: '5000',
  REKEY_COMMANDS_WAITTIMEOUTMS: '2000',
};

/** A system with its engines, and the clients and receivers of the test. */
export class ChaosWorld {
  private constructor(
    /** Prefix of all names on shared engines. */
    readonly name: string,
    /** Folder of keys and of stores that are files. */
    readonly folder: string,
    readonly system: ChaosSystem,
    readonly stores: ChaosStores,
    /** One per gateway. */
    readonly clients: readonly Client[],
    readonly notices: NoticeReceiver,
    readonly kafka: ChaosKafka | undefined,
    private readonly undo: readonly Undo[],
  ) {}

  /** Starts everything. Resolves when all processes are running. If it fails, everything is removed. */
  static async start(composition: Composition): Promise<ChaosWorld> {
    const undo: Undo[] = [];
    try {
      return await ChaosWorld.build(composition, undo);
    } catch (error) {
      await undone(undo);
      throw error;
    }
  }

  private static async build({ apps, engines: names, eventstore }: Composition, undo: Undo[]): Promise<ChaosWorld> {
    const name = `chaos-${randomUUID().slice(0, 8)}`;
    const root = temporaryFolder();
    undo.push(() => root.remove());
    const engines: ChaosEngine[] = [];
    undo.push(() => Promise.all(engines.map((engine) => engine.remove())));
    const started = await Promise.allSettled(names.map(async (each) => engines.push(await ChaosEngine.start(each))));
    for (const each of started) if (each.status === 'rejected') throw each.reason;
    const connections = new Map<EngineName, Connection>(
      engines.map((each) => [each.name, { url: each.proxied, proxy: each.proxy }]),
    );
    if (eventstore !== undefined) connections.set('eventstore', await connectionTo(eventstore));
    undo.push(async () => {
      for (const { proxy } of connections.values()) await proxy?.down();
    });
    const notices = await NoticeReceiver.open(root.path);
    undo.push(() => notices.close());

    const urls = Object.fromEntries([...connections].map(([engine, { url }]) => [engine, url]));
    const env: Record<string, string> = { ...environmentOf(root.path, urls, name), ...ENV, ...notices.env };
    const broker = engines.find((engine) => engine.name === 'kafka');
    if (broker) await createTopics(env);
    const proxies = new Map(
      [...connections].flatMap(([engine, { proxy }]) => (proxy ? [[engine, proxy] as const] : [])),
    );
    const system = await ChaosSystem.launch({ folder: root.path, env, apps, engines, proxies });
    undo.push(() => system.remove());
    await system.started();

    const stores = await ChaosStores.open(env);
    undo.push(() => stores.close());
    const folder = env['REKEY_STORAGE_PATH'] ?? '';
    const token = readFileSync(path.join(folder, 'admin-token'), 'utf8').trim();
    const clients = system.gateways.map(({ port }) => new Client(`http://127.0.0.1:${port}`, token, CLIENT_TIMEOUT_MS));
    undo.push(() => clients.forEach((client) => client.close()));
    const kafka = broker && new ChaosKafka(broker, `${name}.`);
    return new ChaosWorld(name, folder, system, stores, clients, notices, kafka, undo);
  }

  /** The client of the first gateway. */
  get firstClient(): Client {
    const [client] = this.clients;
    if (!client) throw new Error('The system has no gateway.');
    return client;
  }

  /** Ends and removes everything, whatever state it is in. */
  remove(): Promise<void> {
    return undone(this.undo);
  }
}

/** Runs the steps in reverse order. */
const undone = async (undo: readonly Undo[]): Promise<void> => {
  for (const step of undo.toReversed()) await step();
};

/** Returns the connection to an external server: through a proxy if it is a single server without TLS. */
const connectionTo = async (connectionString: string): Promise<Connection> => {
  const [, begin, host, port, end] = /^(esdb:\/\/)([\w.-]+):(\d+)(\/?\?tls=false)$/.exec(connectionString) ?? [];
  if (host === undefined) return { url: connectionString };
  const proxy = await proxyTo(host, Number(port));
  return { url: `${begin}127.0.0.1:${proxy.port}${end}`, proxy };
};
