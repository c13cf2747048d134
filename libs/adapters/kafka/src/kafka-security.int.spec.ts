import { exampleEvent } from '@rekey/ports/conformance';
import { Authority, NativeEngine, describeOn, securedKafka, type SecuredKafka } from '@rekey/testing';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import type { KafkaConnection, KafkaSasl } from './connection';
import type { KafkaCommandBus } from './kafka-command-bus';
import { KafkaEventPublisher } from './sending/kafka-event-publisher';
import {
  CALLER,
  Effects,
  TopicTail,
  connectionTo,
  exampleCommand,
  recordingLog,
  createTopics,
  openBus,
  until,
} from './kafka.testing';
import { ensureTopics, topicsOf } from './topics/topics';

/** A broker is started, on a busy machine. */
jest.setTimeout(240_000);
const PATIENT_MS = 90_000;
/** As long as topics that cannot be made are tried to be made, where nobody is refused. */
const GIVEN_UP_MS = 10_000;
interface Matcher {
  asymmetricMatch(value: unknown): boolean;
}

const EVENT = { ...exampleEvent(), stream: 'application-1', revision: 0, position: '1'.padStart(20, '0') };

describeOn(['kafka'], () => {
  if (!NativeEngine.isAvailable('kafka')) {
    it.skip('not run: a broker with TLS is started by deploy/native/kafka, which needs Java and Maven', () =>
      undefined);
    return;
  }

  let kafka: SecuredKafka;
  const log = recordingLog();
  const buses: KafkaCommandBus[] = [];

  beforeAll(async () => {
    kafka = await securedKafka();
    await kafka.node.start();
  });
  afterEach(async () => {
    await Promise.all(buses.splice(0).map((bus) => bus.close()));
    expect(log.lines.join()).not.toContain(kafka.password);
    log.lines.length = log.warnings.length = 0;
  });
  afterAll(async () => {
    await kafka.node.remove();
    rmSync(kafka.folder, { recursive: true });
  });

  const trusted = () => ({ ca: readFileSync(kafka.authority.cert) });
  const certified = ({ cert, key } = kafka.client) => ({ cert: readFileSync(cert), key: readFileSync(key) });
  const connectionOf = (more: Partial<KafkaConnection>): KafkaConnection => ({ ...connectionTo('', log), ...more });
  const withPassword = (
    mechanism: KafkaSasl['mechanism'],
    more: Partial<KafkaConnection> & { readonly password?: string } = {},
  ): KafkaConnection => {
    const { password = kafka.password, ...others } = more;
    const sasl = { mechanism, username: kafka.username, password };
    return connectionOf({ brokers: [kafka.sasl], ssl: trusted(), sasl, ...others });
  };
  const withCertificate = (own: object): KafkaConnection =>
    connectionOf({ brokers: [kafka.mutual], ssl: { ...trusted(), ...own } });

  it.each<[string, () => KafkaConnection]>([
    ['TLS and SCRAM-SHA-512', () => withPassword('scram-sha-512')],
    ['TLS and PLAIN', () => withPassword('plain')],
    ['TLS with a certificate of its own', () => withCertificate(certified())],
  ])('lets topics be made, commands be done and events be published over %s', async (_, connect) => {
    const connection = connect();
    const topics = await createTopics(connection);
    const effects = new Effects();
    const bus = openBus(connection, topics);
    buses.push(bus);
    await bus.serve(effects.handle);
    await until('it is ready', async () => (await bus.status()).ready, PATIENT_MS);
    const commands = Array.from({ length: 5 }, () => exampleCommand());
    for (const command of commands) {
      const reply = await bus.send({ command, caller: CALLER, correlationId: command.id }, PATIENT_MS);
      expect(reply).toMatchObject({ id: command.id, status: 'accepted', replayed: false });
    }
    expect(effects.done).toEqual(commands.map(({ id }) => id));

    const publisher = new KafkaEventPublisher({ connection, topics, source: 'urn:rekey:test' });
    await publisher.publish([EVENT]);
    expect(await publisher.status()).toEqual({ ready: true });
    await publisher.close();
    const tail = await TopicTail.of(connection, topics.events);
    await until('the event is there', () => tail.messages.length > 0, PATIENT_MS);
    expect(JSON.parse(String(tail.messages[0]?.value))).toMatchObject({ id: EVENT.eventId });
    await tail.close();
  });

  const UNAUTHENTICATED = 'The brokers refused to authenticate this user.';
  const wrong = randomBytes(12).toString('base64url');

  it.each<[string, () => KafkaConnection, string | RegExp]>([
    ['another password (SCRAM)', () => withPassword('scram-sha-512', { password: wrong }), UNAUTHENTICATED],
    ['another password (PLAIN)', () => withPassword('plain', { password: wrong }), UNAUTHENTICATED],
    [
      'a mechanism that brokers lack',
      () => withPassword('scram-sha-256'),
      'The broker answered UNSUPPORTED_SASL_MECHANISM.',
    ],
    [
      'the authorities of the system alone',
      () => withPassword('plain', { ssl: true }),
      'TLS with the brokers failed: UNABLE_TO_VERIFY_LEAF_SIGNATURE.',
    ],
    [
      'another authority',
      () => withPassword('plain', { ssl: { ca: readFileSync(new Authority(kafka.folder, 'another').cert) } }),
      'TLS with the brokers failed: UNABLE_TO_VERIFY_LEAF_SIGNATURE.',
    ],
    [
      'another name than the broker has',
      () => withPassword('plain', { brokers: [kafka.sasl.replace('localhost', '127.0.0.1')] }),
      'TLS with the brokers failed: ERR_TLS_CERT_ALTNAME_INVALID.',
    ],
    ['no certificate', () => withCertificate({}), /TLS with the brokers failed: ERR_SSL_\w+\./],
    [
      'a certificate of another authority',
      () => withCertificate(certified(new Authority(kafka.folder, 'foreign').issue('client'))),
      /TLS with the brokers failed: ERR_SSL_\w+\./,
    ],
  ])('is told by who comes with %s, soon, and without its password', async (_, connect, cause) => {
    const connection = connect();
    const topics = topicsOf('refused.');
    const says = (typeof cause === 'string' ? expect.stringContaining(cause) : expect.stringMatching(cause)) as Matcher;
    const begun = Date.now();
    const making = ensureTopics({ connection, topics, timeoutMs: GIVEN_UP_MS });
    await expect(making).rejects.toMatchObject({ name: 'AuthFailure', message: says });
    expect(Date.now() - begun).toBeLessThan(GIVEN_UP_MS);

    const effects = new Effects();
    const bus = openBus(connection, topics);
    buses.push(bus);
    await bus.serve(effects.handle);
    const command = exampleCommand();
    const sending = bus.send({ command, caller: CALLER, correlationId: command.id }, 1_000);
    const publisher = new KafkaEventPublisher({ connection, topics, source: 'urn:rekey:test' });
    await expect(publisher.publish([EVENT])).rejects.toMatchObject({ code: 'unavailable' });
    await expect(sending).rejects.toMatchObject({ code: 'unavailable' });
    // A broker that closes a connection may be quicker than what it says of it.
    for (const each of [bus, publisher]) {
      const saysWhy = async (): Promise<boolean> => says.asymmetricMatch((await each.status()).cause ?? '');
      await until('it says why', saysWhy, PATIENT_MS);
      expect((await each.status()).ready).toBe(false);
    }
    await publisher.close();
    // Each of the two consumers says a cause once, however often it tries.
    const warned = log.warnings
      .filter((line) => says.asymmetricMatch(line))
      .map((line) => line.slice(0, line.indexOf(' {')));
    expect(warned.sort()).toEqual([
      'commands cannot be consumed; trying again',
      'replies cannot be read; trying again',
    ]);
    expect(log.lines.join()).not.toContain(wrong);
    expect(effects.done).toEqual([]);
  });
});
