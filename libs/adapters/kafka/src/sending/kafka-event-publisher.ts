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
  /** `source` of the events: a URI reference that names this installation. */
  readonly source: string;
}

const REQUEST_BYTES_MAX = 512 * 1024;

/**
 * Publishes events as CloudEvents 1.0 in JSON (Kafka protocol binding §3.3, structured mode), verifiers removed. The key
 * is the stream, so that its events stay in order. At least once: a receiver drops by `id` what it knows.
 */
export class KafkaEventPublisher extends EventPublisher {
  private readonly directory: TopicDirectory;
  private readonly producer: OrderedProducer;

  constructor(private readonly options: KafkaEventPublisherOptions) {
    super();
    this.directory = new TopicDirectory(options.connection);
    this.producer = new OrderedProducer(options.connection, this.directory);
  }

  /** Throws `unavailable` where the topic is missing, or no broker takes them all. */
  async publish(events: readonly StoredEvent[]): Promise<void> {
    const messages = events.map((event) => this.messageOf(event));
    let bytes = 0;
    let from = 0;
    for (const [index, message] of messages.entries()) {
      bytes += sizeOf([message]);
      if (bytes <= REQUEST_BYTES_MAX || index === from) continue;
      await this.hand(messages.slice(from, index));
      from = index;
      bytes = sizeOf([message]);
    }
    if (from < messages.length) await this.hand(messages.slice(from));
  }

  /** Whether its topic is there; public text. */
  status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    return this.directory.status([this.options.topics.events]);
  }

  async close(): Promise<void> {
    await this.producer.close();
    await this.directory.close();
  }

  /** One request after the other, so that of two events of a stream the later is never stored alone. */
  private async hand(messages: readonly Message[]): Promise<void> {
    try {
      await this.producer.post(this.options.topics.events, ...messages).done;
    } catch (error) {
      if (!isTooLarge(error) || messages.length === 1)
        throw new RekeyError('unavailable', `Events could not be published. ${publicCause(error)}`);
      const half = Math.ceil(messages.length / 2);
      await this.hand(messages.slice(0, half));
      await this.hand(messages.slice(half));
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
