import { SqliteDatabase, SqliteEventStore, SqliteOutcomes } from '@rekey/adapters/embedded';
import { Argon2SecretHasher } from '@rekey/adapters/hashing';
import { KafkaCommandBus, ensureTopics, topicsOf, type KafkaConnection, type KafkaTopics } from '@rekey/adapters/kafka';
import { CommandHandler, type CommandHandlerOptions } from '@rekey/commands';
import { senderOf, type Caller, type CommandEnvelope, type CommandReply } from '@rekey/contracts';
import { applicationIdOf, applicationStream } from '@rekey/domain';
import { CommandTokens, commandSigner, open, seal, type ServiceSender, type SigningKeys } from '@rekey/platform';
import {
  EngineUnavailable,
  SystemClock,
  type CommandRecord,
  type CommandRequest,
  type EventStore,
  type SignCommand,
} from '@rekey/ports';
import { describeOn, signingKeys, temporaryFolder, until } from '@rekey/testing';
import { Kafka, Partitioners, logLevel, type Admin, type KafkaMessage, type Producer } from 'kafkajs';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';

const AUDIENCE = 'rekey';
const PATIENT_MS = 25_000;
const USER: Caller = { type: 'user', name: 'ada', roles: ['admin'], domains: [] };
const domainId = 'acme';
const clientId = 'billing';
const applicationId = applicationIdOf(domainId, clientId);
const ids = { domainId, applicationId };

const sealingPair = () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { publicKey: publicKey.export({ format: 'jwk' }), privateKey: privateKey.export({ format: 'jwk' }) };
};

describeOn(['kafka'], ({ kafka: url }) => {
  const folder = temporaryFolder();
  const clock = new SystemClock();
  const lines: string[] = [];
  const write = (facts: object, message: string): void => void lines.push(`${message} ${JSON.stringify(facts)}`);
  const connection: KafkaConnection = {
    brokers: [url],
    log: { debug: write, info: write, warn: write, error: write },
  };
  const client = new Kafka({ brokers: [url], logLevel: logLevel.NOTHING });
  const [gatewayKeys, partnerKeys, strangerKeys] = [signingKeys(), signingKeys(), signingKeys()];
  const senders: ServiceSender[] = [
    {
      name: 'gateway',
      publicJwks: { keys: [gatewayKeys.publicKey] },
      roles: ['admin', 'manager'],
      domains: [],
      mayActFor: true,
    },
    {
      name: 'partner',
      publicJwks: { keys: [partnerKeys.publicKey] },
      roles: ['manager'],
      domains: [domainId],
      mayActFor: false,
    },
  ];
  const signerOf = (name: string, { privateKey }: SigningKeys, audience = AUDIENCE): SignCommand =>
    commandSigner({ name, privateKey, audience, clock });
  const asPartner = signerOf('partner', partnerKeys);
  const partner: Caller = { type: 'service', name: 'partner', roles: ['manager'], domains: [domainId] };
  const [recipient, commandSeal] = [sealingPair(), sealingPair()];

  let topics: KafkaTopics;
  let admin: Admin;
  let producer: Producer;
  let database: SqliteDatabase;
  let store: EventStore;
  let outcomes: SqliteOutcomes;
  let gateway: KafkaCommandBus;
  let service: KafkaCommandBus;
  let handling: CommandHandlerOptions;

  const addSecret = (description: string): CommandEnvelope => ({
    id: randomUUID(),
    type: 'AddSecret',
    data: { ...ids, secretId: randomUUID(), description },
    recipientKey: recipient.publicKey as never,
  });
  const sendAs = (caller: Caller, command: CommandEnvelope) =>
    gateway.send({ command, caller, correlationId: 'of the request' }, PATIENT_MS);
  const history = () => store.readStream(applicationStream(applicationId));

  /** Builds the record of a foreign sender. The signed command may differ from the one sent. */
  const post = async (
    command: CommandEnvelope,
    sign: SignCommand | string,
    sent: Partial<Record<keyof CommandRecord, Buffer>> = {},
    signed: CommandEnvelope = command,
  ): Promise<string> => {
    const correlationId = Buffer.from(randomUUID());
    const record = {
      value: Buffer.from(JSON.stringify(command)),
      key: Buffer.from('applicationId' in command.data ? command.data.applicationId : command.data.domainId),
      replyTopic: Buffer.from(topics.reply),
      replyPartition: Buffer.from('0'),
      correlationId,
    };
    const authorization =
      typeof sign === 'string' ? sign : await sign({ command: signed, caller: partner, correlationId: 'c' }, record);
    const { value, key, ...headers } = { ...record, ...sent };
    await producer.send({
      topic: topics.commands,
      messages: [
        {
          key,
          value,
          headers: {
            authorization,
            kafka_correlationId: headers.correlationId,
            kafka_replyTopic: headers.replyTopic,
            kafka_replyPartition: headers.replyPartition,
          },
        },
      ],
    });
    return headers.correlationId.toString();
  };
  const replies = new Map<string, CommandReply>();
  const replyTo = async (correlationId: string): Promise<CommandReply> => {
    await until('the reply', () => Promise.resolve(replies.has(correlationId)));
    return replies.get(correlationId) as CommandReply;
  };

  beforeAll(async () => {
    topics = topicsOf(`signed-${randomUUID().slice(0, 8)}.`);
    expect(await ensureTopics({ connection, topics, settings: { reply: { partitions: 1 } } })).toEqual([]);
    admin = client.admin();
    producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await Promise.all([admin.connect(), producer.connect()]);
    database = await SqliteDatabase.open(`${folder.path}/data`);
    store = await SqliteEventStore.open(database, clock);
    outcomes = await SqliteOutcomes.open(database);
    handling = {
      store,
      outcomes,
      clock,
      secretsMax: 100,
      openingKey: commandSeal.privateKey,
      hasher: new Argon2SecretHasher({
        generated: { memoryKiB: 1024, iterations: 1, parallelism: 1 },
        imported: { memoryKiB: 19_456, iterations: 2, parallelism: 1 },
        indexKey: randomBytes(32),
      }),
      effective: () => Promise.resolve(true),
    };
    const { verify } = new CommandTokens(senders, AUDIENCE);
    service = KafkaCommandBus.open({ connection, topics, clock, verify });
    gateway = KafkaCommandBus.open({ connection, topics, clock, sign: signerOf('gateway', gatewayKeys) });
    await service.serve(new CommandHandler(handling).handle);
    await sendAs(USER, { id: randomUUID(), type: 'CreateDomain', data: { domainId, name: 'Acme' } });
    await sendAs(USER, { id: randomUUID(), type: 'RegisterApplication', data: { ...ids, clientId, name: 'Billing' } });
    await tail(topics.reply, (message) => {
      const id = message.headers?.['kafka_correlationId']?.toString() ?? '';
      replies.set(id, JSON.parse(String(message.value)) as CommandReply);
    });
  });
  afterAll(async () => {
    await Promise.all([gateway.close(), service.close()]);
    await Promise.all(tails.map((consumer) => consumer.disconnect()));
    await producer.disconnect();
    await admin.deleteTopics({
      topics: [topics.commands, topics.reply, topics.dead, topics.events, topics.notifications],
    });
    await admin.disconnect();
    await store.close();
    await database.close();
    folder.remove();
  });

  const tails: { disconnect: () => Promise<void> }[] = [];
  const tail = async (topic: string, take: (message: KafkaMessage) => void): Promise<void> => {
    const consumer = client.consumer({ groupId: `tail-${randomUUID()}`, maxWaitTimeInMs: 100 });
    tails.push(consumer);
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => take(message) });
  };

  it('acts for the caller that the gateway names: in events, idempotency, outcomes and permissions', async () => {
    const command = addSecret('gateway');
    const reply = await sendAs(USER, command);
    expect(reply).toMatchObject({ id: command.id, status: 'accepted', replayed: false });
    expect(await open(reply.result?.sealedSecret ?? '', recipient.privateKey)).toMatch(/^rky_/);
    const [event] = (await history()).slice(-1);
    expect(event?.metadata).toMatchObject({ actor: { type: 'user', id: 'ada' }, correlationId: 'of the request' });
    expect((await outcomes.find(command.id))?.caller).toBe(senderOf(USER));
    expect(await sendAs(USER, command)).toMatchObject({ replayed: true });
    const token: Caller = { ...USER, type: 'token' };
    await expect(sendAs(token, command)).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    const viewer: Caller = { ...USER, roles: ['viewer'] };
    await expect(sendAs(viewer, addSecret('viewer'))).rejects.toMatchObject({ code: 'forbidden' });
    const elsewhere: Caller = { ...USER, domains: ['globex'] };
    await expect(sendAs(elsewhere, addSecret('elsewhere'))).rejects.toMatchObject({ code: 'domain_not_found' });
    await expect(sendAs(USER, { ...addSecret('unsealed'), recipientKey: undefined })).rejects.toMatchObject({
      code: 'recipient_key_required',
    });
  });

  it("accepts a partner's commands only in its own name", async () => {
    const command = addSecret('partner');
    expect(await replyTo(await post(command, asPartner))).toMatchObject({ id: command.id, status: 'accepted' });
    const [event] = (await history()).slice(-1);
    expect(event?.metadata).toMatchObject({ actor: { type: 'service', id: 'partner' } });
    const forAda: SignCommand = (request, record) => asPartner({ ...request, caller: USER }, record);
    expect(await replyTo(await post(addSecret('for Ada'), forAda))).toMatchObject({ error: { code: 'forbidden' } });
    const creating: CommandEnvelope = {
      id: randomUUID(),
      type: 'CreateDomain',
      data: { domainId: 'other', name: 'Other' },
    };
    expect(await replyTo(await post(creating, asPartner))).toMatchObject({ error: { code: 'forbidden' } });
    expect(await outcomes.find(creating.id)).toBeNull();
  });

  const bytes = (text: string): Buffer => Buffer.from(text);
  it.each<[string, (command: CommandEnvelope) => Promise<string>]>([
    ['none', (command) => post(command, 'Bearer x.y.z')],
    ['by a stranger’s key', (command) => post(command, signerOf('partner', strangerKeys))],
    [
      'by a known key under another kid',
      (command) =>
        post(command, signerOf('partner', { ...partnerKeys, privateKey: { ...partnerKeys.privateKey, kid: 'other' } })),
    ],
    ['in another’s name', (command) => post(command, signerOf('gateway', partnerKeys))],
    ['for another audience', (command) => post(command, signerOf('partner', partnerKeys, 'elsewhere'))],
    ['over another value', (command) => post(command, asPartner, { value: bytes(`${JSON.stringify(command)} `) })],
    ['over another command’s id', (command) => post(command, asPartner, {}, { ...command, id: randomUUID() })],
    ['over another key', (command) => post(command, asPartner, { key: bytes(domainId) })],
    ['over another correlation id', (command) => post(command, asPartner, { correlationId: bytes(randomUUID()) })],
    [
      'over another spelling of the reply partition',
      (command) => post(command, asPartner, { replyPartition: Buffer.from([0, 0, 0, 0]) }),
    ],
  ])('rejects a command whose token is %s', async (_, attempt) => {
    const before = await history();
    const command = addSecret(randomUUID());
    expect(await replyTo(await attempt(command))).toEqual({
      id: command.id,
      status: 'rejected',
      replayed: false,
      revision: -1,
      position: '',
      error: {
        code: 'unauthenticated',
        message: 'The command has no valid token of a known sender.',
        details: {},
      },
    });
    expect(await outcomes.find(command.id)).toBeNull();
    expect(await history()).toHaveLength(before.length);
  });

  it("executes a record once even if a stranger sends it again, and replies only to the sender's own address", async () => {
    const command = addSecret('copied');
    const first = await post(command, asPartner);
    await replyTo(first);
    const length = (await history()).length;
    let record: KafkaMessage | undefined;
    await tail(topics.commands, (message) => {
      if (message.headers?.['kafka_correlationId']?.toString() === first) record = message;
    });
    await until('the record to be read', () => Promise.resolve(record !== undefined));
    const { key, value, headers } = record as KafkaMessage;
    replies.delete(first);
    await producer.send({ topic: topics.commands, messages: [{ key, value, headers: headers as never }] });
    expect(await replyTo(first)).toMatchObject({ id: command.id, status: 'accepted', replayed: true });
    expect(await history()).toHaveLength(length);
  });

  it('rejects a command whose token had expired on arrival, but returns the outcome of a known one', async () => {
    const old = { nowMs: () => Date.now() - 600_000 } as SystemClock;
    const late = commandSigner({ name: 'partner', privateKey: partnerKeys.privateKey, audience: AUDIENCE, clock: old });
    const command = addSecret('late');
    expect(await replyTo(await post(command, late))).toMatchObject({ error: { code: 'unauthenticated' } });
    expect(await outcomes.find(command.id)).toBeNull();
    expect(await replyTo(await post(command, asPartner))).toMatchObject({ status: 'accepted', replayed: false });
    expect(await replyTo(await post(command, late))).toMatchObject({ status: 'accepted', replayed: true });
  });

  it('waits while the store is unavailable, and replies once', async () => {
    const group = topicsOf(`away-${randomUUID().slice(0, 8)}.`);
    await ensureTopics({ connection, topics: group });
    let away = true;
    let attempts = 0;
    const { verify } = new CommandTokens(senders, AUDIENCE);
    const serving = KafkaCommandBus.open({ connection, topics: group, clock, verify });
    const sending = KafkaCommandBus.open({ connection, topics: group, clock, sign: signerOf('gateway', gatewayKeys) });
    const flaky = Object.assign(Object.create(store) as EventStore, {
      append: (...given: Parameters<EventStore['append']>) =>
        away ? Promise.reject(new EngineUnavailable('event store')) : store.append(...given),
    });
    const over = new CommandHandler({ ...handling, store: flaky });
    await serving.serve((request: CommandRequest) => {
      attempts++;
      return over.handle(request);
    });
    const command = addSecret('away');
    const answer = sending.send({ command, caller: USER, correlationId: 'c' }, PATIENT_MS);
    await until('three attempts', () => Promise.resolve(attempts >= 3));
    away = false;
    expect(await answer).toMatchObject({ status: 'accepted', replayed: false });
    await Promise.all([serving.close(), sending.close()]);
    await admin.deleteTopics({ topics: [group.commands, group.reply, group.dead, group.events, group.notifications] });
  });

  it('leaves no plaintext value in a topic or log line, whether generated, supplied sealed or sent in plaintext', async () => {
    const made = await sendAs(USER, addSecret('made'));
    const value = await open(made.result?.sealedSecret ?? '', recipient.privateKey);
    const brought = 'a value that a person chose';
    const register = (firstSecret: object, of: string): CommandEnvelope => ({
      id: randomUUID(),
      type: 'RegisterApplication',
      data: {
        domainId,
        applicationId: applicationIdOf(domainId, of),
        clientId: of,
        name: of,
        firstSecret: { secretId: randomUUID(), description: 'Default', ...firstSecret },
      },
    });
    const sealed = register({ sealedValue: await seal(brought, commandSeal.publicKey) }, 'sealed');
    expect(await sendAs(USER, sealed)).toMatchObject({ status: 'accepted' });
    const clear = register({ value: 'sent in clear by mistake' }, 'clear');
    await expect(sendAs(USER, clear)).rejects.toMatchObject({ code: 'invalid_request' });
    await post(clear, asPartner, { replyTopic: bytes('nowhere.at.all') });
    const kept: string[] = [];
    for (const topic of [topics.reply, topics.dead, topics.events, topics.notifications])
      await tail(topic, ({ key, value: text, headers }) =>
        kept.push(`${String(key)} ${String(text)} ${JSON.stringify(headers)}`),
      );
    await until('the dead letter', () => Promise.resolve(kept.some((text) => text.includes('rekey-reason'))));
    await until('the replies', () => Promise.resolve(kept.some((text) => text.includes(made.id))));
    for (const secret of [value, brought, 'sent in clear']) {
      expect(kept.join()).not.toContain(secret);
      expect(lines.join()).not.toContain(secret);
    }
    expect(await outcomes.find(clear.id)).toBeNull();
    const commands: string[] = [];
    await tail(topics.commands, (message) => commands.push(String(message.value)));
    await until('the commands to be read', () => Promise.resolve(commands.some((text) => text.includes(clear.id))));
    for (const secret of [value, brought]) expect(commands.join()).not.toContain(secret);
  });
});
