import { Kafka, logLevel, type ISocketFactory, type KafkaConfig, type LogEntry, type SASLOptions } from 'kafkajs';
import type { ConnectionOptions } from 'node:tls';

/** A pino logger, or an object with its methods. It never gets the contents of records. */
export interface KafkaLog {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** How to connect to the brokers. */
export interface KafkaConnection {
  /** `host:port` of some brokers; the client finds the others through them. */
  readonly brokers: readonly string[];
  /** TLS: `true` for the system's certificate authorities, or options of Node (`ca`, `cert`, `key`, `servername`). */
  readonly ssl?: boolean | ConnectionOptions;
  readonly sasl?: KafkaSasl;
  /** Creates sockets, for proxies. Default: Node's. */
  readonly socketFactory?: ISocketFactory;
  /** Name of this process in the brokers' logs. Default `rekey`. */
  readonly clientId?: string;
  /** Timeout of a request, in milliseconds. Default 10,000. */
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
/** Backoff of kafkajs's own retries. With it, consumers continue within a second of a broker's return. */
const RETRY = { initialRetryTime: 100, maxRetryTime: 1_000 };
/** Number of kafkajs's own retries: practically unlimited for consumers, about 20 s for producers. Callers retry admin requests. */
export const RETRIES = { consumer: 100, producer: 20, admin: 1 } as const;

/**
 * Returns kafkajs's settings for a connection. Once the signal is aborted, no new connections are made: by itself kafkajs
 * keeps retrying for minutes after `disconnect`, which keeps the process alive.
 */
export const clientOptions = (
  connection: KafkaConnection,
  use: keyof typeof RETRIES,
  signal?: AbortSignal,
): KafkaConfig => {
  const { brokers, ssl, sasl, clientId, requestTimeoutMs, socketFactory, log } = connection;
  return {
    // kafkajs asks for this list when all known brokers are unavailable, and stops retrying when it is empty.
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

/** Short timeouts, so that consumers join, leave and are replaced quickly. A fetch returns with the first record. */
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
    // A consumer does not inherit the client's retries: its own default is 5.
    retries: RETRIES.consumer,
    // The owner creates a new consumer instead: kafkajs may restart this one after it was stopped.
    restartOnFailure: () => Promise.resolve(false),
  },
};

/** Namespaces that log several times a second while a broker is unavailable or refuses authentication. */
const NOISY = /^(Connection|BrokerPool|SaslAuthenticator-.*)$/;

/** Logs kafkajs's messages, errors as warnings: it recovers from a lost broker or group by itself. */
const logTo =
  (log: KafkaLog) =>
  ({ level, namespace, log: { message, groupId, broker, error } }: LogEntry): void => {
    const facts = { kafka: namespace, groupId, broker, error };
    if (level <= logLevel.WARN && !NOISY.test(namespace)) log.warn(facts, message);
    else log.debug(facts, message);
  };
