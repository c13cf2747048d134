import { RekeyError, type Caller } from '@rekey/contracts';
import { SystemClock, type SignCommand, type VerifyCommand } from '@rekey/ports';
import { createHash, randomUUID } from 'node:crypto';
import { clientOf, type KafkaConnection, type KafkaLog } from './connection';
import { KafkaCommandBus, type KafkaCommandBusOptions } from './kafka-command-bus';
import { ensureTopics, topicsOf, type KafkaTopics } from './topics';

/** Log lines, for tests that look into them. */
export const logged = (): KafkaLog & { readonly lines: string[] } => {
  const lines: string[] = [];
  const write = (facts: object, message: string): void => {
    const err = (facts as { err?: unknown }).err;
    lines.push(`${message} ${JSON.stringify(facts)} ${err instanceof Error ? String(err.stack) : ''}`);
  };
  return { lines, debug: write, info: write, warn: write, error: write };
};

export const connectionTo = (url: string, log: KafkaLog = logged()): KafkaConnection => ({
  brokers: [url],
  log,
  clientId: 'rekey-test',
});

/** Topics that no other test has. */
export const madeTopics = async (connection: KafkaConnection, partitions = 3): Promise<KafkaTopics> => {
  const topics = topicsOf(`test-${randomUUID().slice(0, 8)}.`);
  const settings = { partitions };
  await ensureTopics({
    connection,
    topics,
    settings: { commands: settings, reply: settings, events: settings, notifications: settings },
  });
  return topics;
};

export const dropTopics = async (connection: KafkaConnection, topics: KafkaTopics): Promise<void> => {
  const admin = clientOf(connection, 'admin').admin();
  await admin.connect();
  const { commands, reply, dead, events, notifications } = topics;
  const there = new Set(await admin.listTopics());
  await admin.deleteTopics({
    topics: [commands, reply, dead, events, notifications].filter((topic) => there.has(topic)),
  });
  await admin.disconnect();
};

const hashOf = (value: Uint8Array): string => createHash('sha256').update(value).digest('hex');

/** Stands for the tokens of libs/platform: names the caller and holds the value, and needs no keys. */
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
  return { caller, correlationId, fresh: true };
};

export const openBus = (
  connection: KafkaConnection,
  topics: KafkaTopics,
  more: Partial<KafkaCommandBusOptions> = {},
): KafkaCommandBus => KafkaCommandBus.open({ connection, topics, clock: new SystemClock(), sign, verify, ...more });

/** Resolves as soon as a condition holds. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> => {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`Not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
