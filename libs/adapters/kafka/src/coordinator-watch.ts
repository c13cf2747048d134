import { KafkaJSProtocolError, type Consumer } from 'kafkajs';

/** Heartbeats come twice a second at least, and the group waits three times as long for one. */
const SILENT_MS = 2_000;

/**
 * Makes a consumer look for the coordinator of its group anew. By itself it asks the one that it knows until that very
 * broker is back, though another has taken over: it commits nothing meanwhile, and waits a second between two fetches.
 */
export class CoordinatorWatch {
  private heardMs = performance.now();

  constructor(consumer: Consumer) {
    const heard = (): void => void (this.heardMs = performance.now());
    consumer.on(consumer.events.GROUP_JOIN, heard);
    consumer.on(consumer.events.HEARTBEAT, heard);
  }

  /** For the consumer's handler of batches, before it takes one. Throws what the consumer joins again for. */
  check(): void {
    if (performance.now() - this.heardMs < SILENT_MS) return;
    throw new KafkaJSProtocolError(Object.assign(new Error('The coordinator is silent'), MOVED));
  }
}

/** As a broker says that is no longer the coordinator. */
const MOVED = { type: 'NOT_COORDINATOR_FOR_GROUP', code: 16, retriable: true };
