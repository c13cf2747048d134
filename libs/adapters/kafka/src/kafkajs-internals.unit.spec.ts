import { Kafka, KafkaJSProtocolError } from 'kafkajs';
import { readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What this library relies on in kafkajs beyond its documented API. Each test names the code that relies on it: when one
 * fails after an upgrade, change that code first, then the version below and in package.json and libs/client/package.json.
 */
const VERSION = '2.2.4';

const dependenciesOf = (file: string): Record<string, string> =>
  (
    JSON.parse(readFileSync(path.join(__dirname, '../../../..', file), 'utf8')) as {
      dependencies: Record<string, string>;
    }
  ).dependencies;
const internal = <T extends object>(module: string): T => jest.requireActual<T>(`kafkajs/src/${module}`);
const silent = { namespace: () => silent, error: jest.fn(), warn: jest.fn(), info: jest.fn(), debug: jest.fn() };

describe('internals of kafkajs', () => {
  it.each(['package.json', 'libs/client/package.json'])('are those of the version that %s pins', (file) => {
    const { version } = jest.requireActual<{ version: string }>('kafkajs/package.json');
    expect([dependenciesOf(file)['kafkajs'], version]).toEqual([VERSION, VERSION]);
  });

  it.each([
    [0, 0],
    [8, 1],
  ])(
    'give each message the timestamp type of its batch as batchContext.timestampType (attributes %i), for appendedAtMs in receiving/command-processor.ts',
    async (attributes, timestampType) => {
      const Encoder = internal<new () => { writeEncoder: (part: unknown) => { buffer: Buffer } }>('protocol/encoder');
      const Decoder = internal<new (buffer: Buffer) => unknown>('protocol/decoder');
      const { RecordBatch } = internal<{ RecordBatch: (batch: object) => Promise<unknown> }>('protocol/recordBatch/v0');
      const record = internal<(record: object) => unknown>('protocol/recordBatch/record/v0');
      const decode = internal<(decoder: unknown) => Promise<{ records: object[] }>>('protocol/recordBatch/v0/decoder');
      const { buffer } = new Encoder().writeEncoder(await RecordBatch({ records: [record({ key: 'k', value: 'v' })] }));
      // The low byte of the batch's attributes; bit 3 is the timestamp type.
      buffer[22] = attributes;
      const [message] = (await decode(new Decoder(buffer))).records;
      expect(message).toMatchObject({ batchContext: { timestampType } });
    },
  );

  it('rejoin the group when a batch handler throws NOT_COORDINATOR_FOR_GROUP, for CoordinatorWatch in coordinator-watch.ts', async () => {
    interface Runner {
      start(): Promise<void>;
      stop(): Promise<void>;
    }
    const Runner = internal<new (options: object) => Runner>('consumer/runner');
    const batch = {
      topic: 't',
      partition: 0,
      messages: [{ offset: '0' }],
      isEmpty: () => false,
      isEmptyIncludingFiltered: () => false,
      isEmptyControlRecord: () => false,
      isEmptyDueToFiltering: () => false,
      firstOffset: () => '0',
      lastOffset: () => '0',
      offsetLag: () => '0',
      offsetLagLow: () => '0',
    };
    let joined = 0;
    let twice = (): void => undefined;
    const joinedTwice = new Promise<void>((resolve) => (twice = resolve));
    const consumerGroup = {
      connect: async () => undefined,
      joinAndSync: async () => void (++joined === 2 && twice()),
      leave: async () => undefined,
      heartbeat: async () => undefined,
      getNodeIds: () => ['1'],
      fetch: async () => [batch],
      hasSeekOffset: () => false,
      isPaused: () => false,
      resolveOffset: () => undefined,
    };
    const onCrash = jest.fn();
    const runner = new Runner({
      logger: silent,
      consumerGroup,
      instrumentationEmitter: { emit: () => undefined },
      concurrency: 1,
      autoCommit: false,
      onCrash,
      eachBatch: async () => {
        const moved = { type: 'NOT_COORDINATOR_FOR_GROUP', code: 16, retriable: true };
        throw new KafkaJSProtocolError(Object.assign(new Error('moved'), moved));
      },
    });
    await runner.start();
    await joinedTwice;
    await runner.stop();
    expect(onCrash).not.toHaveBeenCalled();
  });

  it('look up the coordinator each time they join, for CoordinatorWatch in coordinator-watch.ts', async () => {
    const ConsumerGroup = internal<new (options: object) => { joinAndSync(): Promise<void> }>('consumer/consumerGroup');
    const findGroupCoordinator = jest.fn().mockRejectedValue(new Error('asked'));
    const group = new ConsumerGroup({
      logger: silent,
      topics: ['t'],
      topicConfigurations: { t: {} },
      cluster: { findGroupCoordinator, refreshMetadata: async () => undefined },
      groupId: 'g',
      assigners: [],
      retry: { retries: 0 },
    });
    await expect(group.joinAndSync()).rejects.toThrow('asked');
    expect(findGroupCoordinator).toHaveBeenCalledWith({ groupId: 'g' });
  });

  it('ask `brokers` for each new connection, and stop retrying when it is empty, for clientOptions in connection.ts', async () => {
    const build = internal<(options: object) => { build(): Promise<unknown> }>('cluster/connectionPoolBuilder');
    const brokers = jest.fn().mockReturnValueOnce(['127.0.0.1:1']).mockReturnValue([]);
    const pools = build({ brokers, logger: silent });
    await pools.build();
    await expect(pools.build()).rejects.toMatchObject({ name: 'KafkaJSNonRetriableError', retriable: false });
    expect(brokers).toHaveBeenCalledTimes(2);
  });

  it('log what fails about a broker as Connection and BrokerPool, for NOISY in connection.ts', async () => {
    const namespaces = new Set<string>();
    const admin = new Kafka({
      brokers: ['127.0.0.1:1'],
      retry: { retries: 1, initialRetryTime: 1 },
      logCreator:
        () =>
        ({ namespace }) =>
          void namespaces.add(namespace),
    }).admin();
    await expect(admin.connect()).rejects.toThrow();
    expect([...namespaces].sort()).toEqual(expect.arrayContaining(['BrokerPool', 'Connection']));
  });
});
