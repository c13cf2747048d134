import type { StoredEvent } from './event-store';

/** Publishes events outside Rekey: redacted, in order per stream, at least once. */
export abstract class EventPublisher {
  /** Resolves when all events are acknowledged. If it throws, it is called again with the same events. */
  abstract publish(events: readonly StoredEvent[]): Promise<void>;

  abstract close(): Promise<void>;
}
