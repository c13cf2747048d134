import type {
  AllStreamRecordedEvent,
  Position as LogPosition,
  ReadStreamOptions,
  RecordedEvent,
} from '@eventstore/db-client';
import { EngineUnavailable, FEED_PREFIXES, type Position, START } from '@rekey/ports';
import type { Connection } from './connection';
import { ENGINE, isWorthAnotherCall, saysNoStream } from './failures';
import { logPositionOf, textOf } from './positions';
import { type Patience, readThrough } from './reading';

/** Events of the log that one call asks for at least when it looks for some of the feed among others. */
const PAGE_MIN = 256;
const PAGE_MAX = 4_096;
/** Events of the log that are looked at for the head first: mostly the very last one is it. */
const HEAD_PAGE = 8;
/** What a deletion leaves as the first revision that is still readable is more than any stream holds. */
const BEYOND_ALL = 2 ** 53;
const LAST = { direction: 'backwards', fromRevision: 'end', maxCount: 1 } as const;

/**
 * What is read of EventStoreDB: of streams, and of the log that holds all of them. Everything is asked of the leader,
 * for a follower may lag behind what was acknowledged, and throws `EngineUnavailable`. Streams are called here as Rekey
 * calls them; on the server a prefix stands before their names.
 */
export class Log {
  /** What the names of the feed's streams begin with on the server. */
  readonly feedPrefixes: string[];
  /** The head as it was found last, and the last event of the log then. */
  private lookedAt: { readonly head: Position; readonly end: AllStreamRecordedEvent } | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly patience: Patience,
    private readonly prefix: string,
  ) {
    this.feedPrefixes = FEED_PREFIXES.map((begin) => this.nameOf(begin));
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
    const from = logPositionOf(after);
    return this.reading(() => this.feedOnce(after, from, limit));
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

  /** The client sends no filter with a read of the log: what is not of the feed is passed over here. */
  private async feedOnce(after: Position, from: LogPosition | 'start', limit: number): Promise<RecordedEvent[]> {
    const found: RecordedEvent[] = [];
    let last = after;
    for (let fromPosition = from; ;) {
      // One more, as a read begins with the very event that it is to begin after.
      const maxCount = Math.min(Math.max(limit - found.length + 1, PAGE_MIN), PAGE_MAX);
      const begin = last;
      let seen = 0;
      await this.page({ direction: 'forwards', fromPosition, maxCount }, (event) => {
        seen++;
        const position = textOf(event.position);
        if (position <= begin) return true;
        last = position;
        fromPosition = event.position;
        if (this.isOfFeed(event)) found.push(event);
        return found.length < limit;
      });
      if (found.length === limit || seen < maxCount || last === begin) return found;
    }
  }

  /** Looks backwards from the end, as far as nobody has looked before. */
  private async headOnce(): Promise<Position> {
    const before = this.lookedAt;
    let end: AllStreamRecordedEvent | undefined;
    let head: Position | undefined;
    let fromPosition: LogPosition | 'end' = 'end';
    for (let maxCount = HEAD_PAGE; head === undefined; maxCount = Math.min(8 * maxCount, PAGE_MAX)) {
      let seen = 0;
      await this.page({ direction: 'backwards', fromPosition, maxCount }, (event) => {
        seen++;
        end ??= event;
        fromPosition = event.position;
        if (this.isOfFeed(event)) head = textOf(event.position);
        else if (before && isSame(event, before.end)) head = before.head;
        return head === undefined;
      });
      if (seen < maxCount) head ??= START;
    }
    if (end) this.lookedAt = { head, end };
    return head;
  }

  private page(
    options: { direction: 'forwards' | 'backwards'; fromPosition: LogPosition | 'start' | 'end'; maxCount: number },
    take: (event: AllStreamRecordedEvent) => boolean,
  ): Promise<void> {
    const read = this.connection.client.readAll({ ...options, requiresLeader: true });
    return readThrough(read, ({ event }) => !event || take(event), this.patience);
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

/** The very same event of the very same log: one that was put back from an older copy may have another at the place. */
const isSame = (left: AllStreamRecordedEvent, right: AllStreamRecordedEvent): boolean =>
  left.id === right.id && textOf(left.position) === textOf(right.position);
