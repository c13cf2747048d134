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
import { type Connection, connect } from './connection';
import { APPEND_BYTES_MAX, ENGINE, StreamRemoved, refusalOf, tooLarge } from './failures';
import { Following } from './following';
import { Log } from './log';
import { logPositionOf, textOf } from './positions';
import { type Patience, answered } from './reading';

export interface EventStoreDbOptions {
  /** `esdb://user:password@host:2113?tls=true`, as EventStoreDB's clients take it. */
  readonly connectionString: string;
  /**
   * Stands before the name of every stream, so that several systems can share a server. Without a hyphen, so that no
   * streams of one can be taken for another's. Default: none.
   */
  readonly streamPrefix?: string;
  /** For our own timeouts and pauses, and for the date of the store's beginning. */
  readonly clock: Clock;
  /** How long one call may take, or one step of a read. To be more than the 2 s that the server gives a write. */
  readonly callTimeoutMs?: number;
  /** How long an append whose outcome is unknown is sent again, before it is given up as `EngineUnavailable`. */
  readonly appendPatienceMs?: number;
}

const CALL_TIMEOUT_MS = 5_000;
const APPEND_PATIENCE_MS = 10_000;
/** Pauses between attempts: the first, and the longest that doubling leads to. */
const PAUSE_FIRST_MS = 25;
const PAUSE_MAX_MS = 1_000;
/** Events that a subscription may hold ready before they are asked for: the server drops who lets 32 of them wait. */
const FETCHED_AHEAD = 256;
/** The server tells a subscriber how far it has looked after so many times 32 events that are not for it. */
const CHECKPOINT_INTERVAL = 1_000;

/** Events in EventStoreDB, by one client and so one connection. Every call has a time limit of ours. */
export class EventStoreDbEventStore extends EventStore {
  private readonly connection: Connection;
  private readonly log: Log;
  private readonly clock: Clock;
  private readonly patience: Patience;
  private readonly appendPatienceMs: number;
  private readonly ending = new AbortController();
  private readonly inFlight = new Set<Promise<unknown>>();
  private closing: Promise<void> | undefined;

  /** Connects with the first call. Throws `RekeyError` where the connection string cannot be used. */
  constructor(options: EventStoreDbOptions) {
    super();
    this.clock = options.clock;
    this.patience = { clock: options.clock, ms: options.callTimeoutMs ?? CALL_TIMEOUT_MS };
    this.appendPatienceMs = options.appendPatienceMs ?? APPEND_PATIENCE_MS;
    this.connection = connect(options.connectionString);
    this.log = new Log(this.connection, this.patience, options.streamPrefix ?? '');
    // As many as wait at a time.
    setMaxListeners(0, this.ending.signal);
  }

  // ── Appending ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Also throws `payload_too_large` where the events are more than one append holds, and `StreamRemoved`. */
  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    if (events.length === 0) throw new RangeError('Nothing to append.');
    const bytes = bytesOf(events);
    if (bytes > APPEND_BYTES_MAX) throw tooLarge(bytes, APPEND_BYTES_MAX);
    return this.working(async () => {
      if (expectedRevision === NO_STREAM && (await this.log.isSoftDeleted(stream))) throw new StreamRemoved(stream);
      return this.settle(stream, expectedRevision, events, bytes);
    });
  }

  /**
   * Sends the same events until it is known what became of them: whatever was done before, the server answers the same
   * ids with the same expected revision as it did, or would have done, the first time.
   */
  private async settle(
    stream: string,
    expected: number,
    events: readonly NewEvent[],
    bytes: number,
  ): Promise<Appended> {
    const proposed = events.map(proposedEvent);
    const revision = expected + events.length;
    const untilMs = this.clock.monotonicMs() + this.appendPatienceMs;
    for (let pauseMs = PAUSE_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
      let cause: unknown;
      try {
        const result = await this.send(stream, expected, proposed);
        // Of events that were appended a moment ago by an earlier call the server may not know the place yet.
        const position = result.position ?? (await this.log.stream(stream, revision, 1))[0]?.position;
        if (position) return { revision, position: textOf(position) };
      } catch (error) {
        if (error instanceof WrongRevision || error instanceof StreamRemoved) throw error;
        const refusal = refusalOf(stream, bytes, error);
        if (refusal) throw refusal;
        cause = error;
      }
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
        deadline: this.patience.ms,
        credentials: this.connection.credentials,
      });
      result = await answered(call, this.patience);
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
    return (await this.working(() => this.log.stream(stream, fromRevision, maxCount))).map(this.storedEvent);
  }

  async readFeed({ after = START, limit }: HistoryQuery): Promise<StoredEvent[]> {
    if (limit < 1) return [];
    return (await this.working(() => this.log.feed(after, limit))).map(this.storedEvent);
  }

  async head(): Promise<Position> {
    return this.working(() => this.log.head());
  }

  /** Asked afresh each time, as somebody may put a backup back. */
  async identity(): Promise<string> {
    for (;;) {
      const last = await this.working(() => this.log.last(SYSTEM_STREAM));
      if (last) return last.id;
      const place = { revision: 0, hash: '' };
      const created = systemEvent('StoreCreated', { storeId: randomUUID() }, this.clock.now(), place);
      try {
        await this.append(SYSTEM_STREAM, NO_STREAM, [created]);
      } catch (error) {
        if (!(error instanceof WrongRevision)) throw error;
      }
    }
  }

  // ── Following ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A batch that says `caughtUp` was taken when the server had said so and nothing more had arrived. */
  async *subscribe({ after, batchSize, signal }: SubscriptionOptions): AsyncGenerator<EventBatch> {
    const ended = AbortSignal.any([signal, this.ending.signal]);
    let place = after;
    let announced = false;
    let pauseMs = 0;
    while (!ended.aborted) {
      const following = this.follow(place, batchSize, ended);
      try {
        for (;;) {
          const taken = await following.next(batchSize, !announced);
          if (!taken) break;
          const events = taken.events.filter(this.log.isOfFeed).map(this.storedEvent);
          if (events.length > 0 || (taken.caughtUp && !announced)) yield { events, caughtUp: taken.caughtUp };
          place = events.at(-1)?.position ?? place;
          announced = taken.caughtUp;
          pauseMs = 0;
        }
      } finally {
        following.leave();
      }
      // To be dropped for slowness is a part of life, and what was dropped can be had at once; a server may be longer.
      await this.clock.sleep(pauseMs, ended);
      pauseMs = Math.min(Math.max(2 * pauseMs, PAUSE_FIRST_MS), PAUSE_MAX_MS);
    }
  }

  /** From a place that has been processed on; the server leaves out what is of other streams. */
  private follow(after: Position, batchSize: number, ended: AbortSignal): Following {
    const subscription = this.connection.client.subscribeToAll(
      {
        fromPosition: logPositionOf(after),
        filter: streamNameFilter({ prefixes: this.log.feedPrefixes, checkpointInterval: CHECKPOINT_INTERVAL }),
        requiresLeader: true,
      },
      { highWaterMark: Math.max(batchSize, FETCHED_AHEAD) },
    );
    return new Following(subscription, ended, this.patience);
  }

  private readonly storedEvent = (event: RecordedEvent): StoredEvent => {
    if (!event.position) throw new EngineUnavailable(ENGINE, { cause: new Error('The server is older than 22.6.') });
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

  // ── Ending ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets what is under way come to its end, without further attempts, before the client is let go of. */
  close(): Promise<void> {
    this.closing ??= (async () => {
      this.ending.abort();
      await Promise.allSettled(this.inFlight);
      await answered(this.connection.client.dispose(), this.patience).catch(() => undefined);
    })();
    return this.closing;
  }

  private async working<T>(work: () => Promise<T>): Promise<T> {
    if (this.ending.signal.aborted) throw new EngineUnavailable(ENGINE);
    const running = work();
    this.inFlight.add(running);
    try {
      return await running;
    } finally {
      this.inFlight.delete(running);
    }
  }
}

/** What the server counts of an append. */
const bytesOf = (events: readonly NewEvent[]): number =>
  events.reduce(
    (sum, { type, data, metadata }) =>
      sum + 2 * type.length + Buffer.byteLength(JSON.stringify(data)) + Buffer.byteLength(JSON.stringify(metadata)),
    0,
  );

const proposedEvent = ({ eventId, type, data, metadata }: NewEvent): JSONEventData =>
  jsonEvent({ id: eventId, type, data, metadata });
