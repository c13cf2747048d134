import type {
  AllStreamRecordedEvent,
  Position as LogPosition,
  ReadStreamOptions,
  RecordedEvent,
} from '@eventstore/db-client';
import { EngineUnavailable, FEED_PREFIXES, type Position, START } from '@rekey/ports';
import { AllStreams, isSameEvent, type LastEvent } from './all-streams';
import { type CallTimeout, readEach } from './client-calls';
import type { Connection } from './connection';
import { ENGINE, isNoStream, isRetryable } from './failures';
import { type LogPlace, LogRange, placeOf } from './log-range';
import { logPositionOf, textOf } from './positions';

/** Bounds on the number of events of a page that is read to find events of the feed among others. */
const PAGE_MIN = 64;
const PAGE_MAX = 4_096;
/** If at least this share of a page belongs to the feed, reading the whole log is cheaper than a filtered read. */
const SHARE_MIN = 1 / 8;
/** Sizes of the first pages read backwards to find the head, which is usually the last event of the log. */
const HEAD_PAGES = [8, 64] as const;
/** A soft deletion sets the first readable revision to at least this, which no stream reaches. */
const BEYOND_ALL = 2 ** 53;
const LAST = { direction: 'backwards', fromRevision: 'end', maxCount: 1 } as const;

/** The head found last, and the last event of the log at that time: between the two is no event of the feed. */
interface KnownHead {
  readonly head: Position;
  readonly last: AllStreamRecordedEvent;
}

/** State of a search for the head, backwards from the end of the log. */
interface HeadSearch {
  readonly known: KnownHead | undefined;
  /** Where the next page starts. */
  from: LogPosition | 'end';
  /** The last event of the log when the search began. */
  last?: LastEvent;
  /** Set once the head is found. */
  head?: Position;
}

/**
 * Reads of single streams and of the log of all streams. All reads go to the leader, because a follower may be behind
 * acknowledged appends. They throw `EngineUnavailable`. Parameters are Rekey's stream names; on the server a prefix
 * precedes them.
 */
export class Log {
  /** Prefixes of the feed's streams on the server. */
  readonly feedPrefixes: string[];
  private readonly all: AllStreams;
  private known: KnownHead | undefined;
  /** A running search of the whole log for the head, which all callers share. */
  private searching: Promise<Position> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly timeout: CallTimeout,
    private readonly prefix: string,
  ) {
    this.feedPrefixes = FEED_PREFIXES.map((begin) => this.nameOf(begin));
    this.all = new AllStreams(connection, timeout, this.feedPrefixes);
  }

  /** Returns a stream's name on the server. */
  nameOf(stream: string): string {
    return this.prefix + stream;
  }

  /** Returns Rekey's name of a stream on the server. */
  streamOf(name: string): string {
    return name.slice(this.prefix.length);
  }

  /** Excludes system events, which any stream may contain, such as the marker of a deletion. */
  readonly isOfFeed = ({ streamId, type }: Pick<RecordedEvent, 'streamId' | 'type'>): boolean =>
    this.feedPrefixes.some((begin) => streamId.startsWith(begin)) && !type.startsWith('$');

  /** Returns events of a stream from a revision on; none if the stream does not exist or was deleted. */
  stream(stream: string, fromRevision: number, maxCount: number): Promise<RecordedEvent[]> {
    return this.retryOnce(() => this.streamOnce(this.nameOf(stream), { fromRevision: BigInt(fromRevision), maxCount }));
  }

  async last(stream: string): Promise<RecordedEvent | undefined> {
    return this.lastNamed(this.nameOf(stream));
  }

  /** Whether a stream is soft-deleted. An append to it would succeed and continue after its last revision. */
  async isSoftDeleted(stream: string): Promise<boolean> {
    const event = await this.lastNamed(`$$${this.nameOf(stream)}`);
    const { $tb: firstReadable } = (event?.data ?? {}) as { $tb?: unknown };
    return typeof firstReadable === 'number' && firstReadable >= BEYOND_ALL;
  }

  /** Returns up to `limit` events of the feed after a position. Throws `RangeError` if the position is malformed. */
  feed(after: Position, limit: number): Promise<RecordedEvent[]> {
    const place = { text: after, position: logPositionOf(after) };
    return this.retryOnce(() => this.feedOnce(place, limit));
  }

  head(): Promise<Position> {
    return this.retryOnce(() => this.headOnce());
  }

  private async lastNamed(name: string): Promise<RecordedEvent | undefined> {
    const [event] = await this.retryOnce(() => this.streamOnce(name, LAST));
    return event;
  }

  private async streamOnce(name: string, options: ReadStreamOptions): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    const read = this.connection.client.readStream(name, { ...options, requiresLeader: true });
    const take = ({ event }: { event?: RecordedEvent }): boolean => {
      if (event) events.push(event);
      return true;
    };
    try {
      await readEach(read, take, this.timeout);
    } catch (error) {
      if (isNoStream(error)) return [];
      throw error;
    }
    return events;
  }

  /**
   * The client cannot filter a read of the log. Events of other streams are therefore skipped here while the feed makes up
   * a good part of the log, and by a filtered subscription otherwise. A range known to hold no event of the feed is not
   * read again.
   */
  private async feedOnce(after: LogPlace, limit: number): Promise<RecordedEvent[]> {
    const { known } = this;
    const isKnown = known?.head === after.text && (await this.isStillValid(known));
    const range = new LogRange(isKnown ? placeOf(known.last) : after, limit, this.isOfFeed);
    if (isKnown || after.text === START) range.head = after.text;
    for (;;) {
      const { end: begin, count } = range;
      // One more than needed, because a read includes the event at its start. After the known head, a small page first.
      const wanted = isKnown && count === 0 ? 0 : limit - count + 1;
      const maxCount = Math.min(Math.max(wanted, PAGE_MIN), PAGE_MAX);
      let seen = 0;
      await this.all.readPage({ direction: 'forwards', fromPosition: begin.position, maxCount }, (event) => {
        seen++;
        return range.add(event);
      });
      if (range.isFull) return range.events;
      if (seen < maxCount || range.end === begin) break;
      if (range.count - count >= SHARE_MIN * seen) continue;
      await this.all.readFiltered(range, await this.all.lastEvent());
      if (range.isFull) return range.events;
      break;
    }
    this.remember(range.head, range.last);
    return range.events;
  }

  /** Reads two small pages backwards from the end, and then searches from what is known. */
  private async headOnce(): Promise<Position> {
    const { known } = this;
    const search: HeadSearch = { from: 'end', known };
    for (const maxCount of HEAD_PAGES) {
      await this.searchBack(search, maxCount);
      if (search.head === undefined) continue;
      this.remember(search.head, search.last);
      return search.head;
    }
    if (known && (await this.isStillValid(known))) return this.headAfter(placeOf(known.last), known.head, search.last);
    if (this.searching) {
      // The result of that search may be older than this call, but it leaves little to read.
      await this.searching;
      return this.headOnce();
    }
    this.searching = this.searchAll(search).finally(() => (this.searching = undefined));
    return this.searching;
  }

  /** Searches one page backwards. */
  private async searchBack(search: HeadSearch, maxCount: number, signal?: AbortSignal): Promise<void> {
    let seen = 0;
    await this.all.readPage({ direction: 'backwards', fromPosition: search.from, maxCount }, (event) => {
      seen++;
      search.last ??= event;
      search.from = event.position;
      if (this.isOfFeed(event)) search.head = textOf(event.position);
      else if (search.known && isSameEvent(event, search.known.last)) search.head = search.known.head;
      return search.head === undefined && !signal?.aborted;
    });
    if (seen < maxCount && !signal?.aborted) search.head ??= START;
  }

  /**
   * Searches backwards from the end and, filtered, forwards from the start at the same time. Either can be the shorter
   * way: few events may follow the head, or the feed may have few events.
   */
  private async searchAll(search: HeadSearch): Promise<Position> {
    const over = new AbortController();
    const backwards = async (): Promise<Position> => {
      while (search.head === undefined && !over.signal.aborted) await this.searchBack(search, PAGE_MAX, over.signal);
      this.remember(search.head, search.last);
      return search.head ?? START;
    };
    try {
      return await Promise.any([
        backwards(),
        this.headAfter({ text: START, position: 'start' }, START, search.last, over.signal),
      ]);
    } catch (error) {
      throw (error as AggregateError).errors[0];
    } finally {
      over.abort();
    }
  }

  /** Finds the head with a filtered read from a place where the head is known. */
  private async headAfter(place: LogPlace, head: Position, last: LastEvent, signal?: AbortSignal): Promise<Position> {
    const range = new LogRange(place, 1, this.isOfFeed);
    range.head = head;
    const take = (event: AllStreamRecordedEvent): boolean => {
      range.add(event);
      range.events.length = 0;
      return true;
    };
    await this.all.readFiltered(range, last, take, signal);
    this.remember(range.head, range.last);
    return range.head;
  }

  /** Checks that the log was not replaced, for example by an older copy; if it was, forgets the known head. */
  private async isStillValid({ last }: KnownHead): Promise<boolean> {
    const isValid = await this.all.contains(last);
    if (!isValid) this.known = undefined;
    return isValid;
  }

  private remember(head: Position | undefined, last: LastEvent): void {
    if (head !== undefined && last) this.known = { head, last };
  }

  /** Repeats a read once if it failed only because the connection or the leader has changed. */
  private async retryOnce<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read().catch((error) => (isRetryable(error) ? read() : Promise.reject(error)));
    } catch (error) {
      throw new EngineUnavailable(ENGINE, { cause: error });
    }
  }
}
