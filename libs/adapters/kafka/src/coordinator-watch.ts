import { KafkaJSProtocolError, type Consumer } from 'kafkajs';

/** Heartbeats come at least twice a second, and the group waits three times as long as this for one. */
const SILENT_MS = 2_000;

/**
 * Makes a consumer look up the coordinator of its group again. By itself, kafkajs keeps asking a coordinator that is down
 * even after another broker has taken over. Meanwhile it commits nothing and waits a second between fetches.
 */
export class CoordinatorWatch {
  private lastHeardMs = performance.now();

  constructor(consumer: Consumer) {
    const heard = (): void => void (this.lastHeardMs = performance.now());
    consumer.on(consumer.events.GROUP_JOIN, heard);
    consumer.on(consumer.events.HEARTBEAT, heard);
  }

  /** Call it in the batch handler before a batch is processed. Throws an error that makes kafkajs rejoin the group. */
  check(): void {
    if (performance.now() - this.lastHeardMs < SILENT_MS) return;
    throw new KafkaJSProtocolError(Object.assign(new Error('The coordinator does not answer.'), MOVED));
  }
}

/** The answer of a broker that is no longer the coordinator. */
const MOVED = { type: 'NOT_COORDINATOR_FOR_GROUP', code: 16, retriable: true };
