import { NativeEngine, describeOn, kafkaCluster, type KafkaNode } from '@rekey/testing';
import type { Admin } from 'kafkajs';
import { kafkaClient } from './connection';
import type { KafkaCommandBus } from './kafka-command-bus';
import { Effects, connectionTo, openBus, until } from './kafka.testing';
import { Load, PATIENT_MS } from './load.testing';
import { ensureTopics, topicsOf } from './topics/topics';

/** Three brokers are started, killed and started again, on a busy machine. */
jest.setTimeout(300_000);
const GROUPS = '__consumer_offsets';

describeOn(['kafka'], () => {
  if (!NativeEngine.isAvailable('kafka')) {
    it.skip('not run: clusters are started by deploy/native/kafka, which needs Java and Maven', () => undefined);
    return;
  }

  let nodes: KafkaNode[];
  let admin: Admin;
  const buses: KafkaCommandBus[] = [];
  const topics = topicsOf('cluster.');

  beforeAll(async () => {
    nodes = await kafkaCluster();
    await Promise.all(nodes.map((node) => node.start()));
  });
  afterAll(async () => {
    await Promise.all(buses.map((bus) => bus.close()));
    await admin?.disconnect();
    await Promise.all(nodes.map((node) => node.remove()));
  });

  /** Of each partition of a topic: who leads it, and who is in sync. */
  const partitionsOf = async (topic: string): Promise<{ leader: number; inSync: number[] }[]> => {
    const { topics: found } = await admin.fetchTopicMetadata({ topics: [topic] });
    return (found[0]?.partitions ?? []).map(({ leader, isr }) => ({ leader, inSync: isr }));
  };
  const leadersOf = async (topic: string): Promise<number[]> => (await partitionsOf(topic)).map(({ leader }) => leader);
  /** How many commands the group need not be given again. */
  const committed = async (): Promise<number> => {
    const [found] = await admin.fetchOffsets({ groupId: topics.commandGroup, topics: [topics.commands] });
    return (found?.partitions ?? []).reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
  };
  /** Resolves when a condition holds; a broker that is asked for it may go meanwhile. */
  const untilAsked = (what: string, holds: () => Promise<boolean>, timeoutMs = PATIENT_MS): Promise<void> =>
    until(what, () => holds().catch(() => false), timeoutMs);
  const isWhole = async (): Promise<boolean> => {
    const all = await Promise.all([topics.commands, topics.reply, GROUPS].map(partitionsOf));
    return all.flat().every(({ inSync }) => inSync.length === nodes.length);
  };
  const nodeOf = (id: number | undefined): KafkaNode => {
    const node = nodes[(id ?? 0) - 1];
    if (!node) throw new Error(`There is no node ${id}.`);
    return node;
  };

  it('loses no command and executes none twice when leaders and the group coordinator are killed and come back', async () => {
    const connection = { ...connectionTo(''), brokers: nodes.map(({ url }) => url) };
    const few = { partitions: 3 };
    const settings = { commands: few, reply: few, events: few, notifications: few };
    expect(await ensureTopics({ connection, topics, settings, replicationFactor: 3, timeoutMs: PATIENT_MS })).toEqual(
      [],
    );
    admin = kafkaClient(connection, 'consumer').admin();
    await admin.connect();
    expect((await partitionsOf(topics.commands)).map(({ inSync }) => inSync.length)).toEqual([3, 3, 3]);

    const effects = new Effects();
    // Two services and two senders, so that partitions may move from one to the other.
    const [one, two] = [openBus(connection, topics), openBus(connection, topics)];
    buses.push(one, two);
    for (const bus of buses) {
      await bus.serve(effects.handle);
      await until('it is ready', async () => (await bus.status()).ready, PATIENT_MS);
    }
    const loads = buses.map((bus) => new Load(bus, 5_000));
    const makesProgress = (): Promise<unknown> => Promise.all(loads.map((load) => load.makesProgress()));
    await makesProgress();

    for (const topic of [GROUPS, topics.commands]) {
      await untilAsked('all copies are in sync', isWhole);
      const leader = (await partitionsOf(topic))[0]?.leader;
      await nodeOf(leader).kill();
      await untilAsked('others lead', async () => (await leadersOf(topic)).every((id) => id !== leader));
      const enough = effects.done.length + 200;
      // Long before the client gives up a coordinator that is away.
      await untilAsked('commands are done and committed without it', async () => (await committed()) > enough, 40_000);
      await makesProgress();
      await nodeOf(leader).start();
      await makesProgress();
    }
    for (const load of loads) await load.end(effects);
    await untilAsked('all copies are in sync', isWhole);
    for (const bus of buses) await until('it is ready', async () => (await bus.status()).ready, PATIENT_MS);
  });
});
