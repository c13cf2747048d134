import {
  backoffMs,
  EngineUnavailable,
  START,
  type Build,
  type Changes,
  type Clock,
  type CollectionName,
  type Position,
  type ReadModels,
} from '@rekey/ports';
import { LeaseWatch, leaseStateOf, type LeaseState } from './build-plan';
import type { Feed, FeedPage } from './feed';

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export const SILENT: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** What is done with the events, page by page. */
export interface FeedWork {
  /** Before the first page of each lease, with the place that it goes on from. */
  begin(checkpoint: Position): Promise<void>;
  /**
   * Takes a page in, so that its effects are stored, then moves the checkpoint behind it: by `advance`, whose answer is
   * its own. May be called again with the same events. Throws `EngineUnavailable` where it is to be called again,
   * `Displaced` where the checkpoint is not where it should be.
   */
  take(page: FeedPage, checkpoint: Position, advance: Advance): Promise<LeaseState>;
}

/** Moves the checkpoint, and stores documents before it. Throws where one of them cannot be stored, with no effect. */
export type Advance = (changes?: Changes) => Promise<LeaseState>;

/** The checkpoint that was read with the documents is another one than this process has stored. */
export class Displaced extends Error {
  constructor() {
    super('The checkpoint is not where it was left.');
    this.name = 'Displaced';
  }
}

export interface LeasedFeedOptions {
  readonly readModels: Pick<ReadModels, 'builds' | 'claim' | 'advance'>;
  readonly clock: Clock;
  readonly feed: Pick<Feed, 'next'>;
  readonly collection: CollectionName;
  readonly view: string;
  readonly owner: string;
  readonly work: FeedWork;
  /** Told of each place that was stored, the first one of a lease included. */
  readonly onAdvanced?: (checkpoint: Position) => void;
  readonly log: Log;
}

/** Why a run has ended. */
export type RunEnd = 'stopped' | 'gone' | 'put-back';

const HEARTBEAT_EVERY_MS = 2_000;
const STANDBY_LOOKS_EVERY_MS = 1_000;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 1_000;

/**
 * Follows the feed under a lease: at most one owner at a time goes on from the stored checkpoint and moves it, the
 * others stand by and take over when the owner falls silent. A pause of any length does no harm: what the owner finds
 * stored afterwards decides whether it goes on.
 */
export class LeasedFeed {
  private readonly leases = new LeaseWatch();
  /** Held while a page is taken, a heartbeat is given or somebody works between two pages. */
  private tail: Promise<unknown> = Promise.resolve();
  private checkpointNow: Position = START;
  private owning = false;
  private beatAtMs = 0;
  /** Monotonic time since when it neither gets on nor stands by. */
  private failingSinceMs: number | undefined;

  constructor(private readonly options: LeasedFeedOptions) {}

  get isOwner(): boolean {
    return this.owning;
  }

  /** For how long it has neither got on nor stood by. */
  get failingForMs(): number {
    return this.failingSinceMs === undefined ? 0 : this.options.clock.monotonicMs() - this.failingSinceMs;
  }

  /** Runs until the signal is given, or the build is gone or was put back to an older copy. */
  async run(signal: AbortSignal): Promise<RunEnd> {
    const { log, collection, clock } = this.options;
    for (let failures = 0; !signal.aborted;) {
      const before = this.checkpointNow;
      try {
        const end = await this.lease(signal);
        if (end !== undefined) return end;
        failures = 0;
      } catch (error) {
        failures = this.checkpointNow === before ? failures + 1 : 1;
        this.failingSinceMs ??= clock.monotonicMs();
        const away = error instanceof EngineUnavailable;
        if (away) log.warn({ collection, err: error }, 'a store is away, projecting waits');
        else log.error({ collection, err: error }, 'projecting failed, trying again');
        await clock.sleep(backoffMs(failures, RETRY_FIRST_MS, RETRY_MAX_MS), signal);
      }
    }
    return 'stopped';
  }

  /** Does something between two pages, as the owner. Answers undefined where this is not the owner. */
  between<T>(work: (checkpoint: Position) => Promise<T>): Promise<T | undefined> {
    return this.exclusive(async () => (this.owning ? work(this.checkpointNow) : undefined));
  }

  // ── One lease ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Waits for the lease, then works under it. Undefined: the lease was lost. */
  private async lease(signal: AbortSignal): Promise<RunEnd | undefined> {
    const build = await this.acquire(signal);
    if (build === undefined) return signal.aborted ? 'stopped' : 'gone';
    if (build.checkpoint < this.checkpointNow) return 'put-back';
    this.checkpointNow = build.checkpoint;
    this.owning = true;
    const lease = new AbortController();
    const end = (): void => lease.abort();
    signal.addEventListener('abort', end, { once: true });
    // It may have been given while the lease was.
    if (signal.aborted) end();
    const stopBeating = this.beat(lease);
    try {
      await this.options.work.begin(this.checkpointNow);
      this.options.onAdvanced?.(this.checkpointNow);
      const state = await this.follow(lease);
      if (state === 'gone' || state === 'put-back') return state;
      if (signal.aborted) await this.release();
      return signal.aborted ? 'stopped' : undefined;
    } finally {
      this.owning = false;
      stopBeating();
      lease.abort();
      signal.removeEventListener('abort', end);
    }
  }

  private async acquire(signal: AbortSignal): Promise<Build | undefined> {
    const { readModels, clock, collection, owner } = this.options;
    while (!signal.aborted) {
      const build = await this.find();
      if (!build) return undefined;
      if (this.leases.isFree(build, owner, clock.monotonicMs())) {
        const claimed = await readModels.claim(collection, owner, build);
        if (claimed) return claimed;
      } else {
        this.failingSinceMs = undefined;
        await clock.sleep(STANDBY_LOOKS_EVERY_MS, signal);
      }
    }
    return undefined;
  }

  private async follow(lease: AbortController): Promise<LeaseState> {
    let state: LeaseState = 'held';
    const { feed, work } = this.options;
    while (!lease.signal.aborted && isHeld(state)) {
      const page = await feed.next(this.checkpointNow, lease.signal);
      if (!page) break;
      state = await this.exclusive(async () => {
        if (lease.signal.aborted) return 'lost';
        try {
          return await work.take(page, this.checkpointNow, (changes) => this.advance(page.last, changes));
        } catch (error) {
          if (error instanceof Displaced) return this.judge(this.checkpointNow);
          throw error;
        }
      });
    }
    // A heartbeat may have found out more than the page that it cut short.
    return isHeld(state) || state === 'lost' ? this.exclusive(async () => this.foundOut ?? state) : state;
  }

  /** What a heartbeat has found out about the build. */
  private foundOut: LeaseState | undefined;

  /** Gives a sign of life whenever the checkpoint has not moved for a while. */
  private beat(lease: AbortController): () => void {
    const { clock, log, collection } = this.options;
    this.foundOut = undefined;
    this.beatAtMs = clock.monotonicMs();
    let cancel = (): void => undefined;
    const schedule = (): void => {
      if (!lease.signal.aborted) cancel = clock.schedule(HEARTBEAT_EVERY_MS, () => void once());
    };
    const once = async (): Promise<void> => {
      try {
        await this.exclusive(async () => {
          if (lease.signal.aborted || clock.monotonicMs() - this.beatAtMs < HEARTBEAT_EVERY_MS) return;
          const state = await this.advance(this.checkpointNow);
          if (isHeld(state)) return;
          this.foundOut = state;
          lease.abort();
        });
      } catch (error) {
        log.warn({ collection, err: error }, 'no heartbeat');
      }
      schedule();
    };
    schedule();
    return () => cancel();
  }

  /** Moves the stored checkpoint, or keeps it as a sign of life, and says how the build stands then. */
  private async advance(to: Position, changes?: Changes): Promise<LeaseState> {
    const { readModels, collection, owner, clock, onAdvanced } = this.options;
    const from = this.checkpointNow;
    let moved = false;
    let away: EngineUnavailable | undefined;
    try {
      moved = await readModels.advance(collection, owner, from, to, changes);
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      away = error;
    }
    const state = moved ? 'moved' : await this.judge(to);
    // What was to be stored is not: it is tried again after a while.
    if (away && state === 'held') throw away;
    if (state === 'moved') {
      this.checkpointNow = to;
      this.beatAtMs = clock.monotonicMs();
      this.failingSinceMs = undefined;
      if (to !== from) onAdvanced?.(to);
    }
    return state;
  }

  private async judge(attempted: Position): Promise<LeaseState> {
    return leaseStateOf(await this.find(), this.options.owner, this.checkpointNow, attempted);
  }

  private async find(): Promise<Build | undefined> {
    const { readModels, view, collection } = this.options;
    return (await readModels.builds(view)).find((build) => build.collection === collection);
  }

  /** Hands the lease back, so that a standby need not wait for silence. */
  private async release(): Promise<void> {
    const { readModels, collection, owner, log } = this.options;
    try {
      const build = await this.find();
      if (build?.owner === owner) await readModels.claim(collection, '', build);
    } catch (error) {
      log.warn({ collection, err: error }, 'the lease was not handed back');
    }
  }

  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work);
    this.tail = result.catch(() => undefined);
    return result;
  }
}

const isHeld = (state: LeaseState): boolean => state === 'held' || state === 'moved';
