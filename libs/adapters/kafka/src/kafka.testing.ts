import { RekeyError, type Caller, type CommandReply } from '@rekey/contracts';
import { SystemClock, type CommandRequest, type SignCommand, type VerifyCommand } from '@rekey/ports';
import { until as waitUntil } from '@rekey/testing';
import { createHash, randomUUID } from 'node:crypto';
import { Partitioners, type Consumer, type KafkaMessage, type Message, type Producer } from 'kafkajs';
import { CONSUMER_OPTIONS, kafkaClient, type KafkaConnection, type KafkaLog } from './connection';
import { KafkaCommandBus, type KafkaCommandBusOptions } from './kafka-command-bus';
import { ensureTopics, topicsOf, type KafkaTopics } from './topics/topics';

/** A log that keeps its lines. `warnings` are the lines of warnings and errors. */
export const recordingLog = (): KafkaLog & { readonly lines: string[]; readonly warnings: string[] } => {
  const lines: string[] = [];
  const warnings: string[] = [];
  const lineOf = (facts: object, message: string): string => {
    const err = (facts as { err?: unknown }).err;
    return `${message} ${JSON.stringify(facts)} ${err instanceof Error ? String(err.stack) : ''}`;
  };
  const write = (facts: object, message: string): void => void lines.push(lineOf(facts, message));
  const warn = (facts: object, message: string): void => {
    lines.push(lineOf(facts, message));
    warnings.push(lineOf(facts, message));
  };
  return { lines, warnings, debug: write, info: write, warn, error: warn };
};

export const connectionTo = (url: string, log: KafkaLog = recordingLog()): KafkaConnection => ({
  brokers: [url],
  log,
  clientId: 'rekey-test',
});

/** Creates topics that no other test uses. */
export const createTopics = async (
  connection: KafkaConnection,
  partitions = 3,
  topics = topicsOf(`test-${randomUUID().slice(0, 8)}.`),
): Promise<KafkaTopics> => {
  const settings = { partitions };
  await ensureTopics({
    connection,
    topics,
    settings: { commands: settings, reply: settings, events: settings, notifications: settings },
  });
  return topics;
};

export const deleteTopics = async (connection: KafkaConnection, topics: KafkaTopics): Promise<void> => {
  const admin = kafkaClient(connection, 'admin').admin();
  await admin.connect();
  const { commands, reply, dead, events, notifications } = topics;
  const there = new Set(await admin.listTopics());
  await admin.deleteTopics({
    topics: [commands, reply, dead, events, notifications].filter((topic) => there.has(topic)),
  });
  await admin.disconnect();
};

const hashOf = (value: Uint8Array): string => createHash('sha256').update(value).digest('hex');

/** Replaces the tokens of libs/platform: contains the caller and a hash of the value, and needs no keys. */
export const sign: SignCommand = async ({ caller, correlationId }, { value }) =>
  `Bearer ${Buffer.from(JSON.stringify({ caller, correlationId, hash: hashOf(value) })).toString('base64url')}`;

export const verify: VerifyCommand = async (authorization, { value }) => {
  const text = Buffer.from(authorization?.slice('Bearer '.length) ?? '', 'base64url').toString('utf8');
  const { caller, correlationId, hash } = JSON.parse(text || '{}') as {
    caller: Caller;
    correlationId: string;
    hash: string;
  };
  if (hash !== hashOf(value)) throw new RekeyError('unauthenticated', 'Not signed.');
  return { caller, fresh: true, ...(correlationId !== '' && { correlationId }) };
};

export const openBus = (
  connection: KafkaConnection,
  topics: KafkaTopics,
  more: Partial<KafkaCommandBusOptions> = {},
): KafkaCommandBus => KafkaCommandBus.open({ connection, topics, clock: new SystemClock(), sign, verify, ...more });

/** Collects the messages of a topic from its beginning. */
export class TopicTail {
  readonly messages: (KafkaMessage & { readonly partition: number })[] = [];

  private constructor(private readonly consumer: Consumer) {}

  static async of(connection: KafkaConnection, topic: string): Promise<TopicTail> {
    const consumer = kafkaClient(connection, 'consumer').consumer({
      ...CONSUMER_OPTIONS,
      groupId: `tail-${randomUUID()}`,
    });
    const tail = new TopicTail(consumer);
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ message, partition }) => void tail.messages.push({ ...message, partition }),
    });
    return tail;
  }

  /** Returns a header of each message as text. */
  headers(name: string): (string | undefined)[] {
    return this.messages.map(({ headers }) => headers?.[name]?.toString());
  }

  close(): Promise<void> {
    return this.consumer.disconnect();
  }
}

/** A producer that is not Rekey's. */
export const foreignProducer = async (connection: KafkaConnection): Promise<Producer> => {
  const producer = kafkaClient(connection, 'producer').producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  return producer;
};

/** A command of a sender other than Rekey, signed for `verify`. */
export const foreignCommand = async (
  command: Readonly<Record<string, unknown>> & { readonly id: string },
  more: Partial<Message> & { readonly key?: string } = {},
): Promise<Message> => {
  const data = command['data'] as { applicationId?: string; domainId?: string } | undefined;
  const value = Buffer.from(JSON.stringify(command));
  const request = { command, caller: CALLER, correlationId: '' } as unknown as CommandRequest;
  return {
    key: data?.applicationId ?? data?.domainId ?? '',
    value,
    ...more,
    headers: { authorization: await sign(request, { value }), ...more.headers },
  };
};

export const CALLER: Caller = { type: 'service', name: 'billing', roles: ['manager'], domains: ['shop'] };

export const exampleCommand = (applicationId: string = randomUUID(), name = 'Checkout') =>
  ({ id: randomUUID(), type: 'UpdateApplication', data: { domainId: 'shop', applicationId, name } }) as const;

export const acceptedReply = ({ command }: CommandRequest, revision = 0): CommandReply => ({
  id: command.id,
  status: 'accepted',
  replayed: false,
  revision,
  position: '00000000000000000001',
});

/** Replaces the stores that command-services share: executes each command once. */
export class Effects {
  /** Command ids in the order of execution. */
  readonly done: string[] = [];
  private readonly keys = new Map<string, string[]>();
  private readonly known = new Set<string>();

  /** Returns the ids of the commands executed for a key. */
  of(key: string): string[] {
    return this.keys.get(key) ?? [];
  }

  readonly handle = async (request: CommandRequest): Promise<CommandReply> => {
    const { id, data } = request.command;
    const key = 'applicationId' in data ? data.applicationId : data.domainId;
    await new Promise((resolve) => setImmediate(resolve));
    const replayed = this.known.has(id);
    if (!replayed) {
      this.known.add(id);
      this.done.push(id);
      this.keys.set(key, [...this.of(key), id]);
    }
    return { ...acceptedReply(request), replayed };
  };
}

/** Resolves as soon as a condition holds. */
export const until = async (what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 60_000): Promise<void> =>
  void (await waitUntil(what, holds, { timeoutMs }));
