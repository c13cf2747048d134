import { KafkaJSError } from 'kafkajs';

/** There is no such topic, or no such partition of it; nothing was sent. */
export class TopicMissing extends Error {
  constructor(readonly topic: string) {
    super(`There is no topic ${topic}, or not this partition of it.`);
    this.name = 'TopicMissing';
  }
}

const typeOf = (error: unknown): unknown => (error as { type?: unknown } | undefined)?.type;

/** The failure that a client gave up over, or the failure itself. */
const origin = (error: unknown): unknown =>
  error instanceof KafkaJSError && error.cause instanceof Error ? origin(error.cause) : error;

export const saysNoTopic = (error: unknown): boolean =>
  ['UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_TOPIC_EXCEPTION'].includes(String(typeOf(origin(error))));

/** Whether a broker refuses what was to be stored as too large: it never will be taken. */
export const saysTooLarge = (error: unknown): boolean =>
  ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'].includes(String(typeOf(origin(error))));

/** What may be told of a failure: no address, nothing of a record. */
export const publicCause = (error: unknown): string => {
  const root = origin(error);
  if (root instanceof TopicMissing) return root.message;
  const type = typeOf(root);
  if (typeof type === 'string' && /^[A-Z_]+$/.test(type)) return `The broker says ${type}.`;
  return 'No broker answers.';
};
