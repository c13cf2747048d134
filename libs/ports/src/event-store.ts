import type { EventMetadata } from '@rekey/domain';

/**
 * Position of an event in the whole store: opaque text of a fixed width, so that text order is store order. The empty
 * string is before every event.
 */
export type Position = string;

/** The position before the first event. */
export const START: Position = '';

/** Revision of a stream without events. */
export const NO_STREAM = -1;

/** An event to append: plain JSON in `data`. Event ids are random per decision. */
export interface NewEvent {
  readonly eventId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: EventMetadata;
}

/** An event as stored: its JSON as it was written, not upcast. */
export interface StoredEvent extends NewEvent {
  readonly stream: string;
  /** Zero-based, without gaps. */
  readonly revision: number;
  readonly position: Position;
}

/** Revision and position of the last appended event. */
export interface Appended {
  readonly revision: number;
  readonly position: Position;
}

/** The stream is not at the expected revision; nothing was appended. */
export class WrongRevision extends Error {
  constructor(
    readonly stream: string,
    readonly expected: number,
    readonly actual: number,
  ) {
    super(`Stream is at revision ${actual}, expected ${expected}.`);
    this.name = 'WrongRevision';
  }
}

/** An engine behind a port is unavailable, or did not answer in time. */
export class EngineUnavailable extends Error {
  constructor(
    readonly engine: string,
    options?: ErrorOptions,
  ) {
    super(`The ${engine} is unavailable.`, options);
    this.name = 'EngineUnavailable';
  }
}

/** Consecutive events in store order. */
export interface EventBatch {
  readonly events: readonly StoredEvent[];
  /** The store had no later event when the batch was read. */
  readonly caughtUp: boolean;
}

export interface SubscriptionOptions {
  /** Exclusive. */
  readonly after: Position;
  /** Maximum number of events in a batch. */
  readonly batchSize: number;
  /** Ends the subscription; the iteration then returns without an error. */
  readonly signal: AbortSignal;
}

export interface HistoryQuery {
  /** Exclusive. */
  readonly after?: Position;
  readonly limit: number;
}

/** Prefixes of the streams that views are projected from. Every view reads all of them, in store order. */
export const FEED_PREFIXES = ['application-', 'domain-'] as const;

/** Whether a stream belongs to the feed of the views. */
export const inFeed = (stream: string): boolean => FEED_PREFIXES.some((prefix) => stream.startsWith(prefix));

/**
 * The event store, the source of truth. Appends are durable before they are acknowledged. The adapter itself resolves an
 * unknown outcome, by appending the same event ids again. Every method throws `EngineUnavailable`.
 */
export abstract class EventStore {
  /**
   * Appends one or more events to a stream at `expectedRevision` (`NO_STREAM` if it is empty). Idempotent: the same event
   * ids with the same expected revision give the same answer. Throws `WrongRevision`.
   */
  abstract append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended>;

  /** Returns the events of a stream from a revision on, at most `limit`; none if there is no such stream. */
  abstract readStream(stream: string, fromRevision?: number, limit?: number): Promise<StoredEvent[]>;

  /** Returns a page of the feed (`inFeed`) in store order. */
  abstract readFeed(query: HistoryQuery): Promise<StoredEvent[]>;

  /**
   * Iterates over the feed after a position: stored events, then new ones, each once, in order, without gaps. Reads the
   * next batch after the previous one was consumed. Resumes by itself after the store was unavailable.
   */
  abstract subscribe(options: SubscriptionOptions): AsyncIterable<EventBatch>;

  /** Returns the position of the feed's last event; `START` if there is none. */
  abstract head(): Promise<Position>;

  /**
   * Returns the identity of this store's history. Another store has another one, and so does this store after a restore
   * from an older backup. Kept in the stream `rekey-system`, which the first caller creates.
   */
  abstract identity(): Promise<string>;

  /** Ends subscriptions and disconnects from the engine. */
  abstract close(): Promise<void>;
}
