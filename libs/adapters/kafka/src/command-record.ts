import { COMMANDS, type CommandEnvelope, type CommandType } from '@rekey/contracts';
import type { CommandRecord } from '@rekey/ports';
import type { IHeaders, KafkaMessage } from 'kafkajs';

/** Headers of a command, named as in Nest's Kafka transport and Spring's `ReplyingKafkaTemplate`. */
export const HEADERS = {
  correlationId: 'kafka_correlationId',
  replyTopic: 'kafka_replyTopic',
  replyPartition: 'kafka_replyPartition',
  authorization: 'authorization',
} as const;

/** The sender's trace (W3C Trace Context). Not signed, and not validated here: tracing ignores an invalid one. */
export const TRACE_HEADER = 'traceparent';

/**
 * Nest's header of a reply that is an error to throw. Repeated here so that a sender does not depend on Nest. A test
 * compares it with Nest's constant.
 */
export const NEST_ERROR = 'kafka_nest-err';

/** Address of a reply. */
export interface ReplyAddress {
  readonly topic: string;
  /** If absent, the correlation id chooses the partition. */
  readonly partition?: number;
}

/** A record with a command, whose data are not validated yet. */
export interface ReadCommand {
  readonly command: CommandEnvelope;
  /** Id of the application or domain in the data, if any. */
  readonly target: string | undefined;
  readonly record: CommandRecord;
  readonly authorization: string | undefined;
  readonly reply: ReplyAddress | undefined;
  /** Correlation id of the sender as text, if it is printable. */
  readonly correlationId: string | undefined;
  readonly traceparent: string | undefined;
}

/** Why a record is not a command. Used in a header of the dead letter and as the label of a metric. */
export type Unreadable = 'unparsable' | 'unknown_command' | 'repeated_header' | 'malformed_reply_partition';

/** Parses a record of the command topic. */
export const readCommand = ({ key, value, headers = {} }: KafkaMessage): ReadCommand | Unreadable => {
  const named = Object.values(HEADERS).map((name) => headers[name]);
  if (named.some((header) => Array.isArray(header))) return 'repeated_header';
  const [correlationId, replyTopic, replyPartition, authorization] = named.map(bytesOf);
  const partition = replyPartition && partitionOf(replyPartition);
  if (replyPartition && partition === undefined) return 'malformed_reply_partition';
  const parsed = value === null ? undefined : parse(value);
  if (value === null || !isObject(parsed) || typeof parsed['id'] !== 'string') return 'unparsable';
  if (typeof parsed['type'] !== 'string' || !isCommandType(parsed['type'])) return 'unknown_command';
  return {
    // The command handler validates it.
    command: parsed as unknown as CommandEnvelope,
    target: targetOf(parsed['data']),
    record: { value, key: key ?? undefined, replyTopic, replyPartition, correlationId },
    authorization: authorization?.toString('utf8'),
    reply: replyTopic && { topic: replyTopic.toString('utf8'), ...(partition !== undefined && { partition }) },
    correlationId: correlationId && textOf(correlationId),
    traceparent: bytesOf(headers[TRACE_HEADER])?.toString('latin1'),
  };
};

/** Returns the required key of a command's record: the application id or else the domain id of its data. */
export const targetOf = (data: unknown): string | undefined => {
  if (!isObject(data)) return undefined;
  const target = data['applicationId'] ?? data['domainId'];
  return typeof target === 'string' ? target : undefined;
};

export const bytesOf = (header: IHeaders[string]): Buffer | undefined =>
  header === undefined || Array.isArray(header) ? undefined : Buffer.from(header);

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCommandType = (type: string): type is CommandType => Object.hasOwn(COMMANDS, type);

const parse = (value: Buffer): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch {
    return undefined;
  }
};

/** Parses decimal digits, as Nest writes them, or four big-endian bytes, as Spring does. */
const partitionOf = (bytes: Buffer): number | undefined => {
  const text = bytes.toString('latin1');
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const number = bytes.length === 4 ? bytes.readInt32BE() : -1;
  return number >= 0 ? number : undefined;
};

const UUID_BYTES = 16;

/** Returns printable text, or a UUID from its bytes, as Spring sends it. */
const textOf = (bytes: Buffer): string | undefined => {
  const text = bytes.toString('utf8');
  if (/^[^\p{Cc}\p{Cs}\ufffd]{1,128}$/u.test(text)) return text;
  if (bytes.length !== UUID_BYTES) return undefined;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
};
