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
  inFeed,
  systemEvent,
} from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { SqliteDatabase } from './sqlite-database';
import type { Statement, Step } from './sqlite-statement';
import { CLOSED, ENGINE, ExpectationFailed } from './sqlite-errors';

const PART = 'events';
const SCHEMA = [
  [
    // AUTOINCREMENT: a position is never reused, even if a restore has removed the last events.
    `CREATE TABLE events (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      stream TEXT NOT NULL,
      revision INTEGER NOT NULL,
      event_id TEXT NOT NULL UNIQUE,
      type TEXT NOT NULL,
      data TEXT NOT NULL,
      metadata TEXT NOT NULL,
      feed INTEGER NOT NULL,
      UNIQUE (stream, revision)
    ) STRICT`,
    'CREATE INDEX events_feed ON events (position) WHERE feed = 1',
  ],
];

const COLUMNS = 'position, stream, revision, event_id, type, data, metadata';
const INSERT = 'INSERT INTO events (stream, revision, event_id, type, data, metadata, feed)';
const LAST_REVISION = 'SELECT coalesce(max(revision), -1) AS revision FROM events WHERE stream =';

/** Pause of a subscription before it retries a failed read. */
const RETRY_MS = 100;
const POSITION_DIGITS = 20;

interface EventRow {
  readonly position: number;
  readonly stream: string;
  readonly revision: number;
  readonly event_id: string;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

/**
 * Events in one table. A transaction of any process holds the file's only write lock from its first insert to its commit.
 * So positions become visible in order: a reader that has seen one has seen all before it.
 */
export class SqliteEventStore extends EventStore {
  private readonly ending = new AbortController();
  private readonly stream: Statement<EventRow>;
  private readonly feed: Statement<EventRow>;
  private readonly lastOfFeed: Statement<{ position: number }>;
  private readonly lastRevision: Statement<{ revision: number }>;
  private readonly byId: Statement<Pick<EventRow, 'position' | 'stream' | 'revision'>>;
  private readonly lastId: Statement<{ event_id: string }>;

  private constructor(
    private readonly database: SqliteDatabase,
    private readonly clock: Clock,
  ) {
    super();
    this.stream = database.prepare(
      `SELECT ${COLUMNS} FROM events WHERE stream = ? AND revision >= ? ORDER BY revision LIMIT ?`,
    );
    this.feed = database.prepare(
      `SELECT ${COLUMNS} FROM events WHERE feed = 1 AND position > ? ORDER BY position LIMIT ?`,
    );
    this.lastOfFeed = database.prepare('SELECT position FROM events WHERE feed = 1 ORDER BY position DESC LIMIT 1');
    this.lastRevision = database.prepare(`${LAST_REVISION} ?`);
    this.byId = database.prepare('SELECT position, stream, revision FROM events WHERE event_id = ?');
    this.lastId = database.prepare('SELECT event_id FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 1');
  }

  /** Creates missing tables. The caller closes the database, after the store. `clock` dates `StoreCreated`. */
  static async open(database: SqliteDatabase, clock: Clock): Promise<SqliteEventStore> {
    await database.migrate(PART, SCHEMA);
    return new SqliteEventStore(database, clock);
  }

  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    if (events.length === 0) throw new RangeError('An append needs at least one event.');
    this.refuseIfClosed();
    try {
      const results = await this.database.write(appendSteps(stream, expectedRevision, events));
      const position = positionOf(results.at(-1)?.lastRowId ?? 0);
      return { revision: expectedRevision + events.length, position };
    } catch (error) {
      if (!(error instanceof ExpectationFailed)) throw error;
      const before = this.appendedBefore(stream, expectedRevision, events);
      if (before) return before;
      throw new WrongRevision(stream, expectedRevision, this.lastRevision.get([stream])?.revision ?? NO_STREAM);
    }
  }

  async readStream(stream: string, fromRevision = 0, limit = -1): Promise<StoredEvent[]> {
    this.refuseIfClosed();
    return this.stream.all([stream, fromRevision, limit]).map(storedEvent);
  }

  async readFeed({ after = START, limit }: HistoryQuery): Promise<StoredEvent[]> {
    this.refuseIfClosed();
    return this.feed.all([rowIdOf(after), limit]).map(storedEvent);
  }

  async *subscribe({ after, batchSize, signal }: SubscriptionOptions): AsyncGenerator<EventBatch> {
    const ended = AbortSignal.any([signal, this.ending.signal]);
    const commits = new CommitSignal(this.database, ended);
    try {
      let position = rowIdOf(after);
      let reportedCaughtUp = false;
      while (!ended.aborted) {
        commits.reset();
        const rows = this.readOrUndefined(position, batchSize + 1);
        if (!rows) {
          await pause(RETRY_MS, ended);
          continue;
        }
        const caughtUp = rows.length <= batchSize;
        if (rows.length > 0 || !reportedCaughtUp) {
          const events = rows.slice(0, batchSize).map(storedEvent);
          yield { events, caughtUp };
          position = rows[events.length - 1]?.position ?? position;
          reportedCaughtUp = caughtUp;
        }
        if (caughtUp) await commits.signalled();
        // Batches are read synchronously: yield to the event loop between them.
        else await setImmediate();
      }
    } finally {
      commits.remove();
    }
  }

  async head(): Promise<Position> {
    this.refuseIfClosed();
    const last = this.lastOfFeed.get();
    return last ? positionOf(last.position) : START;
  }

  /** Not cached, because another process may restore a backup. */
  async identity(): Promise<string> {
    this.refuseIfClosed();
    for (;;) {
      const last = this.lastId.get([SYSTEM_STREAM]);
      if (last) return last.event_id;
      const created = systemEvent('StoreCreated', { storeId: randomUUID() }, this.clock.now(), {
        revision: 0,
        hash: '',
      });
      try {
        await this.append(SYSTEM_STREAM, NO_STREAM, [created]);
      } catch (error) {
        if (!(error instanceof WrongRevision)) throw error;
      }
    }
  }

  /** Ends subscriptions. Does not close the database, which is shared. */
  async close(): Promise<void> {
    this.ending.abort();
  }

  private refuseIfClosed(): void {
    if (this.ending.signal.aborted) throw new EngineUnavailable(ENGINE, { cause: new Error(CLOSED) });
  }

  private readOrUndefined(after: number, limit: number): EventRow[] | undefined {
    try {
      return this.feed.all([after, limit]);
    } catch (error) {
      if (error instanceof EngineUnavailable) return undefined;
      throw error;
    }
  }

  /** Returns the result if these events were appended by an earlier call, whose reply may have been lost. */
  private appendedBefore(stream: string, expected: number, events: readonly NewEvent[]): Appended | undefined {
    let position = 0;
    for (const [index, { eventId }] of events.entries()) {
      const row = this.byId.get([eventId]);
      if (row?.stream !== stream || row.revision !== expected + 1 + index) return undefined;
      position = row.position;
    }
    return { revision: expected + events.length, position: positionOf(position) };
  }
}

const appendSteps = (stream: string, expected: number, events: readonly NewEvent[]): Step[] =>
  events.map((event, index) => {
    const { eventId, type, data, metadata } = event;
    const values = [stream, expected + 1 + index, eventId, type, JSON.stringify(data), JSON.stringify(metadata)];
    const params = [...values, inFeed(stream) ? 1 : 0];
    if (index > 0) return { kind: 'run', sql: `${INSERT} VALUES (?, ?, ?, ?, ?, ?, ?)`, params };
    return {
      kind: 'run',
      sql: `${INSERT} SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE (${LAST_REVISION} ?1) = ?2 - 1`,
      params,
      expectChanges: 1,
    };
  });

export const positionOf = (rowId: number): Position => String(rowId).padStart(POSITION_DIGITS, '0');

const rowIdOf = (position: Position): number => {
  if (position === START) return 0;
  if (!/^\d{20}$/.test(position))
    throw new RangeError('The position is not one of this store: it must have 20 digits.');
  return Number(position);
};

const storedEvent = (row: EventRow): StoredEvent => ({
  stream: row.stream,
  revision: row.revision,
  position: positionOf(row.position),
  eventId: row.event_id,
  type: row.type,
  data: JSON.parse(row.data) as Record<string, unknown>,
  metadata: JSON.parse(row.metadata) as EventMetadata,
});

const pause = async (delayMs: number, ended: AbortSignal): Promise<void> => {
  try {
    await setTimeout(delayMs, undefined, { signal: ended });
  } catch (error) {
    if (!ended.aborted) throw error;
  }
};

/** Wakes a subscription after every commit. A commit between `reset` and `signalled` is not missed. */
class CommitSignal {
  private isSignalled = false;
  private wake: (() => void) | undefined;
  private readonly unwatch: () => void;

  constructor(
    database: SqliteDatabase,
    private readonly ended: AbortSignal,
  ) {
    this.unwatch = database.watch(this.signal);
    ended.addEventListener('abort', this.signal);
  }

  private readonly signal = (): void => {
    this.isSignalled = true;
    this.wake?.();
  };

  reset(): void {
    this.isSignalled = false;
  }

  signalled(): Promise<void> {
    if (this.isSignalled || this.ended.aborted) return Promise.resolve();
    return new Promise((resolve) => (this.wake = resolve));
  }

  remove(): void {
    this.unwatch();
    this.ended.removeEventListener('abort', this.signal);
  }
}
