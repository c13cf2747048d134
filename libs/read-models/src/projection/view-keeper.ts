import {
  EngineUnavailable,
  type Build,
  type Clock,
  type CollectionName,
  type EventStore,
  type Pointer,
  type Position,
  type ReadModels,
} from '@rekey/ports';
import { LeaseWatch, nextPointer, planBuilds, type Plan, type Situation } from './build-plan';
import type { Feed } from './feed';
import { LeasedFeed, type Log } from './leased-feed';
import { makeBuild } from './new-build';
import { Projection, type AroundPage } from './projection';
import type { View } from '../views/view';

const LOOK_EVERY_MS = 2_000;
/** How long projecting may fail before the health probe reports it. */
const FAILING_MS = 10_000;

export interface ViewKeeperOptions {
  readonly store: EventStore;
  readonly readModels: ReadModels;
  readonly clock: Clock;
  /** Wraps the folding of every page: for traces. */
  readonly around?: AroundPage;
  /** Called for every stream that is parked: for a metric. */
  readonly onParked?: (view: string, stream: string) => void;
}

interface Running {
  readonly projection: Projection;
  readonly feed: LeasedFeed;
  readonly ending: AbortController;
  readonly done: Promise<void>;
}

/** Keeps one view: creates, runs and drops its builds, and switches between them. */
export class ViewKeeper {
  private readonly runs = new Map<CollectionName, Running>();
  private readonly leases = new LeaseWatch();
  /** Builds that were lost or restored while this process ran them. If one appears again, its content is unknown. */
  private readonly doubtful = new Set<CollectionName>();
  private candidate: Build | undefined;
  private identity: string | undefined;
  private pointerSeen = { revision: -1, sinceMs: 0 };
  private wake: () => void = () => undefined;
  private woken = false;
  private switching: Promise<void> | undefined;
  /** Whether the candidate has advanced since the stores were read. */
  private hasAdvanced = false;
  /** Monotonic time of the latest look at the stores that succeeded. */
  private lookedAtMs = -Infinity;

  constructor(
    readonly view: View,
    private readonly owner: string,
    private readonly feed: Feed,
    private readonly options: ViewKeeperOptions,
    private readonly log: Log,
  ) {}

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.woken = false;
      try {
        await this.look();
        this.lookedAtMs = this.options.clock.monotonicMs();
      } catch (error) {
        const text = error instanceof EngineUnavailable ? 'a store is unavailable' : 'managing the builds failed';
        this.log.warn({ view: this.view.name, err: error }, text);
      }
      await this.pause(signal);
    }
    await Promise.all([...this.runs.keys()].map((collection) => this.end(collection)));
    await this.switching;
  }

  /** Ready if this process keeps the view up to date or is a standby for it. */
  health(): { readonly ready: boolean; readonly cause?: string } {
    const unseenMs = this.options.clock.monotonicMs() - this.lookedAtMs;
    if (unseenMs > FAILING_MS) return { ready: false, cause: 'the stores are unavailable' };
    const isFailing = [...this.runs.values()].some(({ feed }) => feed.failingForMs > FAILING_MS);
    return isFailing ? { ready: false, cause: 'projecting fails and is being retried' } : { ready: true };
  }

  // ── Builds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private async look(): Promise<void> {
    const situation = await this.situation();
    if (this.identity !== undefined && this.identity !== situation.identity) {
      this.log.warn({ view: this.view.name }, 'the event store has another history, rebuilding the view');
      await Promise.all([...this.runs.keys()].map((collection) => this.end(collection)));
      this.feed.reset();
    }
    this.identity = situation.identity;
    const plan = planBuilds(situation);
    for (const collection of this.runs.keys()) if (!plan.run.includes(collection)) await this.end(collection);
    await this.drop(plan, situation.pointer);
    if (plan.create) {
      await makeBuild(this.options.readModels, this.view, situation, this.log);
      return this.lookNow();
    }
    this.candidate = situation.builds.find((build) => build.collection === plan.candidate);
    for (const collection of plan.run) if (!this.runs.has(collection)) this.begin(collection);
    this.trySwitch();
    for (const run of this.runs.values()) await this.replayRequested(run);
  }

  /** Replays the parked streams for which that was requested, each between two pages. */
  private async replayRequested({ projection, feed }: Running): Promise<void> {
    if (!feed.isOwner) return;
    await projection.eachReplayRequest(async (request) => {
      const done = await feed.between(async (checkpoint) => {
        await projection.answer(request, checkpoint, this.options.clock.now());
        return true;
      });
      return done ?? false;
    });
  }

  private async situation(): Promise<Situation> {
    const { store, readModels, clock } = this.options;
    const identity = await store.identity();
    const [pointer, found] = await Promise.all([readModels.pointer(this.view.name), readModels.builds(this.view.name)]);
    await this.dropDoubtful(found);
    const builds = found.filter((build) => !this.doubtful.has(build.collection));
    const head = await store.head();
    const nowMs = clock.monotonicMs();
    const revision = pointer?.revision ?? 0;
    if (revision !== this.pointerSeen.revision) this.pointerSeen = { revision, sinceMs: nowMs };
    const abandoned = new Set(
      builds.filter((build) => this.leases.isAbandoned(build, this.owner, nowMs)).map((build) => build.collection),
    );
    const pointerAgeMs = nowMs - this.pointerSeen.sinceMs;
    return { version: this.view.version, identity, head, pointer, builds, pointerAgeMs, abandoned };
  }

  private async drop({ drop }: Plan, pointer: Pointer | null): Promise<void> {
    const { readModels } = this.options;
    for (const collection of drop) {
      await readModels.dropBuild(collection);
      this.log.info({ view: this.view.name, collection }, 'a build was dropped');
    }
    if (pointer?.previous === undefined || !drop.includes(pointer.previous)) return;
    const { previous: _previous, ...rest } = pointer;
    await readModels.switchPointer({ ...rest, revision: pointer.revision + 1 });
  }

  private begin(collection: CollectionName): void {
    const { store, readModels, clock, around, onParked } = this.options;
    const { view, owner, log } = this;
    const projection = new Projection({ store, readModels, view, collection, log, around, onParked });
    const onAdvanced = (checkpoint: Position): void => {
      if (collection === this.candidate?.collection && checkpoint >= this.candidate.target) this.trySwitch();
    };
    const feed = new LeasedFeed({
      readModels,
      clock,
      feed: this.feed,
      collection,
      view: view.name,
      owner,
      work: projection,
      onAdvanced,
      log,
    });
    const ending = new AbortController();
    const done = feed.run(ending.signal).then((end) => {
      this.runs.delete(collection);
      if (end === 'stopped') return;
      this.doubtful.add(collection);
      this.log.error({ view: view.name, collection, end }, 'a build is lost, creating a new one');
      this.lookNow();
    });
    this.runs.set(collection, { projection, feed, ending, done });
  }

  private async end(collection: CollectionName): Promise<void> {
    const run = this.runs.get(collection);
    run?.ending.abort();
    await run?.done;
  }

  /**
   * Drops builds that were restored from an older backup: documents that were stored since may be in them. Must come
   * before anything else, so that no other process continues such a build.
   */
  private async dropDoubtful(builds: readonly Build[]): Promise<void> {
    for (const { collection } of builds)
      if (this.doubtful.has(collection)) await this.options.readModels.dropBuild(collection);
  }

  // ── Switching ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Makes the candidate active if it has caught up. Called whenever it advances. */
  private trySwitch(): void {
    if (this.candidate === undefined) return;
    this.hasAdvanced = true;
    this.switching ??= this.switchTo(this.candidate.collection)
      .catch((error: unknown) =>
        this.log.warn({ view: this.view.name, err: error }, 'switching to a new build failed, trying again'),
      )
      .finally(() => {
        this.switching = undefined;
      });
  }

  private async switchTo(candidate: CollectionName): Promise<void> {
    const { readModels } = this.options;
    for (;;) {
      this.hasAdvanced = false;
      const situation = await this.situation();
      const pointer = nextPointer(candidate, situation);
      if (!pointer && this.hasAdvanced) continue;
      if (!pointer || !(await readModels.switchPointer(pointer))) return;
      if (pointer.collection !== candidate) continue;
      this.candidate = undefined;
      this.log.info({ view: this.view.name, collection: candidate, version: pointer.version }, 'a new build is active');
      return this.lookNow();
    }
  }

  private lookNow(): void {
    this.woken = true;
    this.wake();
  }

  private async pause(signal: AbortSignal): Promise<void> {
    if (this.woken) return;
    const awake = new AbortController();
    this.wake = () => awake.abort();
    signal.addEventListener('abort', this.wake, { once: true });
    if (!this.woken && !signal.aborted) await this.options.clock.sleep(LOOK_EVERY_MS, awake.signal);
    signal.removeEventListener('abort', this.wake);
  }
}
