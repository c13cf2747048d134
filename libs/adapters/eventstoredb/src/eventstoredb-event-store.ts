import {
  type AppendResult,
  type JSONEventData,
  type RecordedEvent,
  WrongExpectedVersionError,
  jsonEvent,
  streamNameFilter,
} from '@eventstore/db-client';
import type { EventMetadata } from '@rekey/domain';
import {
  backoffMs,
  type Appended,
  type Clock,
  EngineUnavailable,
  type EventBatch,
  EventStore,
  type HistoryQuery,
  NO_STREAM,
  type NewEvent,
  type Position,
  START,
  SYSTEM_STREAM,
  type StoredEvent,
  type SubscriptionOptions,
  WrongRevision,
  systemEvent,
} from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { type CallTimeout, withTimeout } from './client-calls';
import { type Connection, connect } from './connection';
import { APPEND_BYTES_MAX, ENGINE, StreamRemoved, refusalOf, tooLarge } from './failures';
import { Log } from './log';
import { logPositionOf, textOf } from './positions';
import { PullSubscription } from './subscription';

export interface EventStoreDbOptions {
  /** EventStoreDB connection string: `esdb://user:password@host:2113?tls=true`. */
  readonly connectionString: string;
  /**
   * Prefix of every stream name, so that several systems can share a server. Must not contain a hyphen; otherwise the
   * streams of one system could match the prefix of another. Default: none.
   */
  readonly streamPrefix?: string;
  /** Used for timeouts and pauses, and for the date in `StoreCreated`. */
  readonly clock: Clock;
  /** Time limit of a call, or of the next event of a read. Must exceed the 2 s that the server allows a write. Default 5,000. */
  readonly callTimeoutMs?: number;
  /** How long an append with an unknown outcome is retried before it fails as `EngineUnavailable`. Default 10,000. */
  readonly appendRetryMs?: number;
}

const CALL_TIMEOUT_MS = 5_000;
const APPEND_RETRY_MS = 10_000;
/** Pause before the first retry; doubled up to the maximum. */
const PAUSE_FIRST_MS = 25;
const PAUSE_MAX_MS = 1_000;
/** Events that a subscription buffers. The server drops a live subscriber that leaves 32 events waiting. */
const BUFFER_MIN = 256;
/** The server sends a checkpoint after this many times 32 events that the filter excludes. */
const CHECKPOINT_INTERVAL = 1_000;

/** Events in EventStoreDB, over one client and therefore one connection. Every call has a time limit. */
export class EventStoreDbEventStore extends EventStore {
  private readonly connection: Connection;
  private readonly log: Log;
  private readonly clock: Clock;
  private readonly timeout: CallTimeout;
  private readonly appendRetryMs: number;
  private readonly ending = new AbortController();
  private readonly inFlight = new Set<Promise<unknown>>();
  private closing: Promise<void> | undefined;

  /** Connects with the first call. Throws `invalid_request` if the connection string cannot be used. */
  constructor(options: EventStoreDbOptions) {
    super();
    this.clock = options.clock;
    this.timeout = { clock: options.clock, ms: options.callTimeoutMs ?? CALL_TIMEOUT_MS };
    this.appendRetryMs = options.appendRetryMs ?? APPEND_RETRY_MS;
    this.connection = connect(options.connectionString);
    this.log = new Log(this.connection, this.timeout, options.streamPrefix ?? '');
    // Every waiting call adds a listener; without this, Node warns of a leak at eleven.
    setMaxListeners(0, this.ending.signal);
  }

  // ── Appending ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Also throws `payload_too_large` if the events exceed the size limit of an append, and `StreamRemoved`. */
  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    if (events.length === 0) throw new RangeError('An append needs at least one event.');
    const bytes = bytesOf(events);
    if (bytes > APPEND_BYTES_MAX) throw tooLarge(bytes, APPEND_BYTES_MAX);
    return this.track(async () => {
      if (expectedRevision === NO_STREAM && (await this.log.isSoftDeleted(stream))) throw new StreamRemoved(stream);
      return this.appendUntilKnown(stream, expectedRevision, events, bytes);
    });
  }

  /**
   * Sends the same events until the outcome is known. Appends are idempotent: for the same event ids and expected
   * revision, the server gives the answer that it gave, or would have given, the first time.
   */
  private async appendUntilKnown(
    stream: string,
    expected: number,
    events: readonly NewEvent[],
    bytes: number,
  ): Promise<Appended> {
    const proposed = events.map(proposedEvent);
    const revision = expected + events.length;
    const untilMs = this.clock.monotonicMs() + this.appendRetryMs;
    for (let attempt = 1; ; attempt++) {
      let cause: unknown;
      try {
        const result = await this.send(stream, expected, proposed);
        // For a repeated append, the server may not know the position of the events yet.
        const position = result.position ?? (await this.log.stream(stream, revision, 1))[0]?.position;
        if (position) return { revision, position: textOf(position) };
      } catch (error) {
        if (error instanceof WrongRevision || error instanceof StreamRemoved) throw error;
        const refusal = refusalOf(stream, bytes, error);
        if (refusal) throw refusal;
        cause = error;
      }
      const pauseMs = backoffMs(attempt, PAUSE_FIRST_MS, PAUSE_MAX_MS);
      const isLate = this.clock.monotonicMs() + pauseMs >= untilMs;
      if (isLate || this.ending.signal.aborted) throw new EngineUnavailable(ENGINE, { cause });
      await this.clock.sleep(pauseMs, this.ending.signal);
    }
  }

  private async send(stream: string, expected: number, events: JSONEventData[]): Promise<AppendResult> {
    let result: AppendResult;
    try {
      const call = this.connection.client.appendToStream(this.log.nameOf(stream), events, {
        expectedRevision: expected === NO_STREAM ? 'no_stream' : BigInt(expected),
        requiresLeader: true,
        deadline: this.timeout.ms,
        credentials: this.connection.credentials,
      });
      result = await withTimeout(call, this.timeout);
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError)) throw error;
      const { actualVersion } = error;
      throw new WrongRevision(stream, expected, typeof actualVersion === 'bigint' ? Number(actualVersion) : NO_STREAM);
    }
    if (Number(result.nextExpectedRevision) !== expected + events.length) throw new StreamRemoved(stream);
    return result;
  }

  // ── Reading ────────────────────────────────────────────────────────────────────────────────────────────────────

  async readStream(stream: string, fromRevision = 0, limit = Number.MAX_SAFE_INTEGER): Promise<StoredEvent[]> {
    if (limit < 1) return [];
    const maxCount = Math.min(limit, Number.MAX_SAFE_INTEGER);
    return (await this.track(() => this.log.stream(stream, fromRevision, maxCount))).map(this.storedEvent);
  }

  async readFeed({ after = START, limit }: HistoryQuery): Promise<StoredEvent[]> {
    if (limit < 1) return [];
    return (await this.track(() => this.log.feed(after, limit))).map(this.storedEvent);
  }

  async head(): Promise<Position> {
    return this.track(() => this.log.head());
  }

  /** Not cached, because an operator may restore a backup. */
  async identity(): Promise<string> {
    for (;;) {
      const last = await this.track(() => this.log.last(SYSTEM_STREAM));
      if (last) return last.id;
      const first = { revision: 0, hash: '' };
      const created = systemEvent('StoreCreated', { storeId: randomUUID() }, this.clock.now(), first);
      try {
        await this.append(SYSTEM_STREAM, NO_STREAM, [created]);
      } catch (error) {
        if (!(error instanceof WrongRevision)) throw error;
      }
    }
  }

  // ── Subscribing ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A batch has `caughtUp` if the server had reported it and no further event had arrived. */
  async *subscribe({ after, batchSize, signal }: SubscriptionOptions): AsyncGenerator<EventBatch> {
    const ended = AbortSignal.any([signal, this.ending.signal]);
    let position = after;
    let reportedCaughtUp = false;
    let pauseMs = 0;
    while (!ended.aborted) {
      const subscription = this.pullFrom(position, batchSize, ended);
      try {
        for (;;) {
          const batch = await subscription.next(batchSize, !reportedCaughtUp);
          if (!batch) break;
          const { caughtUp } = batch;
          const events = batch.events.filter(this.log.isOfFeed).map(this.storedEvent);
          if (events.length > 0 || (caughtUp && !reportedCaughtUp)) yield { events, caughtUp };
          position = events.at(-1)?.position ?? position;
          reportedCaughtUp = caughtUp;
          pauseMs = 0;
        }
      } finally {
        subscription.leave();
      }
      // Dropped as too slow, a subscriber resubscribes at once; it pauses only after attempts that returned nothing.
      await this.clock.sleep(pauseMs, ended);
      pauseMs = Math.min(Math.max(2 * pauseMs, PAUSE_FIRST_MS), PAUSE_MAX_MS);
    }
  }

  /** Subscribes after a position; the server leaves out other streams. */
  private pullFrom(after: Position, batchSize: number, ended: AbortSignal): PullSubscription {
    const subscription = this.connection.client.subscribeToAll(
      {
        fromPosition: logPositionOf(after),
        filter: streamNameFilter({ prefixes: this.log.feedPrefixes, checkpointInterval: CHECKPOINT_INTERVAL }),
        requiresLeader: true,
      },
      { highWaterMark: Math.max(batchSize, BUFFER_MIN) },
    );
    return new PullSubscription(subscription, ended, this.timeout);
  }

  private readonly storedEvent = (event: RecordedEvent): StoredEvent => {
    if (!event.position)
      throw new EngineUnavailable(ENGINE, { cause: new Error('The server is older than version 22.6; upgrade it.') });
    return {
      stream: this.log.streamOf(event.streamId),
      revision: Number(event.revision),
      position: textOf(event.position),
      eventId: event.id,
      type: event.type,
      data: event.data as Record<string, unknown>,
      metadata: (event.metadata ?? {}) as unknown as EventMetadata,
    };
  };

  // ── Closing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Waits for running calls, without further retries, and then disposes of the client. */
  close(): Promise<void> {
    this.closing ??= (async () => {
      this.ending.abort();
      await Promise.allSettled(this.inFlight);
      await withTimeout(this.connection.client.dispose(), this.timeout).catch(() => undefined);
    })();
    return this.closing;
  }

  private async track<T>(work: () => Promise<T>): Promise<T> {
    if (this.ending.signal.aborted)
      throw new EngineUnavailable(ENGINE, { cause: new Error('Rekey is shutting down.') });
    const running = work();
    this.inFlight.add(running);
    try {
      return await running;
    } finally {
      this.inFlight.delete(running);
    }
  }
}

/** Size of an append as the server counts it. */
const bytesOf = (events: readonly NewEvent[]): number =>
  events.reduce(
    (sum, { type, data, metadata }) =>
      sum + 2 * type.length + Buffer.byteLength(JSON.stringify(data)) + Buffer.byteLength(JSON.stringify(metadata)),
    0,
  );

const proposedEvent = ({ eventId, type, data, metadata }: NewEvent): JSONEventData =>
  jsonEvent({ id: eventId, type, data, metadata });
