import { ConfigResourceTypes, type Admin, type ITopicConfig } from 'kafkajs';
import { kafkaClient, type KafkaConnection } from '../connection';
import { AuthFailure, publicCause, isMissingTopic, isAuthFailure } from '../failures';

/** Names of Rekey's topics and consumer groups. */
export interface KafkaTopics {
  readonly commands: string;
  /** Replies to Rekey's own senders. */
  readonly reply: string;
  readonly dead: string;
  readonly events: string;
  readonly notifications: string;
  /** Consumer group of the command services. */
  readonly commandGroup: string;
  /** Prefix of the consumer groups of senders, one per process. */
  readonly replyGroup: string;
}

/** Returns the names with a prefix (`kafka.topicPrefix`), so that several installations can share brokers. */
export const topicsOf = (prefix = ''): KafkaTopics => ({
  commands: `${prefix}rekey.commands`,
  reply: `${prefix}rekey.commands.reply`,
  dead: `${prefix}rekey.commands.dead`,
  events: `${prefix}rekey.events`,
  notifications: `${prefix}rekey.notifications`,
  commandGroup: `${prefix}rekey.command-service`,
  replyGroup: `${prefix}rekey.replies`,
});

/** Default of `kafka.replyTopics`. */
export const defaultReplyTopics = (prefix = ''): string[] => [
  `${prefix}rekey.commands.reply`,
  `${prefix}rekey.replies.*`,
];

export type TopicName = 'commands' | 'reply' | 'dead' | 'events' | 'notifications';

export interface TopicSettings {
  readonly partitions: number;
  readonly retentionMs: number;
}

export interface EnsureTopicsOptions {
  readonly connection: KafkaConnection;
  readonly topics: KafkaTopics;
  /** Replicas of each topic. With 3 or more, two must acknowledge a record. Default: the brokers' setting. */
  readonly replicationFactor?: number;
  readonly settings?: Partial<Readonly<Record<TopicName, Partial<TopicSettings>>>>;
  /** Total timeout, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const BROKER_DEFAULT = -1;

/** Defaults. Outcomes of commands must be kept longer than the commands. */
export const TOPIC_SETTINGS: Readonly<Record<TopicName, TopicSettings>> = {
  commands: { partitions: 12, retentionMs: 7 * DAY_MS },
  reply: { partitions: 12, retentionMs: HOUR_MS },
  dead: { partitions: 1, retentionMs: 30 * DAY_MS },
  events: { partitions: 12, retentionMs: 7 * DAY_MS },
  notifications: { partitions: 3, retentionMs: 7 * DAY_MS },
};

/** kafkajs only reads gzip, so the broker decompresses records, whatever codec their senders use. */
const UNCOMPRESSED = { 'compression.type': 'uncompressed' };
/** Required settings of the topics that Rekey reads. Commands need the broker's timestamps, which no sender can forge. */
const REQUIRED: Readonly<Partial<Record<TopicName, Readonly<Record<string, string>>>>> = {
  commands: { 'message.timestamp.type': 'LogAppendTime', ...UNCOMPRESSED },
  reply: UNCOMPRESSED,
};

const TIMEOUT_MS = 30_000;
const RETRY_MS = 200;

/**
 * Creates missing topics and leaves existing ones unchanged. Returns what is wrong with the settings of the topics that
 * Rekey reads, for the log. Throws on timeout, and `AuthFailure` at once if authentication or TLS fails.
 */
export const ensureTopics = async (options: EnsureTopicsOptions): Promise<readonly string[]> => {
  const admin = kafkaClient(options.connection, 'admin').admin();
  const deadline = Date.now() + (options.timeoutMs ?? TIMEOUT_MS);
  try {
    for (;;)
      try {
        await admin.connect();
        await createMissing(admin, options);
        return await wrongSettings(admin, options.topics);
      } catch (error) {
        if (isAuthFailure(error)) throw new AuthFailure(error);
        // New topics have no leader for a moment, and a broker may still be starting.
        if (Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
  } finally {
    await admin.disconnect();
  }
};

const createMissing = async (
  admin: Admin,
  { topics, replicationFactor, settings }: EnsureTopicsOptions,
): Promise<void> => {
  const existing = new Set(await admin.listTopics());
  const names = (Object.keys(TOPIC_SETTINGS) as TopicName[]).filter((name) => !existing.has(topics[name]));
  if (names.length === 0) return;
  const wanted = names.map((name): ITopicConfig => {
    const { partitions, retentionMs } = { ...TOPIC_SETTINGS[name], ...settings?.[name] };
    const config = {
      'cleanup.policy': 'delete',
      'retention.ms': String(retentionMs),
      ...REQUIRED[name],
      ...((replicationFactor ?? 0) >= 3 && { 'min.insync.replicas': '2' }),
    };
    return {
      topic: topics[name],
      numPartitions: partitions,
      replicationFactor: replicationFactor ?? BROKER_DEFAULT,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    };
  });
  await admin.createTopics({ topics: wanted, waitForLeaders: true });
};

const wrongSettings = async (admin: Admin, topics: KafkaTopics): Promise<string[]> => {
  const needs = Object.entries(REQUIRED) as [TopicName, Readonly<Record<string, string>>][];
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: needs.map(([name, needed]) => ({
      type: ConfigResourceTypes.TOPIC,
      name: topics[name],
      configNames: Object.keys(needed),
    })),
  });
  return needs.flatMap(([name, needed]) => {
    const entries = resources.find(({ resourceName }) => resourceName === topics[name])?.configEntries ?? [];
    return entries.flatMap(({ configName, configValue }) =>
      needed[configName] === configValue
        ? []
        : [`${topics[name]} has ${configName}=${configValue}. It must be ${needed[configName]}.`],
    );
  });
};

const CACHED_FOR_MS = 30_000;
/** Shortest interval of requests about missing topics or partitions, however many callers ask. */
const REFRESH_MS = 2_000;
const CACHED_MAX = 1_000;

/** Caches which topics exist and how many partitions they have. */
export class TopicDirectory {
  private readonly closing = new AbortController();
  private readonly admin: Admin;
  private readonly known = new Map<string, { readonly partitions: number; readonly askedMs: number }>();
  private readonly asking = new Map<string, Promise<number>>();

  constructor(connection: KafkaConnection) {
    this.admin = kafkaClient(connection, 'admin', this.closing.signal).admin();
  }

  /** Returns the number of partitions, 0 for a missing topic. `fresh`: at most two seconds old. Throws if no broker answers. */
  async partitionsOf(topic: string, { fresh = false } = {}): Promise<number> {
    const known = this.known.get(topic);
    const oldestMs = Date.now() - (fresh || known?.partitions === 0 ? REFRESH_MS : CACHED_FOR_MS);
    if (known && known.askedMs > oldestMs) return known.partitions;
    const before = this.asking.get(topic);
    if (before) return before;
    const asked = this.ask(topic).finally(() => this.asking.delete(topic));
    this.asking.set(topic, asked);
    return asked;
  }

  /** Makes the next call ask the brokers. */
  forget(topic: string): void {
    this.known.delete(topic);
  }

  /** Returns the end offset of a partition, where the next record will be. */
  async endOf(topic: string, partition: number): Promise<string | undefined> {
    await this.admin.connect();
    const offsets = await this.admin.fetchTopicOffsets(topic);
    return offsets.find((each) => each.partition === partition)?.high;
  }

  /** Returns whether all of these topics exist. The cause is public text. */
  async status(topics: readonly string[]): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    try {
      await this.admin.connect();
      const existing = new Set(await this.admin.listTopics());
      const missing = topics.filter((topic) => !existing.has(topic));
      return missing.length === 0 ? { ready: true } : { ready: false, cause: `missing topics: ${missing.join(', ')}` };
    } catch (error) {
      return { ready: false, cause: publicCause(error) };
    }
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.admin.disconnect();
  }

  private async ask(topic: string): Promise<number> {
    const partitions = await this.count(topic);
    if (this.known.size >= CACHED_MAX) this.known.clear();
    this.known.set(topic, { partitions, askedMs: Date.now() });
    return partitions;
  }

  private async count(topic: string): Promise<number> {
    try {
      await this.admin.connect();
      const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] });
      return topics.find(({ name }) => name === topic)?.partitions.length ?? 0;
    } catch (error) {
      if (isMissingTopic(error)) return 0;
      throw error;
    }
  }
}
