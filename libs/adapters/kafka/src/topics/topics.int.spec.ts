import { describeOn } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { ConfigResourceTypes, type Admin } from 'kafkajs';
import { kafkaClient } from '../connection';
import { connectionTo, deleteTopics, until } from '../kafka.testing';
import { TOPIC_SETTINGS, TopicDirectory, ensureTopics, topicsOf, type KafkaTopics, type TopicName } from './topics';

describeOn(['kafka'], ({ kafka: url }) => {
  const connection = connectionTo(url);
  let admin: Admin;
  let prefix: string;
  let topics: KafkaTopics;

  beforeAll(async () => {
    admin = kafkaClient(connection, 'admin').admin();
    await admin.connect();
  });
  beforeEach(() => {
    prefix = `of-topics-${randomUUID().slice(0, 8)}.`;
    topics = topicsOf(prefix);
  });
  afterEach(() => deleteTopics(connection, topics));
  afterAll(() => admin.disconnect());

  const configOf = async (topic: string): Promise<Record<string, string>> => {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
    });
    return Object.fromEntries(
      resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]) ?? [],
    );
  };

  it('are created with their settings if they are missing', async () => {
    expect(await ensureTopics({ connection, topics, settings: { dead: { partitions: 2 } } })).toEqual([]);
    for (const name of Object.keys(TOPIC_SETTINGS) as TopicName[]) {
      const config = await configOf(topics[name]);
      expect(config).toMatchObject({
        'cleanup.policy': 'delete',
        'retention.ms': String(TOPIC_SETTINGS[name].retentionMs),
      });
      const { topics: found } = await admin.fetchTopicMetadata({ topics: [topics[name]] });
      expect(found[0]?.partitions).toHaveLength(name === 'dead' ? 2 : TOPIC_SETTINGS[name].partitions);
    }
    expect(await configOf(topics.commands)).toMatchObject({
      'message.timestamp.type': 'LogAppendTime',
      'compression.type': 'uncompressed',
    });
    expect(await configOf(topics.reply)).toMatchObject({ 'compression.type': 'uncompressed' });
    expect(await configOf(topics.events)).toMatchObject({ 'message.timestamp.type': 'CreateTime' });
  });

  it('are left unchanged if they exist, and wrong settings are reported', async () => {
    await admin.createTopics({ topics: [{ topic: topics.commands, numPartitions: 1 }], waitForLeaders: false });
    await until('it is known', async () => (await admin.listTopics()).includes(topics.commands));
    const wrong = await ensureTopics({ connection, topics });
    expect(wrong).toEqual([
      `${topics.commands} has compression.type=producer. It must be uncompressed.`,
      `${topics.commands} has message.timestamp.type=CreateTime. It must be LogAppendTime.`,
    ]);
    const { topics: found } = await admin.fetchTopicMetadata({ topics: [topics.commands] });
    expect(found[0]?.partitions).toHaveLength(1);
  });

  it('can be created by several processes at once', async () => {
    await Promise.all(Array.from({ length: 4 }, () => ensureTopics({ connection, topics })));
    expect(await admin.listTopics()).toEqual(expect.arrayContaining([topics.commands, topics.notifications]));
  });

  it('are named by status if they are missing; the address of an unavailable broker is not', async () => {
    const directory = new TopicDirectory(connection);
    expect(await directory.status([topics.commands, topics.dead])).toEqual({
      ready: false,
      cause: `missing topics: ${topics.commands}, ${topics.dead}`,
    });
    expect(await directory.partitionsOf(topics.dead)).toBe(0);
    await ensureTopics({ connection, topics });
    expect(await directory.status([topics.commands, topics.dead])).toEqual({ ready: true });
    await directory.close();
    const away = new TopicDirectory({ ...connection, brokers: ['127.0.0.1:1'] });
    expect(await away.status([topics.commands])).toEqual({ ready: false, cause: 'No broker answers.' });
    await expect(away.partitionsOf(topics.commands)).rejects.toThrow();
    await expect(
      ensureTopics({ connection: { ...connection, brokers: ['127.0.0.1:1'] }, topics, timeoutMs: 100 }),
    ).rejects.toThrow();
    await away.close();
  });
});
