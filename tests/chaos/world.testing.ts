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

/** Which processes there are, how many of each, and on what. */
export interface Composition {
  readonly apps: Readonly<Partial<Record<AppName, number>>>;
  /** Those that are a test's own, to be killed. */
  readonly engines: readonly EngineName[];
  /** Connection string of a server that is somebody else's. */
  readonly eventstore?: string;
}

/** How the system reaches an engine; without a proxy where it goes there itself. */
interface Way {
  readonly url: string;
  readonly proxy?: Proxy;
}

type Undo = () => unknown;

/** A gateway that was stopped answers when it is woken; one that does not is asked no longer. */
const CLIENT_TIMEOUT_MS = 10_000;

const ENV = {
  REKEY_LOGGING_LEVEL: 'info',
  REKEY_COMMANDS_TIMEOUTMS: '5000',
  REKEY_COMMANDS_WAITTIMEOUTMS: '2000',
};

/** A system with all that it stands on and all that looks at it. */
export class ChaosWorld {
  private constructor(
    /** Begins the names of all that is this world's own, for there may be others beside it. */
    readonly name: string,
    /** Of keys, and of stores that are files. */
    readonly folder: string,
    readonly system: ChaosSystem,
    readonly stores: ChaosStores,
    /** One for each gateway. */
    readonly clients: readonly Client[],
    readonly notices: NoticeReceiver,
    readonly kafka: ChaosKafka | undefined,
    private readonly undo: readonly Undo[],
  ) {}

  /** Starts it; resolves when all of it can work. Where that fails, nothing is left behind. */
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
    const ways = new Map<EngineName, Way>(engines.map((each) => [each.name, { url: each.proxied, proxy: each.proxy }]));
    if (eventstore !== undefined) ways.set('eventstore', await wayTo(eventstore));
    undo.push(async () => {
      for (const { proxy } of ways.values()) await proxy?.down();
    });
    const notices = await NoticeReceiver.open(root.path);
    undo.push(() => notices.close());

    const urls = Object.fromEntries([...ways].map(([engine, { url }]) => [engine, url]));
    const env: Record<string, string> = { ...environmentOf(root.path, urls, name), ...ENV, ...notices.env };
    const broker = engines.find((engine) => engine.name === 'kafka');
    if (broker) await createTopics(env);
    const proxies = new Map([...ways].flatMap(([engine, { proxy }]) => (proxy ? [[engine, proxy] as const] : [])));
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

  /** Ends all of it, however it is, and leaves nothing behind. */
  remove(): Promise<void> {
    return undone(this.undo);
  }
}

/** What was done last is undone first. */
const undone = async (undo: readonly Undo[]): Promise<void> => {
  for (const step of undo.toReversed()) await step();
};

/** A way to a server of somebody else's: through a proxy, where it is one server and does not speak TLS. */
const wayTo = async (connectionString: string): Promise<Way> => {
  const [, begin, host, port, end] = /^(esdb:\/\/)([\w.-]+):(\d+)(\/?\?tls=false)$/.exec(connectionString) ?? [];
  if (host === undefined) return { url: connectionString };
  const proxy = await proxyTo(host, Number(port));
  return { url: `${begin}127.0.0.1:${proxy.port}${end}`, proxy };
};
