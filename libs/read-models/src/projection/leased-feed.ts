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

/** Applies the events, page by page. */
export interface FeedWork {
  /** Called before the first page of each lease, with the checkpoint that it continues from. */
  begin(checkpoint: Position): Promise<void>;
  /**
   * Applies a page and stores the effects, then calls `advance` and returns what that returns. May be called again with
   * the same events. Throws `EngineUnavailable` to be called again, and `Displaced`.
   */
  apply(page: FeedPage, checkpoint: Position, advance: Advance): Promise<LeaseState>;
}

/** Stores documents and moves the checkpoint to the end of the page. Has no effect if it throws. */
export type Advance = (changes?: Changes) => Promise<LeaseState>;

/** Thrown if the checkpoint read with the documents is not the one that this process stored. */
export class Displaced extends Error {
  constructor() {
    super('The stored checkpoint is not the one that this process stored last.');
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
  /** Called for each stored checkpoint, including the first one of a lease. */
  readonly onAdvanced?: (checkpoint: Position) => void;
  readonly log: Log;
}

/** Why a run ended. */
export type RunEnd = 'stopped' | 'gone' | 'restored';

const HEARTBEAT_EVERY_MS = 2_000;
const STANDBY_LOOKS_EVERY_MS = 1_000;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 1_000;

/**
 * Follows the feed under a lease. One owner at a time continues from the stored checkpoint and moves it; standbys take over
 * when its heartbeats stop. An owner may pause for any time: `advance` compares owner and checkpoint, so it cannot write
 * after another process has taken over.
 */
export class LeasedFeed {
  private readonly leases = new LeaseWatch();
  /** Pages, heartbeats and `between` run one after the other. */
  private tail: Promise<unknown> = Promise.resolve();
  private checkpointNow: Position = START;
  private owning = false;
  private beatAtMs = 0;
  /** Monotonic time since when every attempt has failed. */
  private failingSinceMs: number | undefined;

  constructor(private readonly options: LeasedFeedOptions) {}

  get isOwner(): boolean {
    return this.owning;
  }

  /** For how long every attempt has failed; 0 if the last one succeeded. */
  get failingForMs(): number {
    return this.failingSinceMs === undefined ? 0 : this.options.clock.monotonicMs() - this.failingSinceMs;
  }

  /** Runs until the signal is aborted, or the build is gone or was restored from an older backup. */
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
        const isUnavailable = error instanceof EngineUnavailable;
        if (isUnavailable) log.warn({ collection, err: error }, 'a store is unavailable, projecting waits');
        else log.error({ collection, err: error }, 'projecting failed, trying again');
        await clock.sleep(backoffMs(failures, RETRY_FIRST_MS, RETRY_MAX_MS), signal);
      }
    }
    return 'stopped';
  }

  /** Runs `work` between two pages. Returns undefined without running it if this process is not the owner. */
  between<T>(work: (checkpoint: Position) => Promise<T>): Promise<T | undefined> {
    return this.exclusive(async () => (this.owning ? work(this.checkpointNow) : undefined));
  }

  // ── One lease ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Acquires the lease and follows the feed. Returns undefined if the lease was lost. */
  private async lease(signal: AbortSignal): Promise<RunEnd | undefined> {
    const build = await this.acquire(signal);
    if (build === undefined) return signal.aborted ? 'stopped' : 'gone';
    if (build.checkpoint < this.checkpointNow) return 'restored';
    this.checkpointNow = build.checkpoint;
    this.owning = true;
    const lease = new AbortController();
    const end = (): void => lease.abort();
    signal.addEventListener('abort', end, { once: true });
    // The signal may have been aborted while the lease was acquired.
    if (signal.aborted) end();
    const stopBeating = this.beat(lease);
    try {
      await this.options.work.begin(this.checkpointNow);
      this.options.onAdvanced?.(this.checkpointNow);
      const state = await this.follow(lease);
      if (state === 'gone' || state === 'restored') return state;
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
          return await work.apply(page, this.checkpointNow, (changes) => this.advance(page.last, changes));
        } catch (error) {
          if (error instanceof Displaced) return this.judge(this.checkpointNow);
          throw error;
        }
      });
    }
    // A heartbeat that ended the lease knows the reason.
    return isHeld(state) || state === 'lost' ? this.exclusive(async () => this.heartbeatState ?? state) : state;
  }

  /** The state that made a heartbeat end the lease. */
  private heartbeatState: LeaseState | undefined;

  /** Sends a heartbeat whenever the checkpoint has not moved for a while. Returns how to stop that. */
  private beat(lease: AbortController): () => void {
    const { clock, log, collection } = this.options;
    this.heartbeatState = undefined;
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
          this.heartbeatState = state;
          lease.abort();
        });
      } catch (error) {
        log.warn({ collection, err: error }, 'a heartbeat failed');
      }
      schedule();
    };
    schedule();
    return () => cancel();
  }

  /** Moves the stored checkpoint, or stores it again as a heartbeat. Returns the state of the lease. */
  private async advance(to: Position, changes?: Changes): Promise<LeaseState> {
    const { readModels, collection, owner, clock, onAdvanced } = this.options;
    const from = this.checkpointNow;
    let moved = false;
    let unavailable: EngineUnavailable | undefined;
    try {
      moved = await readModels.advance(collection, owner, from, to, changes);
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      unavailable = error;
    }
    const state = moved ? 'moved' : await this.judge(to);
    // Nothing was stored: `run` tries again.
    if (unavailable && state === 'held') throw unavailable;
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

  /** Releases the lease, so that a standby need not wait for its timeout. */
  private async release(): Promise<void> {
    const { readModels, collection, owner, log } = this.options;
    try {
      const build = await this.find();
      if (build?.owner === owner) await readModels.claim(collection, '', build);
    } catch (error) {
      log.warn({ collection, err: error }, 'the lease could not be released');
    }
  }

  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work);
    this.tail = result.catch(() => undefined);
    return result;
  }
}

const isHeld = (state: LeaseState): boolean => state === 'held' || state === 'moved';
