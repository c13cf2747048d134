import type {
  AllStreamRecordedEvent,
  Position as LogPosition,
  ReadStreamOptions,
  RecordedEvent,
} from '@eventstore/db-client';
import { EngineUnavailable, FEED_PREFIXES, type Position, START } from '@rekey/ports';
import { AllStreams, type End, isSame } from './all-streams';
import type { Connection } from './connection';
import { ENGINE, isWorthAnotherCall, saysNoStream } from './failures';
import { logPositionOf, textOf } from './positions';
import { type Patience, readThrough } from './reading';
import { type Place, Stretch, placeOf } from './stretch';

/** Events of the log that one call asks for at least when it looks for some of the feed among others. */
const PAGE_MIN = 64;
const PAGE_MAX = 4_096;
/** Share of the feed in a page from which on to read all of the log is cheaper than to have it picked out. */
const SHARE_MIN = 1 / 8;
/** Events of the log that are looked at for the head first, call by call: mostly the very last one is it. */
const HEAD_PAGES = [8, 64] as const;
/** What a deletion leaves as the first revision that is still readable is more than any stream holds. */
const BEYOND_ALL = 2 ** 53;
const LAST = { direction: 'backwards', fromRevision: 'end', maxCount: 1 } as const;

/** The head as it was found last, and how far the log was looked at for it: behind the head up to there, all is of others. */
interface LookedAt {
  readonly head: Position;
  readonly end: AllStreamRecordedEvent;
}

/** A look backwards from the end of the log: the head as soon as it is found, and what has been come to. */
interface Look {
  readonly known: LookedAt | undefined;
  from: LogPosition | 'end';
  end?: End;
  head?: Position;
}

/**
 * What is read of EventStoreDB: of streams, and of the log that holds all of them. Everything is asked of the leader,
 * for a follower may lag behind what was acknowledged, and throws `EngineUnavailable`. Streams are called here as Rekey
 * calls them; on the server a prefix stands before their names.
 */
export class Log {
  /** What the names of the feed's streams begin with on the server. */
  readonly feedPrefixes: string[];
  private readonly all: AllStreams;
  private lookedAt: LookedAt | undefined;
  /** The search for the head where nothing is known yet, which all share. */
  private searching: Promise<Position> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly patience: Patience,
    private readonly prefix: string,
  ) {
    this.feedPrefixes = FEED_PREFIXES.map((begin) => this.nameOf(begin));
    this.all = new AllStreams(connection, patience, this.feedPrefixes);
  }

  /** How the server calls a stream. */
  nameOf(stream: string): string {
    return this.prefix + stream;
  }

  /** How Rekey calls a stream of its own that the server calls so. */
  streamOf(name: string): string {
    return name.slice(this.prefix.length);
  }

  /** Events of the server's own, such as the trace of a deletion, may stand in any stream. */
  readonly isOfFeed = ({ streamId, type }: Pick<RecordedEvent, 'streamId' | 'type'>): boolean =>
    this.feedPrefixes.some((begin) => streamId.startsWith(begin)) && !type.startsWith('$');

  /** Events of a stream, from a revision on; none where there is no stream, or no longer. */
  stream(stream: string, fromRevision: number, maxCount: number): Promise<RecordedEvent[]> {
    return this.reading(() => this.streamOnce(this.nameOf(stream), { fromRevision: BigInt(fromRevision), maxCount }));
  }

  async last(stream: string): Promise<RecordedEvent | undefined> {
    return this.lastNamed(this.nameOf(stream));
  }

  /** Whether a stream was deleted in a way that lets it be begun again, then at the revision behind its last. */
  async isSoftDeleted(stream: string): Promise<boolean> {
    const event = await this.lastNamed(`$$${this.nameOf(stream)}`);
    const { $tb: firstReadable } = (event?.data ?? {}) as { $tb?: unknown };
    return typeof firstReadable === 'number' && firstReadable >= BEYOND_ALL;
  }

  /** At most `limit` events of the feed behind a place. Throws `RangeError` where the text is no place. */
  feed(after: Position, limit: number): Promise<RecordedEvent[]> {
    const place = { text: after, position: logPositionOf(after) };
    return this.reading(() => this.feedOnce(place, limit));
  }

  head(): Promise<Position> {
    return this.reading(() => this.headOnce());
  }

  private async lastNamed(name: string): Promise<RecordedEvent | undefined> {
    const [event] = await this.reading(() => this.streamOnce(name, LAST));
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
      await readThrough(read, take, this.patience);
    } catch (error) {
      if (saysNoStream(error)) return [];
      throw error;
    }
    return events;
  }

  /**
   * The client sends no filter with a read of the log. So what is of others is passed over here as long as a good part of
   * it is of the feed, and by the server from where that is not so. What was looked at once is not looked at again.
   */
  private async feedOnce(after: Place, limit: number): Promise<RecordedEvent[]> {
    const { lookedAt: known } = this;
    const isKnown = known?.head === after.text && (await this.isStill(known));
    const stretch = new Stretch(isKnown ? placeOf(known.end) : after, limit, this.isOfFeed);
    if (isKnown || after.text === START) stretch.head = after.text;
    for (;;) {
      const { place: begin, count } = stretch;
      // One more, as a read begins with the very event that it is to begin after; of what is new, a little first.
      const wanted = isKnown && count === 0 ? 0 : limit - count + 1;
      const maxCount = Math.min(Math.max(wanted, PAGE_MIN), PAGE_MAX);
      let seen = 0;
      await this.all.page({ direction: 'forwards', fromPosition: begin.position, maxCount }, (event) => {
        seen++;
        return stretch.take(event);
      });
      if (stretch.isFull) return stretch.events;
      if (seen < maxCount || stretch.place === begin) break;
      if (stretch.count - count >= SHARE_MIN * seen) continue;
      await this.all.pick(stretch, await this.all.end());
      if (stretch.isFull) return stretch.events;
      break;
    }
    this.note(stretch.head, stretch.last);
    return stretch.events;
  }

  /** Looks backwards from the end; where all that is there is of others, further back only once. */
  private async headOnce(): Promise<Position> {
    const { lookedAt: known } = this;
    const look: Look = { from: 'end', known };
    for (const maxCount of HEAD_PAGES) {
      await this.lookBack(look, maxCount);
      if (look.head === undefined) continue;
      this.note(look.head, look.end);
      return look.head;
    }
    if (known && (await this.isStill(known))) return this.headBehind(placeOf(known.end), known.head, look.end);
    if (this.searching) {
      // What is found there may be older than this question, but leaves next to nothing to look at.
      await this.searching;
      return this.headOnce();
    }
    this.searching = this.search(look).finally(() => (this.searching = undefined));
    return this.searching;
  }

  /** One call's worth of looking backwards. */
  private async lookBack(look: Look, maxCount: number, signal?: AbortSignal): Promise<void> {
    let seen = 0;
    await this.all.page({ direction: 'backwards', fromPosition: look.from, maxCount }, (event) => {
      seen++;
      look.end ??= event;
      look.from = event.position;
      if (this.isOfFeed(event)) look.head = textOf(event.position);
      else if (look.known && isSame(event, look.known.end)) look.head = look.known.head;
      return look.head === undefined && !signal?.aborted;
    });
    if (seen < maxCount && !signal?.aborted) look.head ??= START;
  }

  /**
   * Nothing is known yet. Goes on backwards and comes from the start at a time, as either may be the shorter way: there
   * may be few events behind the last one of the feed, or few events of the feed.
   */
  private async search(look: Look): Promise<Position> {
    const over = new AbortController();
    const backwards = async (): Promise<Position> => {
      while (look.head === undefined && !over.signal.aborted) await this.lookBack(look, PAGE_MAX, over.signal);
      this.note(look.head, look.end);
      return look.head ?? START;
    };
    try {
      return await Promise.any([
        backwards(),
        this.headBehind({ text: START, position: 'start' }, START, look.end, over.signal),
      ]);
    } catch (error) {
      throw (error as AggregateError).errors[0];
    } finally {
      over.abort();
    }
  }

  /** The head, of which is known what it was at a place: the server passes over what others have appended since. */
  private async headBehind(place: Place, head: Position, end: End, signal?: AbortSignal): Promise<Position> {
    const stretch = new Stretch(place, 1, this.isOfFeed);
    stretch.head = head;
    const take = (event: AllStreamRecordedEvent): boolean => {
      stretch.take(event);
      stretch.events.length = 0;
      return true;
    };
    await this.all.pick(stretch, end, take, signal);
    this.note(stretch.head, stretch.last);
    return stretch.head;
  }

  /** Where not, the log is another one, put back from a copy: what is known is forgotten. */
  private async isStill({ end }: LookedAt): Promise<boolean> {
    const isStill = await this.all.holds(end);
    if (!isStill) this.lookedAt = undefined;
    return isStill;
  }

  private note(head: Position | undefined, end: End): void {
    if (head !== undefined && end) this.lookedAt = { head, end };
  }

  /** Made again once where the first call only found that the connection or the leader is another now. */
  private async reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read().catch((error) => (isWorthAnotherCall(error) ? read() : Promise.reject(error)));
    } catch (error) {
      throw new EngineUnavailable(ENGINE, { cause: error });
    }
  }
}
