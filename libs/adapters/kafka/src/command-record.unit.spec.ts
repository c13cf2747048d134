import { KafkaHeaders } from '@nestjs/microservices';
import { HEADERS, NEST_ERROR } from './command-record';

it("names the headers of requests and replies as Nest's transport does", () => {
  const { CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION, NEST_ERR } = KafkaHeaders;
  expect([HEADERS.correlationId, HEADERS.replyTopic, HEADERS.replyPartition, NEST_ERROR]).toEqual([
    CORRELATION_ID,
    REPLY_TOPIC,
    REPLY_PARTITION,
    NEST_ERR,
  ]);
});
