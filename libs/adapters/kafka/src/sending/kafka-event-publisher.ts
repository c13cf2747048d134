import { RekeyError, cloudEventOf } from '@rekey/contracts';
import { sha256, EventPublisher, type StoredEvent } from '@rekey/ports';
import type { Message } from 'kafkajs';
import type { KafkaConnection } from '../connection';
import { publicCause, isTooLarge } from '../failures';
import { OrderedProducer, sizeOf } from './ordered-producer';
import { TopicDirectory, type KafkaTopics } from '../topics/topics';

export interface KafkaEventPublisherOptions {
  readonly connection: KafkaConnection;
  readonly topics: Pick<KafkaTopics, 'events'>;
  /** `source` of the CloudEvents: a URI reference that identifies this installation. */
  readonly source: string;
}

const REQUEST_BYTES_MAX = 512 * 1024;

/**
 * Publishes events as CloudEvents 1.0 in JSON (Kafka protocol binding §3.3, structured mode) without verifiers. The key is
 * the stream, so that its events stay in order. Delivery is at least once: receivers deduplicate by `id`.
 */
export class KafkaEventPublisher extends EventPublisher {
  private readonly directory: TopicDirectory;
  private readonly producer: OrderedProducer;

  constructor(private readonly options: KafkaEventPublisherOptions) {
    super();
    this.directory = new TopicDirectory(options.connection);
    this.producer = new OrderedProducer(options.connection, this.directory);
  }

  /** Throws `unavailable` if the topic does not exist or not all events are acknowledged. */
  async publish(events: readonly StoredEvent[]): Promise<void> {
    const messages = events.map((event) => this.messageOf(event));
    let bytes = 0;
    let from = 0;
    for (const [index, message] of messages.entries()) {
      bytes += sizeOf([message]);
      if (bytes <= REQUEST_BYTES_MAX || index === from) continue;
      await this.sendInOrder(messages.slice(from, index));
      from = index;
      bytes = sizeOf([message]);
    }
    if (from < messages.length) await this.sendInOrder(messages.slice(from));
  }

  /** Returns whether the topic exists. The cause is public text. */
  status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    return this.directory.status([this.options.topics.events]);
  }

  async close(): Promise<void> {
    await this.producer.close();
    await this.directory.close();
  }

  /** Sends one request at a time, so that a later event of a stream is never stored without an earlier one. */
  private async sendInOrder(messages: readonly Message[]): Promise<void> {
    try {
      await this.producer.send(this.options.topics.events, ...messages).done;
    } catch (error) {
      if (!isTooLarge(error) || messages.length === 1)
        throw new RekeyError('unavailable', `Events could not be published. ${publicCause(error)}`);
      const half = Math.ceil(messages.length / 2);
      await this.sendInOrder(messages.slice(0, half));
      await this.sendInOrder(messages.slice(half));
    }
  }

  private messageOf(event: StoredEvent): Message {
    return {
      key: event.stream,
      value: JSON.stringify(cloudEventOf(event, this.options.source, sha256)),
      headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' },
    };
  }
}
