#!/usr/bin/env node
// Runs engines in containers, for tests on machines with Docker. Usage: engine-container.mjs start|stop NAME FOLDER
// `start` prints the connection string and stores the container id in the folder for `stop`.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { GenericContainer, Wait } from 'testcontainers';

/** Returns a free port. Kafka must know its advertised address, and so its port, before it starts. */
const freePort = async () => {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
};

const engines = {
  eventstore: async () => {
    const container = await new GenericContainer('eventstore/eventstore:23.10.6-bookworm-slim')
      .withEnvironment({ EVENTSTORE_INSECURE: 'true', EVENTSTORE_MEM_DB: 'true' })
      .withExposedPorts(2113)
      .withWaitStrategy(Wait.forHttp('/health/live', 2113).forStatusCode(204))
      .start();
    return { container, url: `esdb://${container.getHost()}:${container.getMappedPort(2113)}?tls=false` };
  },
  kafka: async () => {
    const port = await freePort();
    const container = await new GenericContainer('apache/kafka:4.1.0')
      .withEnvironment({
        KAFKA_NODE_ID: '1',
        KAFKA_PROCESS_ROLES: 'broker,controller',
        KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
        KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
        KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
        KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
        KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: '1',
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
        KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
        KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
      })
      .withExposedPorts({ container: 9092, host: port })
      .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
      .start();
    return { container, url: `127.0.0.1:${port}` };
  },
  mongodb: async () => {
    const container = await new GenericContainer('mongo:8')
      .withCommand(['--replSet', 'rs0', '--bind_ip_all'])
      .withExposedPorts(27017)
      .withWaitStrategy(Wait.forLogMessage(/Waiting for connections/))
      .start();
    const initiate =
      "rs.initiate({_id:'rs0',members:[{_id:0,host:'localhost:27017'}]});while(!db.hello().isWritablePrimary)sleep(50)";
    const { exitCode, output } = await container.exec(['mongosh', '--quiet', '--eval', initiate]);
    if (exitCode !== 0) throw new Error(output);
    const address = `${container.getHost()}:${container.getMappedPort(27017)}`;
    return { container, url: `mongodb://${address}/?directConnection=true` };
  },
  redis: async () => {
    const container = await new GenericContainer('redis:7')
      .withCommand(['redis-server', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'])
      .withExposedPorts(6379)
      .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
      .start();
    return { container, url: `redis://${container.getHost()}:${container.getMappedPort(6379)}` };
  },
};

const [action, name, folder] = process.argv.slice(2);
const note = path.join(folder, 'container');
if (action === 'start') {
  const { container, url } = await engines[name]();
  writeFileSync(note, container.getId());
  process.stdout.write(`${url}\n`);
  // The container keeps running; open connections to Docker would keep this process alive.
  process.exit(0);
} else {
  execFileSync('docker', ['rm', '--force', '--volumes', readFileSync(note, 'utf8')], { stdio: 'ignore' });
}
