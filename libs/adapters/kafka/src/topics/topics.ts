import { ConfigResourceTypes, type Admin, type ITopicConfig } from 'kafkajs';
import { kafkaClient, type KafkaConnection } from '../connection';
import { AuthFailure, publicCause, isMissingTopic, isAuthFailure } from '../failures';

/** The names of all that Rekey has in Kafka. */
export interface KafkaTopics {
  readonly commands: string;
  /** Where Rekey's own senders read their replies. */
  readonly reply: string;
  readonly dead: string;
  readonly events: string;
  readonly notifications: string;
  /** Group of the command-services. */
  readonly commandGroup: string;
  /** Begins the groups of senders, one for each process. */
  readonly replyGroup: string;
}

/** Names with a prefix before each (`kafka.topicPrefix`), so that several installations can share brokers. */
export const topicsOf = (prefix = ''): KafkaTopics => ({
  commands: `${prefix}rekey.commands`,
  reply: `${prefix}rekey.commands.reply`,
  dead: `${prefix}rekey.commands.dead`,
  events: `${prefix}rekey.events`,
  notifications: `${prefix}rekey.notifications`,
  commandGroup: `${prefix}rekey.command-service`,
  replyGroup: `${prefix}rekey.replies`,
});

/** `kafka.replyTopics` where the configuration says nothing. */
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
  /** Copies of each topic; from 3 on, a record is acknowledged when two have it. Default: the broker's. */
  readonly replicationFactor?: number;
  readonly settings?: Partial<Readonly<Record<TopicName, Partial<TopicSettings>>>>;
  /** For all of it; default 30,000. */
  readonly timeoutMs?: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const BROKER_DEFAULT = -1;

/** Outcomes of commands must be kept longer than the commands. */
export const TOPIC_SETTINGS: Readonly<Record<TopicName, TopicSettings>> = {
  commands: { partitions: 12, retentionMs: 7 * DAY_MS },
  reply: { partitions: 12, retentionMs: HOUR_MS },
  dead: { partitions: 1, retentionMs: 30 * DAY_MS },
  events: { partitions: 12, retentionMs: 7 * DAY_MS },
  notifications: { partitions: 3, retentionMs: 7 * DAY_MS },
};

/** The client reads gzip only: so the broker unpacks records, whatever their senders compressed them with. */
const UNPACKED = { 'compression.type': 'uncompressed' };
/** What topics that Rekey reads must have; of commands also the broker's time, which no sender can set. */
const NEEDED: Readonly<Partial<Record<TopicName, Readonly<Record<string, string>>>>> = {
  commands: { 'message.timestamp.type': 'LogAppendTime', ...UNPACKED },
  reply: UNPACKED,
};

const TIMEOUT_MS = 30_000;
const AGAIN_MS = 200;

/**
 * Makes the topics that are missing; those that are there are left as they are. Answers what is wrong with those that Rekey
 * reads, for the log. Throws where it could not be done in time, and `AuthFailure` as soon as the brokers do not let it in.
 */
export const ensureTopics = async (options: EnsureTopicsOptions): Promise<readonly string[]> => {
  const admin = kafkaClient(options.connection, 'admin').admin();
  const deadline = Date.now() + (options.timeoutMs ?? TIMEOUT_MS);
  try {
    for (;;)
      try {
        await admin.connect();
        await createMissing(admin, options);
        return await complaints(admin, options.topics);
      } catch (error) {
        if (isAuthFailure(error)) throw new AuthFailure(error);
        // New topics have no leader for a moment, and a broker may be on its way up.
        if (Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
  } finally {
    await admin.disconnect();
  }
};

const createMissing = async (
  admin: Admin,
  { topics, replicationFactor, settings }: EnsureTopicsOptions,
): Promise<void> => {
  const there = new Set(await admin.listTopics());
  const names = (Object.keys(TOPIC_SETTINGS) as TopicName[]).filter((name) => !there.has(topics[name]));
  if (names.length === 0) return;
  const wanted = names.map((name): ITopicConfig => {
    const { partitions, retentionMs } = { ...TOPIC_SETTINGS[name], ...settings?.[name] };
    const config = {
      'cleanup.policy': 'delete',
      'retention.ms': String(retentionMs),
      ...NEEDED[name],
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

const complaints = async (admin: Admin, topics: KafkaTopics): Promise<string[]> => {
  const needs = Object.entries(NEEDED) as [TopicName, Readonly<Record<string, string>>][];
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
        : [`${topics[name]} has ${configName}=${configValue}, and must have ${needed[configName]}.`],
    );
  });
};

const KNOWN_FOR_MS = 30_000;
/** However many ask about topics or partitions that are not there, the brokers are asked no more often. */
const ANEW_MS = 2_000;
const KNOWN_MAX = 1_000;

/** Knows which topics there are, asking the brokers now and then. */
export class TopicDirectory {
  private readonly closing = new AbortController();
  private readonly admin: Admin;
  private readonly known = new Map<string, { readonly partitions: number; readonly askedMs: number }>();
  private readonly asking = new Map<string, Promise<number>>();

  constructor(connection: KafkaConnection) {
    this.admin = kafkaClient(connection, 'admin', this.closing.signal).admin();
  }

  /** How many partitions a topic has; 0: there is none. `anew`: as of a moment ago at most. Throws where no broker says. */
  async partitionsOf(topic: string, { anew = false } = {}): Promise<number> {
    const known = this.known.get(topic);
    const oldestMs = Date.now() - (anew || known?.partitions === 0 ? ANEW_MS : KNOWN_FOR_MS);
    if (known && known.askedMs > oldestMs) return known.partitions;
    const before = this.asking.get(topic);
    if (before) return before;
    const asked = this.ask(topic).finally(() => this.asking.delete(topic));
    this.asking.set(topic, asked);
    return asked;
  }

  /** Asks again the next time. */
  forget(topic: string): void {
    this.known.delete(topic);
  }

  /** The end of a partition: where the next record will be. */
  async endOf(topic: string, partition: number): Promise<string | undefined> {
    await this.admin.connect();
    const offsets = await this.admin.fetchTopicOffsets(topic);
    return offsets.find((each) => each.partition === partition)?.high;
  }

  /** Whether all of these topics are there; public text. */
  async status(topics: readonly string[]): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    try {
      await this.admin.connect();
      const there = new Set(await this.admin.listTopics());
      const missing = topics.filter((topic) => !there.has(topic));
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
    if (this.known.size >= KNOWN_MAX) this.known.clear();
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
