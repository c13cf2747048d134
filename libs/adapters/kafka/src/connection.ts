import { Kafka, logLevel, type ISocketFactory, type KafkaConfig, type LogEntry, type SASLOptions } from 'kafkajs';
import type { ConnectionOptions } from 'node:tls';

/** Where log lines go; a pino logger is one. Facts never hold what is in a record. */
export interface KafkaLog {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** How to reach the brokers. */
export interface KafkaConnection {
  /** `host:port`; any of them tells of the others. */
  readonly brokers: readonly string[];
  /** TLS with the authorities of the system, or by options of Node (`ca`, `cert`, `key`, `servername`). */
  readonly ssl?: boolean | ConnectionOptions;
  readonly sasl?: KafkaSasl;
  /** How connections are made, for proxies; default: as Node makes them. */
  readonly socketFactory?: ISocketFactory;
  /** Names this process in the brokers' logs; default `rekey`. */
  readonly clientId?: string;
  /** How long a broker may take to answer; default 10,000. */
  readonly requestTimeoutMs?: number;
  readonly log: KafkaLog;
}

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: string;
}

const CONNECT_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** Of what kafkajs tries again by itself; consumers so go on within a second of a broker's return. */
const RETRY = { initialRetryTime: 100, maxRetryTime: 1_000 };
/** How often: consumers for ever, more or less; producers for 20 s; questions are asked again by who asks. */
export const RETRIES = { consumer: 100, producer: 20, admin: 1 } as const;

/**
 * kafkajs's settings for a connection. From the signal on it begins no more connections: by itself it goes on trying for
 * minutes after it was told to disconnect, and keeps the process alive.
 */
export const clientOptions = (
  connection: KafkaConnection,
  use: keyof typeof RETRIES,
  signal?: AbortSignal,
): KafkaConfig => {
  const { brokers, ssl, sasl, clientId, requestTimeoutMs, socketFactory, log } = connection;
  return {
    // It asks for the list when all that it knows are away, and gives up for good where that is empty.
    brokers: () => (signal?.aborted ? [] : [...brokers]),
    clientId: clientId ?? 'rekey',
    connectionTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    retry: { ...RETRY, retries: RETRIES[use] },
    logLevel: logLevel.WARN,
    logCreator: () => logTo(log),
    ...(socketFactory && { socketFactory }),
    ...(ssl !== undefined && { ssl }),
    ...(sasl && { sasl: { ...sasl } as SASLOptions }),
  };
};

export const kafkaClient = (connection: KafkaConnection, use: keyof typeof RETRIES, signal?: AbortSignal): Kafka =>
  new Kafka(clientOptions(connection, use, signal));

/** Quick to join, to leave and to be replaced; waiting for a record costs no latency, as one is enough to answer. */
export const CONSUMER_OPTIONS = {
  maxWaitTimeInMs: 250,
  heartbeatInterval: 250,
  sessionTimeout: 6_000,
  rebalanceTimeout: 10_000,
  minBytes: 1,
  maxBytesPerPartition: 256 * 1024,
  allowAutoTopicCreation: false,
  retry: {
    ...RETRY,
    // Said again, for a consumer has 5 where it is told nothing of its own.
    retries: RETRIES.consumer,
    // Who made it makes another one: a restart of its own can come after it was told to stop.
    restartOnFailure: () => Promise.resolve(false),
  },
};

/** Of a broker that is away, or lets nobody in, these say several times a second that it is so. */
const NOISY = /^(Connection|BrokerPool|SaslAuthenticator-.*)$/;

/** What the client says is about brokers and groups; that it lost one is no error of ours, for it goes on by itself. */
const logTo =
  (log: KafkaLog) =>
  ({ level, namespace, log: { message, groupId, broker, error } }: LogEntry): void => {
    const facts = { kafka: namespace, groupId, broker, error };
    if (level <= logLevel.WARN && !NOISY.test(namespace)) log.warn(facts, message);
    else log.debug(facts, message);
  };
