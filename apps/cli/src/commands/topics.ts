import type { KafkaConnection, KafkaTopics, TopicDirectory } from '@rekey/adapters/kafka';
import type { Command } from 'commander';
import { EXIT, Failure, usage } from '../failure';
import { wholeNumber } from '../input';
import { action, type GlobalOptions, type Io, type Session } from '../session';

interface TopicOptions {
  readonly serverConfig?: string;
}

interface CreateOptions extends TopicOptions {
  readonly partitions?: number;
  readonly replication?: number;
}

const TIMEOUT_MS = 30_000;
const PARTITIONS_MAX = 10_000;
const REPLICATION_MAX = 100;

// Kafka, configuration and composition are imported on demand: they take longer to load than all other commands together.

/** Adds `rekey topics`. Brokers and topic names come from the server configuration. */
export const addTopicCommands = (program: Command, io: Io): void => {
  const group = program.command('topics').description('Manage the Kafka topics of an installation.');
  const onKafka = (name: string): Command =>
    group
      .command(name)
      .option('--server-config <file>', 'Server configuration (default: REKEY_CONFIG, then ./rekey.yml).');

  onKafka('list')
    .description('List the topics and their partitions.')
    .action(action<TopicOptions>(io, (session, options) => onBrokers(options, (kafka) => show(session, kafka))));

  onKafka('create')
    .description('Create the missing topics. Existing topics are not changed.')
    .option(
      '--partitions <n>',
      'Partitions of the topics of commands, replies and events (default: 12).',
      wholeNumber(1, PARTITIONS_MAX),
    )
    .option('--replication <n>', 'Replication factor (default: set by the brokers).', wholeNumber(1, REPLICATION_MAX))
    .action(
      action<CreateOptions>(io, (session, options) =>
        onBrokers(options, async (kafka) => {
          const { ensureTopics } = await import('@rekey/adapters/kafka');
          const { partitions, replication: replicationFactor, timeout: timeoutMs = TIMEOUT_MS } = options;
          const each = partitions === undefined ? {} : { partitions };
          const complaints = await ensureTopics({
            connection: kafka.connection,
            topics: kafka.topics,
            settings: { commands: each, reply: each, events: each },
            timeoutMs,
            ...(replicationFactor !== undefined && { replicationFactor }),
          });
          await show(session, kafka);
          if (complaints.length > 0) throw new Failure(EXIT.refused, complaints.join('\n'));
        }),
      ),
    );
};

interface Brokers {
  readonly connection: KafkaConnection;
  readonly topics: KafkaTopics;
  readonly directory: TopicDirectory;
}

/** Runs `work` with the brokers of the configuration. Throws `Failure` if they do not answer or refuse the request. */
const onBrokers = async (
  { serverConfig }: TopicOptions & GlobalOptions,
  work: (brokers: Brokers) => Promise<void>,
): Promise<void> => {
  const { loadConfig } = await import('@rekey/platform');
  const { kafkaConnectionOf, kafkaTopicsOf } = await import('@rekey/composition');
  const { TopicDirectory } = await import('@rekey/adapters/kafka');
  const config = loadConfig({ file: serverConfig });
  const { brokers } = config.kafka;
  if (brokers.length === 0) throw usage('kafka.brokers is not set in the server configuration.');
  const quiet = (): void => undefined;
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const connection = kafkaConnectionOf(config, log, 'rekey-cli');
  const directory = new TopicDirectory(connection);
  try {
    await work({ connection, topics: kafkaTopicsOf(config), directory });
  } catch (error) {
    if (error instanceof Failure) throw error;
    const { message = String(error), errors = [] } = error as Partial<AggregateError>;
    const causes = [...new Set(errors.map(String))];
    throw new Failure(
      causes.length > 0 ? EXIT.refused : EXIT.unreachable,
      `Kafka request to ${brokers.join(', ')} failed: ${causes.length > 0 ? causes.join('; ') : message}`,
    );
  } finally {
    await directory.close();
  }
};

const show = async (session: Session, { topics, directory }: Brokers): Promise<void> => {
  const { commands, reply, dead, events, notifications } = topics;
  const found = await Promise.all(
    [commands, reply, dead, events, notifications].map(async (name) => ({
      name,
      partitions: await directory.partitionsOf(name),
    })),
  );
  if (session.json) return session.line(JSON.stringify({ topics: found }));
  const rows = found.map(({ name, partitions }) => [name, partitions > 0 ? String(partitions) : 'missing']);
  await session.line(session.formatter.table(['TOPIC', 'PARTITIONS'], rows));
};
