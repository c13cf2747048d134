import type { EventMetadata } from '@rekey/domain';

/**
 * Where an event stands in the order of the whole store: opaque text of a fixed width within one store, so that
 * comparing text compares places. The empty string stands before every event.
 */
export type Position = string;

/** Before the first event. */
export const START: Position = '';

/** The revision to expect of a stream that has no event yet. */
export const NO_STREAM = -1;

/** An event to append: plain JSON in `data`. Event ids are random per decision. */
export interface NewEvent {
  readonly eventId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: EventMetadata;
}

/** An event as the store holds it: its JSON as it was written, never upcast. */
export interface StoredEvent extends NewEvent {
  readonly stream: string;
  /** Zero-based, without gaps. */
  readonly revision: number;
  readonly position: Position;
}

/** Where the last appended event stands. */
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

/** An engine behind a port is away, or did not answer in time. */
export class EngineUnavailable extends Error {
  constructor(
    readonly engine: string,
    options?: ErrorOptions,
  ) {
    super(`The ${engine} is not available.`, options);
    this.name = 'EngineUnavailable';
  }
}

/** A run of events in store order, and whether the subscription has now seen all that there was. */
export interface EventBatch {
  readonly events: readonly StoredEvent[];
  /** True where nothing more was in the store when the batch was taken. */
  readonly caughtUp: boolean;
}

export interface SubscriptionOptions {
  /** Events after this place, exclusive. */
  readonly after: Position;
  /** At most so many events a batch. */
  readonly batchSize: number;
  /** Ends the subscription; the iteration then returns without an error. */
  readonly signal: AbortSignal;
}

export interface HistoryQuery {
  /** Exclusive. */
  readonly after?: Position;
  readonly limit: number;
}

/** The streams that views are made of: every view reads these in store order, without a filter by type. */
export const FEED_PREFIXES = ['application-', 'domain-'] as const;

/** Whether a stream belongs to the feed of the views. */
export const inFeed = (stream: string): boolean => FEED_PREFIXES.some((prefix) => stream.startsWith(prefix));

/**
 * The truth. Appends are durable before they are acknowledged; an unknown outcome is settled inside the adapter by
 * sending the same event ids again. Every method throws `EngineUnavailable` where the store is away.
 */
export abstract class EventStore {
  /**
   * Appends at least one event to a stream that is at `expectedRevision` (`NO_STREAM`: that has none). Sending the same
   * event ids with the same expected revision again answers as the first time. Throws `WrongRevision`.
   */
  abstract append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended>;

  /** The events of a stream in order, from a revision on, at most `limit`; none where there is no stream. */
  abstract readStream(stream: string, fromRevision?: number, limit?: number): Promise<StoredEvent[]>;

  /** A page of the feed (`inFeed`) in store order. */
  abstract readFeed(query: HistoryQuery): Promise<StoredEvent[]>;

  /**
   * The feed from a place on: what is there, then what comes, each event once, in order, without a gap. A batch is only
   * taken when the one before it has been processed. Goes on by itself when the store was away.
   */
  abstract subscribe(options: SubscriptionOptions): AsyncIterable<EventBatch>;

  /** The place of the last event of the feed; `START` where there is none. */
  abstract head(): Promise<Position>;

  /**
   * Names this store's history. Another one, or the same put back to an older copy by a restore, has another name.
   * Taken from the stream `rekey-system`, which the first caller begins.
   */
  abstract identity(): Promise<string>;

  /** Ends subscriptions and lets go of the engine. */
  abstract close(): Promise<void>;
}
