import { COMMANDS, type CommandEnvelope, type CommandType } from '@rekey/contracts';
import type { CommandRecord } from '@rekey/ports';
import type { IHeaders, KafkaMessage } from 'kafkajs';

/** Headers of a command, as Nest's Kafka transport and Spring's `ReplyingKafkaTemplate` name them. */
export const HEADERS = {
  correlationId: 'kafka_correlationId',
  replyTopic: 'kafka_replyTopic',
  replyPartition: 'kafka_replyPartition',
  authorization: 'authorization',
} as const;

/** The sender's trace (W3C Trace Context). Not signed, and not validated here: tracing ignores an invalid one. */
export const TRACE_HEADER = 'traceparent';

/**
 * Nest's mark of a reply that is an error to throw. Written out, so that a sender can be had without Nest; a test holds
 * it to Nest's own.
 */
export const NEST_ERROR = 'kafka_nest-err';

/** Where a reply goes. */
export interface ReplyAddress {
  readonly topic: string;
  /** Absent: by the correlation id. */
  readonly partition?: number;
}

/** A record with a command in it; whether its data fit is not known yet. */
export interface ReadCommand {
  readonly command: CommandEnvelope;
  /** Application or domain that the data name; undefined where they name none. */
  readonly target: string | undefined;
  readonly record: CommandRecord;
  readonly authorization: string | undefined;
  readonly reply: ReplyAddress | undefined;
  /** Sender's name for its request, as text; undefined where it has none that can be written down. */
  readonly correlationId: string | undefined;
  readonly traceparent: string | undefined;
}

/** Why a record is no command; the words stand in a header of the dead letter, and in a metric. */
export type Unreadable = 'unparsable' | 'unknown_command' | 'repeated_header' | 'malformed_reply_partition';

/** Reads a record of the topic of commands. */
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
    // Whoever handles it holds it against the schema first.
    command: parsed as unknown as CommandEnvelope,
    target: targetOf(parsed['data']),
    record: { value, key: key ?? undefined, replyTopic, replyPartition, correlationId },
    authorization: authorization?.toString('utf8'),
    reply: replyTopic && { topic: replyTopic.toString('utf8'), ...(partition !== undefined && { partition }) },
    correlationId: correlationId && textOf(correlationId),
    traceparent: bytesOf(headers[TRACE_HEADER])?.toString('latin1'),
  };
};

/** What the key of a command's record must be. */
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

/** Decimal digits, as Nest writes them, or four bytes, most significant first, as Spring does. */
const partitionOf = (bytes: Buffer): number | undefined => {
  const text = bytes.toString('latin1');
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const number = bytes.length === 4 ? bytes.readInt32BE() : -1;
  return number >= 0 ? number : undefined;
};

const UUID_BYTES = 16;

/** One line of text; or a UUID, which Spring sends as its bytes. */
const textOf = (bytes: Buffer): string | undefined => {
  const text = bytes.toString('utf8');
  if (/^[^\p{Cc}\p{Cs}\ufffd]{1,128}$/u.test(text)) return text;
  if (bytes.length !== UUID_BYTES) return undefined;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
};
