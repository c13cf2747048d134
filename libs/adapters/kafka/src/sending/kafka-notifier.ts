import { RekeyError } from '@rekey/contracts';
import { Notifier, type Clock, type ExpiryNotice } from '@rekey/ports';
import type { KafkaConnection } from '../connection';
import { withTimeout, publicCause } from '../failures';
import { OrderedProducer } from './ordered-producer';
import { TopicDirectory } from '../topics/topics';

export interface KafkaNotifierOptions {
  readonly connection: KafkaConnection;
  /** `notifiers.kafka.topic`; by itself that of `topicsOf`. */
  readonly topic: string;
  readonly clock: Clock;
  /** Default 10 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;

/**
 * Puts notices into a topic as JSON, keyed by application. A notice that is sent again has the same `messageId`, also in
 * the header `message-id`, by which a receiver drops it.
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

  /** Throws `unavailable` where the topic is missing, or no broker takes it in time. */
  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    const { topic, clock, timeoutMs = TIMEOUT_MS } = this.options;
    const posting = this.producer.post(topic, {
      key: notice.applicationId,
      value: JSON.stringify(notice),
      headers: { 'message-id': notice.messageId, 'content-type': 'application/json' },
    });
    try {
      await withTimeout(posting.done, clock, timeoutMs);
    } catch (error) {
      posting.withdraw();
      throw new RekeyError('unavailable', publicCause(error), { channel: this.channel });
    }
    return { recipients: 1 };
  }

  /** Whether its topic is there; public text. */
  status(): Promise<{ readonly ready: boolean; readonly cause?: string }> {
    return this.directory.status([this.options.topic]);
  }

  async close(): Promise<void> {
    await this.producer.close();
    await this.directory.close();
  }
}
