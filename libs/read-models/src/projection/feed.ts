import { UnreadableEvent, decodeEvent, type FeedEvent } from '@rekey/contracts';
import { EngineUnavailable, type Clock, type EventStore, type Position, type StoredEvent } from '@rekey/ports';

/** A stored event, and its decoded form in the current schema or the reason why it cannot be decoded. */
export type DecodedEvent =
  | { readonly stored: StoredEvent; readonly event: FeedEvent }
  | { readonly stored: StoredEvent; readonly unreadable: UnreadableEvent };

/** A range of the feed. Never empty. */
export interface FeedPage {
  readonly events: readonly DecodedEvent[];
  /** Position of the last event. */
  readonly last: Position;
}

/** Decodes an event into the current schema. Does not throw: returns the reason if that fails. */
export const decodeStored = (stored: StoredEvent): DecodedEvent => {
  try {
    return { stored, event: decodeEvent(stored) };
  } catch (error) {
    if (error instanceof UnreadableEvent) return { stored, unreadable: error };
    const { stream, revision, type } = stored;
    return { stored, unreadable: new UnreadableEvent(stream, revision, type, 'not in the form of an event') };
  }
};

/** Pages that are cached for readers that are slightly behind. */
const PAGES_KEPT = 6;
/** How long the fastest reader waits for the others, so that a page is not evicted before they have read it. */
const WAIT_FOR_OTHERS_MS = 250;
const RESTART_AFTER_MS = 1_000;

/**
 * The feed of events, shared by all projections of a process: a page is read and decoded once for all readers that are at
 * the same position. Readers at the end of the feed share one subscription.
 */
export class Feed {
  private readonly pages = new Map<Position, Promise<FeedPage | null>>();
  private readonly waiting = new Set<() => void>();
  /** The position after which each reader has read its latest page. */
  private readonly readers = new Map<AbortSignal, Position>();
  /** The page that was evicted last. */
  private evicted: Position | undefined;
  /** Position of the subscription; undefined until a reader has reached the end of the feed. */
  private tail: Position | undefined;
  private following = new AbortController();

  constructor(
    private readonly options: {
      readonly store: Pick<EventStore, 'readFeed' | 'subscribe'>;
      readonly clock: Clock;
      /** Events per page. */
      readonly pageSize: number;
    },
  ) {}

  /**
   * Returns the page after a position as soon as there is one, or null once the signal is aborted. The signal also
   * identifies the reader. Throws `EngineUnavailable`.
   */
  async next(after: Position, signal: AbortSignal): Promise<FeedPage | null> {
    while (!signal.aborted) {
      const { tail } = this;
      if (after !== tail) {
        if (!this.pages.has(after)) await this.waitForOthers(signal);
        const page = await this.page(after);
        if (page) {
          this.handOut(after, signal);
          if (page.events.length === this.options.pageSize) this.readAhead(page.last, signal);
          return page;
        }
        if (this.tail === undefined) this.follow(after);
      }
      if (this.tail === tail) await this.moreEvents(signal);
    }
    return null;
  }

  private handOut(after: Position, signal: AbortSignal): void {
    if (!this.readers.has(signal))
      signal.addEventListener('abort', () => void this.readers.delete(signal), { once: true });
    this.readers.set(signal, after);
    this.wake();
  }

  /** Reads the next page while the reader applies this one. */
  private readAhead(after: Position, signal: AbortSignal): void {
    setImmediate(() => {
      if (signal.aborted || this.following.signal.aborted || this.wouldEvictNeeded(signal)) return;
      // The reader of that page gets the error.
      this.page(after).catch(() => undefined);
    });
  }

  /** Whether one more page would evict the page that another reader needs next. */
  private wouldEvictNeeded(signal: AbortSignal): boolean {
    if (this.pages.size < PAGES_KEPT) return false;
    for (const [other, at] of this.readers) if (other !== signal && at === this.evicted) return true;
    return false;
  }

  /** Gives other readers time to read a page that would be evicted. */
  private async waitForOthers(signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    const deadlineMs = clock.monotonicMs() + WAIT_FOR_OTHERS_MS;
    while (!signal.aborted && this.wouldEvictNeeded(signal) && clock.monotonicMs() < deadlineMs) {
      const moved = new AbortController();
      const end = (): void => moved.abort();
      this.waiting.add(end);
      signal.addEventListener('abort', end, { once: true });
      await clock.sleep(deadlineMs - clock.monotonicMs(), moved.signal);
      this.waiting.delete(end);
      signal.removeEventListener('abort', end);
    }
  }

  /** Drops all pages and the subscription, as the store has another history. */
  reset(): void {
    this.close();
    this.following = new AbortController();
    this.tail = undefined;
  }

  close(): void {
    this.following.abort();
    this.pages.clear();
    this.wake();
  }

  private page(after: Position): Promise<FeedPage | null> {
    const known = this.pages.get(after);
    if (known) return known;
    const page = this.read(after);
    this.keep(after, page);
    return page;
  }

  private async read(after: Position): Promise<FeedPage | null> {
    try {
      const page = feedPage(await this.options.store.readFeed({ after, limit: this.options.pageSize }));
      // A page that is not full is not cached: a later reader would miss the events appended since.
      if (!page || page.events.length < this.options.pageSize) this.pages.delete(after);
      return page;
    } catch (error) {
      this.pages.delete(after);
      throw error;
    }
  }

  private keep(after: Position, page: Promise<FeedPage | null>): void {
    this.pages.set(after, page);
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= PAGES_KEPT) break;
      this.pages.delete(oldest);
      this.evicted = oldest;
    }
  }

  /** Starts the subscription at the position of the first reader that has reached the end. */
  private follow(after: Position): void {
    this.tail = after;
    const { signal } = this.following;
    void (async () => {
      while (!signal.aborted) {
        try {
          await this.followOnce(signal);
        } catch (error) {
          // The subscription itself waits for an unavailable store. After any other error, reads report the problem.
          if (!(error instanceof EngineUnavailable)) this.wake();
        }
        await this.options.clock.sleep(RESTART_AFTER_MS, signal);
      }
    })();
  }

  private async followOnce(signal: AbortSignal): Promise<void> {
    const { store, pageSize: batchSize } = this.options;
    for await (const { events } of store.subscribe({ after: this.tail ?? '', batchSize, signal })) {
      if (signal.aborted) return;
      const page = feedPage(events);
      if (!page) continue;
      this.keep(this.tail ?? '', Promise.resolve(page));
      this.tail = page.last;
      this.wake();
    }
  }

  private moreEvents(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.waiting.delete(done);
        resolve();
      };
      this.waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  private wake(): void {
    for (const done of [...this.waiting]) done();
  }
}

const feedPage = (events: readonly StoredEvent[]): FeedPage | null => {
  const last = events.at(-1);
  return last ? { events: events.map(decodeStored), last: last.position } : null;
};
