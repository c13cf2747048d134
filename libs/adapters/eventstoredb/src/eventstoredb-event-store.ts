import {
  type AllStreamRecordedEvent,
  type AppendResult,
  type JSONEventData,
  type Position as LogPosition,
  type ReadStreamOptions,
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
  FEED_PREFIXES,
  type HistoryQuery,
  NO_STREAM,
  type NewEvent,
  type Position,
  START,
  SYSTEM_STREAM,
  type StoredEvent,
  type SubscriptionOptions,
  WrongRevision,
  inFeed,
  systemEvent,
} from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { type Connection, connect } from './connection';
import {
  APPEND_BYTES_MAX,
  ENGINE,
  StreamRemoved,
  isWorthAnotherCall,
  refusalOf,
  saysNoStream,
  tooLarge,
} from './failures';
import { Following } from './following';
import { logPositionOf, textOf } from './positions';
import { type Patience, answered, readThrough } from './reading';

export interface EventStoreDbOptions {
  /** `esdb://user:password@host:2113?tls=true`, as EventStoreDB's clients take it. */
  readonly connectionString: string;
  /** For our own timeouts and pauses, and for the date of the store's beginning. */
  readonly clock: Clock;
  /** How long one call may take, or one step of a read. More than the server's own 2 s for a write. */
  readonly callTimeoutMs?: number;
  /** How long an append whose outcome is unknown is sent again, before it is given up as `EngineUnavailable`. */
  readonly appendPatienceMs?: number;
}

const CALL_TIMEOUT_MS = 5_000;
const APPEND_PATIENCE_MS = 10_000;
/** Pauses between attempts: the first, and the longest that doubling leads to. */
const PAUSE_FIRST_MS = 25;
const PAUSE_MAX_MS = 1_000;
/** Events of the log that one call asks for at least when it looks for some of the feed among others. */
const PAGE_MIN = 256;
const PAGE_MAX = 4_096;
/** Events of the log that are looked at for the head first: mostly the very last one is it. */
const HEAD_PAGE = 8;
/** The server tells a subscriber how far it has looked after so many times 32 events that are not for it. */
const CHECKPOINT_INTERVAL = 1_000;
/** What a deletion leaves as the first revision that is still readable: the greatest there is. */
const ALL_DELETED = 2 ** 53;

type LogEvent = Pick<AllStreamRecordedEvent, 'streamId' | 'type' | 'position'>;

/**
 * Events in EventStoreDB. One client, one connection; every call has a time limit of its own, for the client keeps none
 * on reads, and goes to the leader, for a follower may lag behind what was acknowledged.
 */
export class EventStoreDbEventStore extends EventStore {
  private readonly connection: Connection;
  private readonly clock: Clock;
  private readonly patience: Patience;
  private readonly appendPatienceMs: number;
  private readonly ending = new AbortController();
  private readonly inFlight = new Set<Promise<unknown>>();
  private closing: Promise<void> | undefined;
  /** The head as it was found last, and the last event of the log then. */
  private lookedAt: { readonly head: Position; readonly end: RecordedEvent } | undefined;

  /** Connects with the first call. Throws `RekeyError` where the connection string cannot be used. */
  constructor(options: EventStoreDbOptions) {
    super();
    this.clock = options.clock;
    this.patience = { clock: options.clock, ms: options.callTimeoutMs ?? CALL_TIMEOUT_MS };
    this.appendPatienceMs = options.appendPatienceMs ?? APPEND_PATIENCE_MS;
    this.connection = connect(options.connectionString);
  }

  // ── Appending ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Also throws `payload_too_large` where the events are more than one append holds, and `StreamRemoved`. */
  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    if (events.length === 0) throw new RangeError('Nothing to append.');
    const bytes = bytesOf(events);
    if (bytes > APPEND_BYTES_MAX) throw tooLarge(bytes, APPEND_BYTES_MAX);
    return this.working(async () => {
      if (expectedRevision === NO_STREAM && (await this.isSoftDeleted(stream))) throw new StreamRemoved(stream);
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
    const untilMs = this.clock.monotonicMs() + this.appendPatienceMs;
    for (let pauseMs = PAUSE_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
      let failure: unknown;
      try {
        const result = await this.send(stream, expected, proposed);
        const position = result.position ?? (await this.positionAt(stream, expected + events.length));
        if (position) return { revision: expected + events.length, position: textOf(position) };
      } catch (error) {
        if (error instanceof WrongRevision || error instanceof StreamRemoved) throw error;
        const refusal = refusalOf(stream, bytes, error);
        if (refusal) throw refusal;
        failure = error;
      }
      const isLate = this.clock.monotonicMs() + pauseMs >= untilMs;
      if (isLate || this.ending.signal.aborted) throw new EngineUnavailable(ENGINE, { cause: failure });
      await this.clock.sleep(pauseMs, this.ending.signal);
    }
  }

  private async send(stream: string, expected: number, events: JSONEventData[]): Promise<AppendResult> {
    let result: AppendResult;
    try {
      const { client, credentials } = this.connection;
      const call = client.appendToStream(stream, events, {
        expectedRevision: expected === NO_STREAM ? 'no_stream' : BigInt(expected),
        requiresLeader: true,
        deadline: this.patience.ms,
        credentials,
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

  /** Where an event stands: of one that it has just written, the server may not know the place yet. */
  private async positionAt(stream: string, revision: number): Promise<LogPosition | undefined> {
    const [event] = await this.eventsOf(stream, { fromRevision: BigInt(revision), maxCount: 1 });
    return event?.position;
  }

  /** Whether a stream was deleted in a way that lets it be begun again, then at the revision behind its last. */
  private async isSoftDeleted(stream: string): Promise<boolean> {
    const [event] = await this.reading(() =>
      this.eventsOf(`$$${stream}`, { direction: 'backwards', fromRevision: 'end', maxCount: 1 }),
    );
    const { $tb: firstReadable } = (event?.data ?? {}) as { $tb?: unknown };
    return typeof firstReadable === 'number' && firstReadable >= ALL_DELETED;
  }

  // ── Reading ────────────────────────────────────────────────────────────────────────────────────────────────────

  async readStream(stream: string, fromRevision = 0, limit = Number.MAX_SAFE_INTEGER): Promise<StoredEvent[]> {
    if (limit < 1) return [];
    const options = { fromRevision: BigInt(fromRevision), maxCount: Math.min(limit, Number.MAX_SAFE_INTEGER) };
    const events = await this.working(() => this.reading(() => this.eventsOf(stream, options)));
    return events.map(storedEvent);
  }

  async readFeed({ after = START, limit }: HistoryQuery): Promise<StoredEvent[]> {
    const from = logPositionOf(after);
    if (limit < 1) return [];
    const events = await this.working(() => this.reading(() => this.feedEvents(after, from, limit)));
    return events.map(storedEvent);
  }

  async head(): Promise<Position> {
    return this.working(() => this.reading(() => this.findHead()));
  }

  /** Asked afresh each time, as somebody may put a backup back. */
  async identity(): Promise<string> {
    for (;;) {
      const [last] = await this.working(() =>
        this.reading(() => this.eventsOf(SYSTEM_STREAM, { direction: 'backwards', fromRevision: 'end', maxCount: 1 })),
      );
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

  private async eventsOf(stream: string, options: ReadStreamOptions): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    const read = this.connection.client.readStream(stream, { ...options, requiresLeader: true });
    try {
      await readThrough(
        read,
        ({ event }) => {
          if (event) events.push(event);
          return true;
        },
        this.patience,
      );
    } catch (error) {
      if (saysNoStream(error)) return [];
      throw error;
    }
    return events;
  }

  /** The client sends no filter with a read of the log: what is not of the feed is passed over here. */
  private async feedEvents(after: Position, from: LogPosition | 'start', limit: number): Promise<RecordedEvent[]> {
    const found: RecordedEvent[] = [];
    let last = after;
    for (let fromPosition = from; ;) {
      // One more, as a read begins with the very event that it is to begin after.
      const maxCount = Math.min(Math.max(limit - found.length + 1, PAGE_MIN), PAGE_MAX);
      const begin = last;
      let seen = 0;
      await this.readLog({ direction: 'forwards', fromPosition, maxCount }, (event) => {
        seen++;
        const position = textOf(event.position);
        if (position <= begin) return true;
        last = position;
        fromPosition = event.position;
        if (isOfFeed(event)) found.push(event);
        return found.length < limit;
      });
      if (found.length === limit || seen < maxCount || last === begin) return found;
    }
  }

  /** Looks backwards from the end, as far as nobody has looked before. */
  private async findHead(): Promise<Position> {
    const before = this.lookedAt;
    let end: RecordedEvent | undefined;
    let head: Position | undefined;
    let fromPosition: LogPosition | 'end' = 'end';
    for (let maxCount = HEAD_PAGE; head === undefined; maxCount = Math.min(8 * maxCount, PAGE_MAX)) {
      let seen = 0;
      await this.readLog({ direction: 'backwards', fromPosition, maxCount }, (event) => {
        seen++;
        end ??= event;
        fromPosition = event.position;
        if (isOfFeed(event)) head = textOf(event.position);
        else if (isSame(event, before?.end)) head = before?.head;
        return head === undefined;
      });
      if (seen < maxCount) head ??= START;
    }
    if (end) this.lookedAt = { head, end };
    return head;
  }

  private readLog(
    options: { direction: 'forwards' | 'backwards'; fromPosition: LogPosition | 'start' | 'end'; maxCount: number },
    take: (event: AllStreamRecordedEvent) => boolean,
  ): Promise<void> {
    const read = this.connection.client.readAll({ ...options, requiresLeader: true });
    return readThrough(read, ({ event }) => !event || take(event), this.patience);
  }

  // ── Following ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A batch that says `caughtUp` was taken when the server had said so and nothing more had arrived. */
  async *subscribe({ after, batchSize, signal }: SubscriptionOptions): AsyncGenerator<EventBatch> {
    logPositionOf(after);
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
          const events = taken.events.filter(isOfFeed).map(storedEvent);
          if (events.length > 0 || (taken.caughtUp && !announced)) yield { events, caughtUp: taken.caughtUp };
          place = events.at(-1)?.position ?? place;
          announced = taken.caughtUp;
          pauseMs = 0;
        }
      } finally {
        following.leave();
      }
      // Being dropped for slowness is a part of life, and what was dropped is there at once; the rest is not so quick.
      await this.clock.sleep(pauseMs, ended);
      pauseMs = Math.min(Math.max(2 * pauseMs, PAUSE_FIRST_MS), PAUSE_MAX_MS);
    }
  }

  /** From a place that has been processed on: what is filtered out costs the connection nothing. */
  private follow(after: Position, batchSize: number, ended: AbortSignal): Following {
    const subscription = this.connection.client.subscribeToAll(
      {
        fromPosition: logPositionOf(after),
        filter: streamNameFilter({ prefixes: [...FEED_PREFIXES], checkpointInterval: CHECKPOINT_INTERVAL }),
        requiresLeader: true,
      },
      { highWaterMark: batchSize },
    );
    return new Following(subscription, ended, this.patience);
  }

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

  /** A read, made again once where the first one only found that the connection or the leader is another now. */
  private async reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read().catch((error) => (isWorthAnotherCall(error) ? read() : Promise.reject(error)));
    } catch (error) {
      throw new EngineUnavailable(ENGINE, { cause: error });
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

/** Events of the server's own, such as the trace of a deletion, may stand in any stream. */
const isOfFeed = ({ streamId, type }: LogEvent): boolean => inFeed(streamId) && !type.startsWith('$');

const isSame = (event: RecordedEvent, other: RecordedEvent | undefined): boolean =>
  other?.position !== undefined && event.position !== undefined &&
  event.id === other.id && textOf(event.position) === textOf(other.position); // prettier-ignore

const storedEvent = (event: RecordedEvent): StoredEvent => {
  if (!event.position) throw new EngineUnavailable(ENGINE, { cause: new Error('The server is older than 22.6.') });
  return {
    stream: event.streamId,
    revision: Number(event.revision),
    position: textOf(event.position),
    eventId: event.id,
    type: event.type,
    data: event.data as Record<string, unknown>,
    metadata: (event.metadata ?? {}) as unknown as EventMetadata,
  };
};
