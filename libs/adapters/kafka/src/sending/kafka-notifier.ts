import { RekeyError } from '@rekey/contracts';
import { Notifier, type Clock, type ExpiryNotice } from '@rekey/ports';
import type { KafkaConnection } from '../connection';
import { withTimeout, publicCause } from '../failures';
import { OrderedProducer } from './ordered-producer';
import { TopicDirectory } from '../topics/topics';

export interface KafkaNotifierOptions {
  readonly connection: KafkaConnection;
  /** `notifiers.kafka.topic`. */
  readonly topic: string;
  readonly clock: Clock;
  /** In milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;

/**
 * Sends notices to a topic as JSON, keyed by application. A repeated notice has the same `messageId`, also in the header
 * `message-id`, by which receivers deduplicate.
 */
export class KafkaNotifier extends Notifier {
  readonly channel = 'kafka';
  private readonly directory: TopicDirectory;
  private readonly producer: OrderedProducer;

  constructor(private readonly options: KafkaNotifierOptions) {
    super();
    this.directory = new TopicDirectory(options.connection);
    this.producer = new OrderedProducer(options.connection, this.directory);
  }

  /** Throws `unavailable` if the topic does not exist or the notice is not acknowledged in time. */
  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    const { topic, clock, timeoutMs = TIMEOUT_MS } = this.options;
    const sending = this.producer.send(topic, {
      key: notice.applicationId,
      value: JSON.stringify(notice),
      headers: { 'message-id': notice.messageId, 'content-type': 'application/json' },
    });
    try {
      await withTimeout(sending.done, clock, timeoutMs);
    } catch (error) {
      sending.withdraw();
      throw new RekeyError('unavailable', publicCause(error), { channel: this.channel });
    }
    return { recipients: 1 };
  }

  /** Returns whether the topic exists. The cause is public text. */
  status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    return this.directory.status([this.options.topic]);
  }

  async close(): Promise<void> {
    await this.producer.close();
    await this.directory.close();
  }
}
