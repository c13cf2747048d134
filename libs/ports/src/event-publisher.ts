import type { StoredEvent } from './event-store';

/** Tells the world outside what happened: redacted, in stream order per stream, at least once. */
export abstract class EventPublisher {
  /** Resolves when all are handed over; throws where they are not, and is then called again with the same. */
  abstract publish(events: readonly StoredEvent[]): Promise<void>;

  abstract close(): Promise<void>;
}
