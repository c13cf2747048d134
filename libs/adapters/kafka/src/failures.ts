import type { Clock } from '@rekey/ports';
import { KafkaJSError, KafkaJSSASLAuthenticationError } from 'kafkajs';
import { setTimeout } from 'node:timers/promises';

/** There is no such topic, or no such partition of it; nothing was sent. */
export class TopicMissing extends Error {
  constructor(readonly topic: string) {
    super(`There is no topic ${topic}, or not this partition of it.`);
    this.name = 'TopicMissing';
  }
}

/** Nothing was sent, for no broker could be asked where to. */
export class NotSent extends Error {
  constructor(cause: unknown) {
    super('Nothing was sent: no broker answers.', { cause });
    this.name = 'NotSent';
  }
}

/** The client says that all was stored, and has no answer of some partitions; nobody knows of these. */
export class NotAllStored extends Error {
  constructor(readonly topic: string) {
    super(`Not all partitions of ${topic} have answered.`);
    this.name = 'NotAllStored';
  }
}

/** The brokers do not take what this process is known by, or it does not take them; time alone does not change that. */
export class AuthFailure extends Error {
  constructor(cause: unknown) {
    super(publicCause(cause), { cause });
    this.name = 'AuthFailure';
  }
}

/** It took longer than anybody waits. */
export class TimedOut extends Error {
  constructor() {
    super('No broker answered in time.');
    this.name = 'TimedOut';
  }
}

/** Waits for work, for some time; throws `TimedOut`. */
export const withTimeout = async (work: Promise<void>, clock: Clock, timeoutMs: number): Promise<void> => {
  let cancel = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = clock.schedule(timeoutMs, () => reject(new TimedOut()));
  });
  await Promise.race([work, late]).finally(() => cancel());
};

const AGAIN_MS = 250;

/** Waits before something is tried again; the process lives on meanwhile, unlike with a clock's timers. */
export const waitBeforeRetry = async (signal: AbortSignal): Promise<void> => {
  await setTimeout(AGAIN_MS, undefined, { signal }).catch(() => undefined);
};

const typeOf = (error: unknown): unknown => (error as { type?: unknown } | undefined)?.type;

/** The failure that a client gave up over, or the failure itself. */
const origin = (error: unknown): unknown =>
  (error instanceof KafkaJSError || error instanceof NotSent) && error.cause instanceof Error
    ? origin(error.cause)
    : error;

export const isMissingTopic = (error: unknown): boolean =>
  ['UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_TOPIC_EXCEPTION'].includes(String(typeOf(origin(error))));

/** Whether a broker refuses what was to be stored as too large: it never will be taken. */
export const isTooLarge = (error: unknown): boolean =>
  ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'].includes(String(typeOf(origin(error))));

const TLS_CODE = /^(ERR_(SSL|TLS)_\w+|(CERT|DEPTH_ZERO|INVALID|SELF_SIGNED|UNABLE_TO)_\w+)$/;

/** What Node calls a handshake that failed, or a certificate that cannot be trusted. */
const tlsCode = (error: unknown): string | undefined => {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && TLS_CODE.test(code) ? code : undefined;
};

/** Whether a failure is about users, passwords and certificates: it comes again each time. */
export const isAuthFailure = (error: unknown): boolean => {
  const root = origin(error);
  const isSasl = root instanceof KafkaJSSASLAuthenticationError || typeOf(root) === 'UNSUPPORTED_SASL_MECHANISM';
  return isSasl || tlsCode(root) !== undefined;
};

/** What may be told of a failure: no address, nothing of a record. */
export const publicCause = (error: unknown): string => {
  const root = origin(error);
  if (root instanceof TopicMissing || root instanceof NotAllStored || root instanceof TimedOut) return root.message;
  const type = typeOf(root);
  if (typeof type === 'string' && /^[A-Z_]+$/.test(type)) return `The broker says ${type}.`;
  if (root instanceof KafkaJSSASLAuthenticationError) return 'The brokers do not let this user in.';
  const tls = tlsCode(root);
  if (tls !== undefined) return `TLS with the brokers fails: ${tls}.`;
  return 'No broker answers.';
};
