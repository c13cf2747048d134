import { UnreadableEvent, decodeEvent, type FeedEvent } from '@rekey/contracts';
import { EngineUnavailable, type Clock, type EventStore, type Position, type StoredEvent } from '@rekey/ports';

/** An event as it is stored, and in today's shape; where that fails, why. */
export type DecodedEvent =
  | { readonly stored: StoredEvent; readonly event: FeedEvent }
  | { readonly stored: StoredEvent; readonly unreadable: UnreadableEvent };

/** A stretch of the feed behind a place; never empty. */
export interface FeedPage {
  readonly events: readonly DecodedEvent[];
  /** Place of the last event. */
  readonly last: Position;
}

/** Reads an event into today's shape, or says why that is not possible. */
export const decoded = (stored: StoredEvent): DecodedEvent => {
  try {
    return { stored, event: decodeEvent(stored) };
  } catch (error) {
    if (error instanceof UnreadableEvent) return { stored, unreadable: error };
    const { stream, revision, type } = stored;
    return { stored, unreadable: new UnreadableEvent(stream, revision, type, 'not in the form of an event') };
  }
};

/** Pages that are kept for those who are a little behind. */
const PAGES_KEPT = 6;
/** How long the first waits for the others, so that they need not read again what it has read. */
const WAIT_FOR_OTHERS_MS = 250;
const RESTART_AFTER_MS = 1_000;

/**
 * The feed for all that project in this process: a page is read and decoded once for everybody who comes to the same
 * place soon. Who has seen all waits for one subscription that all share.
 */
export class Feed {
  private readonly pages = new Map<Position, Promise<FeedPage | null>>();
  private readonly waiting = new Set<() => void>();
  /** Which page each reader has taken last. */
  private readonly taken = new Map<AbortSignal, Position>();
  /** The page that was forgotten last. */
  private forgotten: Position | undefined;
  /** Up to where the subscription has come; undefined: nobody has come to the end yet. */
  private tail: Position | undefined;
  private following = new AbortController();

  constructor(
    private readonly options: {
      readonly store: Pick<EventStore, 'readFeed' | 'subscribe'>;
      readonly clock: Clock;
      /** Events a page. */
      readonly pageSize: number;
    },
  ) {}

  /**
   * The next page behind a place, as soon as there is one; null where the signal is given, which also stands for the
   * reader. Throws `EngineUnavailable` where the store is away.
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
      if (this.tail === tail) await this.news(signal);
    }
    return null;
  }

  private handOut(after: Position, signal: AbortSignal): void {
    if (!this.taken.has(signal)) signal.addEventListener('abort', () => void this.taken.delete(signal), { once: true });
    this.taken.set(signal, after);
    this.wake();
  }

  /** Behind a full page there are more: the next one is read while this one is being stored. */
  private readAhead(after: Position, signal: AbortSignal): void {
    setImmediate(() => {
      if (signal.aborted || this.following.signal.aborted || this.isPressing(signal)) return;
      // Whoever comes to the page meets the error.
      this.page(after).catch(() => undefined);
    });
  }

  /** One more page would push out the very page that somebody else takes next. */
  private isPressing(signal: AbortSignal): boolean {
    if (this.pages.size < PAGES_KEPT) return false;
    for (const [other, at] of this.taken) if (other !== signal && at === this.forgotten) return true;
    return false;
  }

  /** Where one more page would push out what others need, gives them time to take it. */
  private async waitForOthers(signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    const deadlineMs = clock.monotonicMs() + WAIT_FOR_OTHERS_MS;
    while (!signal.aborted && this.isPressing(signal) && clock.monotonicMs() < deadlineMs) {
      const moved = new AbortController();
      const end = (): void => moved.abort();
      this.waiting.add(end);
      signal.addEventListener('abort', end, { once: true });
      await clock.sleep(deadlineMs - clock.monotonicMs(), moved.signal);
      this.waiting.delete(end);
      signal.removeEventListener('abort', end);
    }
  }

  /** Forgets what was read: the store has another history. */
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
      // A page that is not full grows: whoever comes later must not take it for all there is.
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
      this.forgotten = oldest;
    }
  }

  /** Begins the one subscription, at the place that somebody has come to. */
  private follow(after: Position): void {
    this.tail = after;
    const { signal } = this.following;
    void (async () => {
      while (!signal.aborted) {
        try {
          await this.followOnce(signal);
        } catch (error) {
          // The subscription waits by itself for a store that is away; what else ends it is told by the reads.
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

  private news(signal: AbortSignal): Promise<void> {
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
  return last ? { events: events.map(decoded), last: last.position } : null;
};
