import type { Clock } from '@rekey/ports';
import { KafkaJSError, KafkaJSSASLAuthenticationError } from 'kafkajs';
import { setTimeout } from 'node:timers/promises';

/** The topic or the partition does not exist. Nothing was sent. */
export class TopicMissing extends Error {
  constructor(readonly topic: string) {
    super(`The topic ${topic} or the requested partition does not exist.`);
    this.name = 'TopicMissing';
  }
}

/** No broker could be reached. Nothing was sent. */
export class NotSent extends Error {
  constructor(cause: unknown) {
    super('No broker answers. Nothing was sent.', { cause });
    this.name = 'NotSent';
  }
}

/** kafkajs reported success without an answer for some partitions. Whether these stored their records is unknown. */
export class NotAllStored extends Error {
  constructor(readonly topic: string) {
    super(`Not all partitions of ${topic} have acknowledged.`);
    this.name = 'NotAllStored';
  }
}

/** Authentication or TLS failed. Retrying does not help until the configuration changes. */
export class AuthFailure extends Error {
  constructor(cause: unknown) {
    super(publicCause(cause), { cause });
    this.name = 'AuthFailure';
  }
}

/** No broker answered before the timeout. */
export class TimedOut extends Error {
  constructor() {
    super('No broker answered in time.');
    this.name = 'TimedOut';
  }
}

/** Waits for work. Throws `TimedOut` after the timeout. */
export const withTimeout = async (work: Promise<void>, clock: Clock, timeoutMs: number): Promise<void> => {
  let cancel = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = clock.schedule(timeoutMs, () => reject(new TimedOut()));
  });
  await Promise.race([work, late]).finally(() => cancel());
};

const RETRY_MS = 250;

/** Waits before a retry. Unlike the timers of a `Clock`, this keeps the process alive. */
export const waitBeforeRetry = async (signal: AbortSignal): Promise<void> => {
  await setTimeout(RETRY_MS, undefined, { signal }).catch(() => undefined);
};

const typeOf = (error: unknown): unknown => (error as { type?: unknown } | undefined)?.type;

/** Returns the root cause of an error. */
const origin = (error: unknown): unknown =>
  (error instanceof KafkaJSError || error instanceof NotSent) && error.cause instanceof Error
    ? origin(error.cause)
    : error;

export const isMissingTopic = (error: unknown): boolean =>
  ['UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_TOPIC_EXCEPTION'].includes(String(typeOf(origin(error))));

/** Whether a broker refused records as too large. Retrying does not help. */
export const isTooLarge = (error: unknown): boolean =>
  ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'].includes(String(typeOf(origin(error))));

const TLS_CODE = /^(ERR_(SSL|TLS)_\w+|(CERT|DEPTH_ZERO|INVALID|SELF_SIGNED|UNABLE_TO)_\w+)$/;

/** Returns Node's error code of a failed handshake or an untrusted certificate. */
const tlsCode = (error: unknown): string | undefined => {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && TLS_CODE.test(code) ? code : undefined;
};

/** Whether authentication or TLS failed. Retrying does not help. */
export const isAuthFailure = (error: unknown): boolean => {
  const root = origin(error);
  const isSasl = root instanceof KafkaJSSASLAuthenticationError || typeOf(root) === 'UNSUPPORTED_SASL_MECHANISM';
  return isSasl || tlsCode(root) !== undefined;
};

/** Returns the public text of a failure, without addresses or contents of records. */
export const publicCause = (error: unknown): string => {
  const root = origin(error);
  if (root instanceof TopicMissing || root instanceof NotAllStored || root instanceof TimedOut) return root.message;
  const type = typeOf(root);
  if (typeof type === 'string' && /^[A-Z_]+$/.test(type)) return `The broker answered ${type}.`;
  if (root instanceof KafkaJSSASLAuthenticationError) return 'The brokers refused to authenticate this user.';
  const tls = tlsCode(root);
  if (tls !== undefined) return `TLS with the brokers failed: ${tls}.`;
  return 'No broker answers.';
};
