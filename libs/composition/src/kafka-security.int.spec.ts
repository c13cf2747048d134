import { ensureTopics } from '@rekey/adapters/kafka';
import { loadConfig, type Config } from '@rekey/platform';
import { NativeEngine, describeOn, securedKafka, type SecuredKafka } from '@rekey/testing';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { kafkaConnectionOf, kafkaTopicsOf } from './kafka';
import { createProcess, type Process } from './process';

/** Starting a broker can be slow. */
jest.setTimeout(240_000);

describeOn(['kafka'], () => {
  if (!NativeEngine.isAvailable('kafka')) {
    it.skip('skipped: deploy/native/kafka needs Java and Maven to start a broker with TLS', () => undefined);
    return;
  }

  const lines: string[] = [];
  const logTo = { write: (line: string): void => void lines.push(line) };
  const write = (facts: object, message: string): void => void lines.push(`${message} ${JSON.stringify(facts)}`);
  const log = { debug: write, info: write, warn: write, error: write };
  let kafka: SecuredKafka;
  let running: Process | undefined;

  beforeAll(async () => {
    kafka = await securedKafka();
    await kafka.node.start();
  });
  afterEach(async () => {
    await running?.close();
    running = undefined;
    expect(lines.join()).not.toContain(kafka.password);
    lines.length = 0;
  });
  afterAll(async () => {
    await kafka.node.remove();
    rmSync(kafka.folder, { recursive: true });
  });

  /** Loads the configuration from a file. The password file ends with a newline. */
  const configOf = (kafkaSection: object): Config => {
    const folder = mkdtempSync(path.join(kafka.folder, 'system-'));
    const file = path.join(folder, 'rekey.yml');
    const sections = {
      storage: { path: path.join(folder, 'data') },
      adapters: { bus: 'kafka' },
      http: { port: 0 },
      kafka: { topicPrefix: `${path.basename(folder)}.`, ...kafkaSection },
    };
    writeFileSync(file, JSON.stringify(sections));
    return loadConfig({ file, env: {} });
  };
  const withPassword = (mechanism: string, password = kafka.password): object => {
    const passwordFile = path.join(kafka.folder, `password-${mechanism}`);
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    return {
      brokers: [kafka.sasl],
      ssl: { enabled: true, caFile: kafka.authority.cert },
      sasl: { mechanism, username: kafka.username, passwordFile },
    };
  };
  const withCertificate = (): object => {
    const { cert: certFile, key: keyFile } = kafka.client;
    return { brokers: [kafka.mutual], ssl: { enabled: true, caFile: kafka.authority.cert, certFile, keyFile } };
  };
  const start = async (config: Config): Promise<string> => {
    running = await createProcess({ config, services: ['projector', 'command-service', 'gateway'], logTo });
    return running.listen();
  };

  it.each<[string, () => object]>([
    ['a user with SCRAM', () => withPassword('scram-sha-512')],
    ['a user with PLAIN', () => withPassword('plain')],
    ['a certificate', withCertificate],
  ])('services handle commands over Kafka with %s', async (_, section) => {
    const config = configOf(section());
    await ensureTopics({ connection: kafkaConnectionOf(config, log, 'topics'), topics: kafkaTopicsOf(config) });
    const url = await start(config);
    expect(await running?.ready()).toBe(true);
    const token = readFileSync(path.join(config.storage.path, 'admin-token'), 'utf8').trim();
    const made = await fetch(`${url}/api/v1/domains`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'acme', name: 'Acme' }),
    });
    expect([made.status, await made.json()]).toEqual([201, expect.objectContaining({ id: 'acme' })]);
  });

  it('services with a wrong password are not ready and report the reason', async () => {
    const config = configOf(withPassword('scram-sha-512', 'another-password'));
    const connection = kafkaConnectionOf(config, log, 'topics');
    await expect(ensureTopics({ connection, topics: kafkaTopicsOf(config) })).rejects.toMatchObject({
      message: 'The brokers refused to authenticate this user.',
    });
    const ready = await fetch(`${await start(config)}/health/ready`);
    expect([ready.status, await ready.text()]).toEqual([
      503,
      expect.stringContaining('The brokers refused to authenticate this user.'),
    ]);
    expect(lines.join()).not.toContain('another-password');
  });
});
