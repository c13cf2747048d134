import { KafkaHeaders } from '@nestjs/microservices';
import { randomUUID } from 'node:crypto';
import type { KafkaMessage } from 'kafkajs';
import { HEADERS, NEST_ERROR, readCommand } from './command-record';

const command = {
  id: randomUUID(),
  type: 'UpdateApplication',
  data: { domainId: 'shop', applicationId: randomUUID() },
};
const message = (value: string | Buffer | null, headers: KafkaMessage['headers'] = {}): KafkaMessage => ({
  key: Buffer.from('k'),
  value: value === null ? null : Buffer.from(value),
  headers,
  timestamp: '0',
  offset: '0',
  attributes: 0,
});
const json = JSON.stringify(command);

describe('readCommand', () => {
  it('returns everything that the sender’s token covers as bytes', () => {
    const headers = {
      kafka_correlationId: Buffer.from('c'),
      kafka_replyTopic: 'replies',
      kafka_replyPartition: Buffer.from([0, 0, 1, 0]),
      authorization: 'Bearer x',
    };
    expect(readCommand(message(json, headers))).toEqual({
      command,
      target: command.data.applicationId,
      record: {
        value: Buffer.from(json),
        key: Buffer.from('k'),
        replyTopic: Buffer.from('replies'),
        replyPartition: Buffer.from([0, 0, 1, 0]),
        correlationId: Buffer.from('c'),
      },
      authorization: 'Bearer x',
      reply: { topic: 'replies', partition: 256 },
      correlationId: 'c',
    });
  });

  it('keeps the traceparent of its sender, unless the header is repeated', () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const traceOf = (header: string | string[]) => {
      const read = readCommand(message(json, { traceparent: header }));
      return typeof read === 'string' ? read : read.traceparent;
    };
    expect(traceOf(traceparent)).toBe(traceparent);
    expect(traceOf([traceparent, traceparent])).toBeUndefined();
  });

  it.each<[string | Buffer, number | undefined]>([
    ['0', 0],
    ['12', 12],
    ['1234', 1234],
    [Buffer.from([0, 0, 0, 7]), 7],
    [Buffer.from([0, 0, 0, 48]), 48],
    [Buffer.from([0x80, 0, 0, 0]), undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['0x10', 0x30783130],
    ['', undefined],
    [Buffer.from([1, 2, 3]), undefined],
  ])('with the reply partition %j goes to %j', (kafka_replyPartition, partition) => {
    const read = readCommand(message(json, { kafka_replyTopic: 'replies', kafka_replyPartition }));
    expect(typeof read === 'string' ? undefined : read.reply?.partition).toBe(partition);
    if (partition === undefined) expect(read).toBe('malformed_reply_partition');
  });

  it.each([
    [message(null), 'unparsable'],
    [message(''), 'unparsable'],
    [message('"text"'), 'unparsable'],
    [message('null'), 'unparsable'],
    [message(Buffer.from([0xff, 0xfe])), 'unparsable'],
    [message('{"id":7,"type":"UpdateApplication"}'), 'unparsable'],
    [message('{"id":"7"}'), 'unknown_command'],
    [message('{"id":"7","type":"toString"}'), 'unknown_command'],
    [message(json, { kafka_correlationId: ['a', 'b'] }), 'repeated_header'],
  ])('returns the reason for a record that is not a command (%#)', (given, reason) => {
    expect(readCommand(given)).toBe(reason);
  });

  it('returns the target even if the data are invalid', () => {
    const target = (data: unknown): unknown => {
      const read = readCommand(message(JSON.stringify({ ...command, data })));
      return typeof read === 'string' ? read : read.target;
    };
    expect([
      target({ domainId: 'shop' }),
      target({}),
      target(undefined),
      target([]),
      target({ applicationId: 1 }),
    ]).toEqual(['shop', undefined, undefined, undefined, undefined]);
  });
});

it("names the headers of requests and replies as Nest's transport does", () => {
  const { CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION, NEST_ERR } = KafkaHeaders;
  const { correlationId, replyTopic, replyPartition } = HEADERS;
  expect([correlationId, replyTopic, replyPartition]).toEqual([CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION]);
  expect(NEST_ERROR).toBe(NEST_ERR);
});
