import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Authority, type CertificateFiles } from './certificates';

const SCRIPTS = path.resolve(__dirname, '../../../deploy/native/kafka');
const START_TIMEOUT_MS = 240_000;
/** Below the ephemeral ports, so that no outgoing connection occupies the port during a restart. */
const PORTS = { from: 20_000, count: 12_000 };

const run = promisify(execFile);

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** Returns free ports of 127.0.0.1 that the system does not assign to outgoing connections. */
const quietPorts = async (count: number): Promise<number[]> => {
  const found = new Set<number>();
  while (found.size < count) {
    const port = PORTS.from + (randomBytes(2).readUInt16BE() % PORTS.count);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
};

interface NodeOptions {
  readonly port: number;
  readonly properties: Readonly<Record<string, string | number>>;
  /** Id shared by the nodes of a cluster. */
  readonly cluster?: string;
  /** A SCRAM user, in the format of Kafka's format tool. */
  readonly scram?: string;
}

/** A Kafka node for one test, with properties in addition to those of `deploy/native/kafka`. */
export class KafkaNode {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'rekey-kafka-'));
  private readonly env: NodeJS.ProcessEnv;

  constructor(private readonly options: NodeOptions) {
    const { properties, cluster, scram } = options;
    const file = path.join(this.folder, 'own.properties');
    writeFileSync(
      file,
      Object.entries(properties)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    );
    this.env = {
      ...process.env,
      REKEY_NATIVE_PROPERTIES: file,
      REKEY_NATIVE_JAVA: '-Xmx192m -XX:TieredStopAtLevel=1',
      ...(cluster !== undefined && { REKEY_NATIVE_CLUSTER: cluster }),
      ...(scram !== undefined && { REKEY_NATIVE_SCRAM: scram }),
    };
  }

  /** `host:port` of the listener without TLS. */
  get url(): string {
    return `127.0.0.1:${this.options.port}`;
  }

  /** Starts or restarts the node. Resolves when it answers; in a cluster, once a majority is running. */
  async start(): Promise<void> {
    const { env, folder } = this;
    const args = [folder, String(this.options.port)];
    await run(path.join(SCRIPTS, 'start.sh'), args, { env, timeout: START_TIMEOUT_MS });
  }

  /** Sends SIGKILL and resolves when the process has ended. */
  async kill(): Promise<void> {
    process.kill(Number(readFileSync(path.join(this.folder, 'pid'), 'utf8')), 'SIGKILL');
    await this.stop();
  }

  /** Shuts the node down if it is running. */
  async stop(): Promise<void> {
    await run(path.join(SCRIPTS, 'stop.sh'), [this.folder]);
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }
}

/** Three nodes, each broker and controller, with three replicas of internal topics. Not started yet. */
export const kafkaCluster = async (): Promise<KafkaNode[]> => {
  const ids = [1, 2, 3];
  const ports = await quietPorts(2 * ids.length);
  const cluster = randomBytes(16).toString('hex').slice(0, 22);
  const places = ids.map((id, index) => ({ id, port: ports[2 * index] ?? 0, controller: ports[2 * index + 1] ?? 0 }));
  return places.map(({ id, port, controller }) => {
    const properties = {
      'node.id': id,
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
      'controller.quorum.voters': places.map((each) => `${each.id}@127.0.0.1:${each.controller}`).join(),
      'offsets.topic.replication.factor': 3,
      'min.insync.replicas': 2,
    };
    return new KafkaNode({ port, cluster, properties });
  });
};

/** A Kafka node that requires a password or a client certificate. */
export interface SecuredKafka {
  readonly node: KafkaNode;
  /** `host:port` of the listener with TLS and SASL: SCRAM-SHA-512 and PLAIN. */
  readonly sasl: string;
  /** Of the listener with TLS on both sides. */
  readonly mutual: string;
  readonly username: string;
  readonly password: string;
  /** The authority that brokers and clients trust. */
  readonly authority: Authority;
  /** A client certificate that the mutual listener accepts. */
  readonly client: CertificateFiles;
  /** Folder of the certificates. The test may add files, and removes it. */
  readonly folder: string;
}

/** Creates a secured node with a new user, password and certificates. Not started yet. */
export const securedKafka = async (): Promise<SecuredKafka> => {
  const [port = 0, controller = 0, sasl = 0, mutual = 0] = await quietPorts(4);
  const [username, password] = ['rekey', randomBytes(24).toString('base64url')];
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-kafka-tls-'));
  const authority = new Authority(folder, 'authority');
  const login = 'org.apache.kafka.common.security';
  const properties = {
    listeners: [
      `PLAINTEXT://127.0.0.1:${port}`,
      `CONTROLLER://127.0.0.1:${controller}`,
      `SASL_SSL://127.0.0.1:${sasl}`,
      `MUTUAL://127.0.0.1:${mutual}`,
    ].join(),
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port},SASL_SSL://localhost:${sasl},MUTUAL://localhost:${mutual}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,MUTUAL:SSL',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    'sasl.enabled.mechanisms': 'SCRAM-SHA-512,PLAIN',
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
    'listener.name.sasl_ssl.plain.sasl.jaas.config': `${login}.plain.PlainLoginModule required user_${username}="${password}";`,
    'listener.name.mutual.ssl.client.auth': 'required',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': authority.issue('broker', 'localhost').both,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': authority.cert,
  };
  const scram = `SCRAM-SHA-512=[name=${username},password=${password}]`;
  return {
    node: new KafkaNode({ port, properties, scram }),
    sasl: `localhost:${sasl}`,
    mutual: `localhost:${mutual}`,
    username,
    password,
    authority,
    client: authority.issue('client'),
    folder,
  };
};
