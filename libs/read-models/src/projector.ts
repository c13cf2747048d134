import { RekeyError, VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import { redact, type Sha256 } from '@rekey/domain';
import {
  EngineUnavailable,
  START,
  type Build,
  type Clock,
  type CollectionName,
  type EventPublisher,
  type EventStore,
  type Pointer,
  type Position,
  type ReadModels,
} from '@rekey/ports';
import { createHash, randomUUID } from 'node:crypto';
import { LeaseWatch, collectionName, nextPointer, ownerOf, planBuilds, type Plan, type Situation } from './build-plan';
import { Feed, type FeedPage } from './feed';
import { LeasedFeed, SILENT, type FeedWork, type Log } from './leased-feed';
import { createParked, parkedStreams, type ParkedStream } from './parking';
import { Projection, type Replayed } from './projection';
import { createUsage } from './usage';
import { VIEWS } from './views';
import type { View } from './view';

export interface ProjectorOptions {
  readonly store: EventStore;
  readonly readModels: ReadModels;
  readonly clock: Clock;
  /** Who projects. A process that comes back under its name has its leases back at once: no two may share a name. */
  readonly name: string;
  /** Default: all views of this code. */
  readonly views?: readonly View[];
  /** Where events are told of to the world outside. */
  readonly publisher?: EventPublisher;
  readonly pageSize?: number;
  readonly log?: Log;
  /** Told of every stream that is parked: for a metric. */
  readonly onParked?: (view: string, stream: string) => void;
}

/** How one build of a view stands in this process. */
export interface BuildStatus {
  readonly view: string;
  readonly version: number;
  readonly collection: CollectionName;
  /** Whether it answers for its view. */
  readonly active: boolean;
  /** Whether it has come to where the store was when it began. */
  readonly ready: boolean;
  readonly checkpoint: Position;
  readonly head: Position;
  readonly owner: string;
  /** Whether this process projects into it; else it stands by, or leaves it to others. */
  readonly owned: boolean;
  readonly parkedStreams: number;
}

/** An event that could not be taken in, with how many of its stream wait behind it. */
export interface FailedEvent {
  readonly view: string;
  readonly collection: CollectionName;
  readonly stream: string;
  readonly revision: number;
  readonly position: Position;
  readonly type: string;
  readonly cause: string;
  readonly waiting: number;
}

const LOOK_EVERY_MS = 2_000;
const PAGE_SIZE = 2_000;
const PUBLISHED = 'published';

/** Keeps all views, and hands the events on to the publisher where there is one. */
export class Projector {
  private readonly feed: Feed;
  private readonly keepers: readonly ViewKeeper[];
  private readonly owner: string;
  private readonly log: Log;
  private running: { readonly ending: AbortController; readonly done: Promise<unknown> } | undefined;

  constructor(private readonly options: ProjectorOptions) {
    const { store, clock, pageSize = PAGE_SIZE, views = VIEWS, log = SILENT } = options;
    this.log = log;
    this.owner = ownerOf(options.name, randomUUID());
    this.feed = new Feed({ store, clock, pageSize });
    this.keepers = views.map((view) => new ViewKeeper(view, this.owner, this.feed, options, log));
  }

  /** Begins to project, as soon as the stores are there. */
  async start(): Promise<void> {
    if (this.running) return;
    const ending = new AbortController();
    const work = [this.createOthers(ending.signal), ...this.keepers.map((keeper) => keeper.run(ending.signal))];
    if (this.options.publisher) work.push(this.publish(this.options.publisher, ending.signal));
    this.running = { ending, done: Promise.all(work) };
  }

  /** Finishes what is in hand and hands the leases back. */
  async stop(): Promise<void> {
    this.running?.ending.abort();
    await this.running?.done;
    this.feed.close();
  }

  /** Makes a new build of a view beside the live one; it answers as soon as it has come as far. Answers its name. */
  rebuild(view: ViewName): Promise<CollectionName> {
    return this.keeper(view).rebuild();
  }

  /** Takes in what waits of a parked stream, in order, from the first event. Throws `unavailable` where another projects. */
  replayParked(view: ViewName, stream: string): Promise<Replayed> {
    return this.keeper(view).replay(stream);
  }

  /** Events that could not be taken in, of builds that are still there. */
  async failedEvents(): Promise<FailedEvent[]> {
    const { readModels } = this.options;
    const builds = new Set((await readModels.builds()).map((build) => build.collection));
    return (await parkedStreams(readModels)).filter((parked) => builds.has(parked.collection)).map(failedEventOf);
  }

  /** How all builds stand, those of other processes included. */
  async status(): Promise<BuildStatus[]> {
    const builds = await this.options.readModels.builds();
    const head = await this.options.store.head();
    const statuses = await Promise.all(this.keepers.map((keeper) => keeper.status(builds, head)));
    return statuses.flat();
  }

  /** Makes the collections that are derived from no history. */
  private async createOthers(signal: AbortSignal): Promise<void> {
    const { readModels, clock } = this.options;
    while (!signal.aborted)
      try {
        await Promise.all([createUsage(readModels), createParked(readModels)]);
        return;
      } catch (error) {
        this.log.warn({ err: error }, 'a store is away');
        await clock.sleep(LOOK_EVERY_MS, signal);
      }
  }

  private keeper(view: ViewName): ViewKeeper {
    const keeper = this.keepers.findLast((one) => one.view.name === view);
    if (!keeper) throw new RekeyError('not_found', 'There is no such view.', { view, known: Object.keys(VIEW_VERSIONS).join(' ') });
    return keeper;
  } // prettier-ignore

  /** Follows the feed for the publisher, with a lease and a checkpoint of its own for each history of the store. */
  private async publish(publisher: EventPublisher, signal: AbortSignal): Promise<void> {
    const { store, readModels, clock } = this.options;
    const work = new Publishing(publisher);
    while (!signal.aborted) {
      try {
        const storeIdentity = await store.identity();
        const collection = `${PUBLISHED}.v1.${storeIdentity.toLowerCase()}`;
        await readModels.createBuild(
          { collection, view: PUBLISHED, version: 1, storeIdentity, target: START, checkpoint: START, owner: '', beat: 0 },
          [],
        ); // prettier-ignore
        const { feed, owner, log } = this;
        const history = new AbortController();
        const end = (): void => history.abort();
        signal.addEventListener('abort', end, { once: true });
        const run = new LeasedFeed({ readModels, clock, feed, collection, view: PUBLISHED, owner, work, log });
        const watch = this.endWithHistory(storeIdentity, history);
        // What was published twice after a loss is known by its event id.
        await run.run(history.signal);
        history.abort();
        await watch;
        signal.removeEventListener('abort', end);
      } catch (error) {
        this.log.warn({ err: error }, 'publishing waits');
        await clock.sleep(LOOK_EVERY_MS, signal);
      }
    }
  }

  private async endWithHistory(identity: string, history: AbortController): Promise<void> {
    const { store, clock } = this.options;
    while (!history.signal.aborted) {
      await clock.sleep(LOOK_EVERY_MS, history.signal);
      const now = await store.identity().catch(() => identity);
      if (now !== identity) history.abort();
    }
  }
}

const sha256: Sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** Hands pages on, without verifiers. */
class Publishing implements FeedWork {
  constructor(private readonly publisher: EventPublisher) {}

  async begin(): Promise<void> {
    // Nothing is kept between pages.
  }

  async take({ events }: FeedPage): Promise<void> {
    await this.publisher.publish(events.map(({ stored }) => ({ ...stored, data: redact(stored.data, sha256) })));
  }
}

const failedEventOf = (parked: ParkedStream): FailedEvent => {
  const { view, collection, stream, revision, eventPosition: position, eventType: type, cause, events } = parked;
  return { view, collection, stream, revision, position, type, cause, waiting: events };
};

interface Running {
  readonly projection: Projection;
  readonly feed: LeasedFeed;
  readonly ending: AbortController;
  readonly done: Promise<void>;
}

/** Keeps one view: its builds, and which of them answers. */
class ViewKeeper {
  private readonly runs = new Map<CollectionName, Running>();
  private readonly leases = new LeaseWatch();
  private candidate: Build | undefined;
  private identity: string | undefined;
  private pointerSeen = { revision: -1, sinceMs: 0 };
  private wake: () => void = () => undefined;
  private woken = false;
  private switching: Promise<void> | undefined;
  /** The candidate has moved since the stores were looked at. */
  private movedSince = false;

  constructor(
    readonly view: View,
    private readonly owner: string,
    private readonly feed: Feed,
    private readonly options: ProjectorOptions,
    private readonly log: Log,
  ) {}

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.woken = false;
      try {
        await this.look(signal);
      } catch (error) {
        const text = error instanceof EngineUnavailable ? 'a store is away' : 'looking after builds failed';
        this.log.warn({ view: this.view.name, err: error }, text);
      }
      await this.pause(signal);
    }
    await Promise.all([...this.runs.keys()].map((collection) => this.end(collection)));
    await this.switching;
  }

  async rebuild(): Promise<CollectionName> {
    const collection = await this.create(await this.situation());
    this.lookNow();
    return collection;
  }

  async replay(stream: string): Promise<Replayed> {
    const pointer = await this.options.readModels.pointer(this.view.name);
    const run = this.runs.get(pointer?.collection ?? '');
    const replayed = await run?.feed.between((checkpoint) => run.projection.replay(stream, checkpoint));
    if (!replayed) throw new RekeyError('unavailable', `This process does not project the view ${this.view.name} now.`, { view: this.view.name });
    return replayed;
  } // prettier-ignore

  async status(builds: readonly Build[], head: Position): Promise<BuildStatus[]> {
    const pointer = await this.options.readModels.pointer(this.view.name);
    return builds
      .filter((build) => build.view === this.view.name && build.version === this.view.version)
      .map(({ view, version, collection, checkpoint, target, owner }) => {
        const run = this.runs.get(collection);
        return {
          view,
          version,
          collection,
          active: pointer?.collection === collection,
          ready: checkpoint >= target,
          checkpoint,
          head,
          owner,
          owned: run?.feed.isOwner ?? false,
          parkedStreams: run?.projection.parked ?? 0,
        };
      });
  }

  // ── Looking after builds ───────────────────────────────────────────────────────────────────────────────────────

  private async look(signal: AbortSignal): Promise<void> {
    const situation = await this.situation();
    if (this.identity !== undefined && this.identity !== situation.identity) {
      this.log.warn({ view: this.view.name }, 'the event store has another history: the view is built anew');
      await Promise.all([...this.runs.keys()].map((collection) => this.end(collection)));
      this.feed.reset();
    }
    this.identity = situation.identity;
    const plan = planBuilds(situation);
    for (const collection of this.runs.keys()) if (!plan.run.includes(collection)) await this.end(collection);
    await this.drop(plan, situation.pointer);
    if (plan.create) {
      await this.create(situation);
      return this.lookNow();
    }
    this.candidate = situation.builds.find((build) => build.collection === plan.candidate);
    for (const collection of plan.run) if (!this.runs.has(collection)) this.begin(collection, signal);
    this.trySwitch();
  }

  private async situation(): Promise<Situation> {
    const { store, readModels, clock } = this.options;
    const identity = await store.identity();
    const [pointer, builds] = await Promise.all([
      readModels.pointer(this.view.name),
      readModels.builds(this.view.name),
    ]);
    const head = await store.head();
    const nowMs = clock.monotonicMs();
    const revision = pointer?.revision ?? 0;
    if (revision !== this.pointerSeen.revision) this.pointerSeen = { revision, sinceMs: nowMs };
    const lifeless = new Set(
      builds.filter((build) => this.leases.isLifeless(build, this.owner, nowMs)).map((build) => build.collection),
    );
    const pointerAgeMs = nowMs - this.pointerSeen.sinceMs;
    return { version: this.view.version, identity, head, pointer, builds, pointerAgeMs, lifeless };
  }

  private async create(situation: Situation): Promise<CollectionName> {
    const { name, version, indexes } = this.view;
    const unique = randomUUID().replaceAll('-', '').slice(0, 12);
    const collection = collectionName(name, version, situation, unique);
    const { identity: storeIdentity, head: target } = situation;
    await this.options.readModels.createBuild(
      { collection, view: name, version, storeIdentity, target, checkpoint: START, owner: '', beat: 0 },
      indexes,
    );
    this.log.info({ view: name, collection, target }, 'a new build begins');
    return collection;
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

  private begin(collection: CollectionName, signal: AbortSignal): void {
    const { store, readModels, clock, onParked } = this.options;
    const { view, owner, log } = this;
    const projection = new Projection({ store, readModels, view, collection, log, onParked });
    const onAdvanced = (checkpoint: Position): void => {
      if (collection === this.candidate?.collection && checkpoint >= this.candidate.target) this.trySwitch();
    };
    const feed = new LeasedFeed({
      readModels, clock, feed: this.feed, collection, view: view.name, owner, work: projection, onAdvanced, log,
    }); // prettier-ignore
    const ending = new AbortController();
    const done = feed.run(ending.signal).then(async (end) => {
      this.runs.delete(collection);
      if (end === 'put-back') await this.giveUp(collection, signal);
      if (end !== 'stopped') this.lookNow();
    });
    this.runs.set(collection, { projection, feed, ending, done });
  }

  private async end(collection: CollectionName): Promise<void> {
    const run = this.runs.get(collection);
    run?.ending.abort();
    await run?.done;
  }

  /**
   * A build that was put back to an older copy is not gone on with: documents may have been folded from what was there
   * before. Nobody else may take it up either, so it is dropped before anything else happens.
   */
  private async giveUp(collection: CollectionName, signal: AbortSignal): Promise<void> {
    const { readModels, clock } = this.options;
    this.log.error({ view: this.view.name, collection }, 'the build was put back to an older copy, a new one is made');
    while (!signal.aborted)
      try {
        return await readModels.dropBuild(collection);
      } catch (error) {
        this.log.warn({ view: this.view.name, collection, err: error }, 'the build cannot be dropped yet');
        await clock.sleep(LOOK_EVERY_MS, signal);
      }
  }

  // ── Switching ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets the candidate answer, if it has come far enough. Called whenever it has moved. */
  private trySwitch(): void {
    if (this.candidate === undefined) return;
    this.movedSince = true;
    this.switching ??= this.switchTo(this.candidate.collection)
      .catch((error: unknown) => this.log.warn({ view: this.view.name, err: error }, 'the switch waits'))
      .finally(() => {
        this.switching = undefined;
      });
  }

  private async switchTo(candidate: CollectionName): Promise<void> {
    const { readModels } = this.options;
    for (;;) {
      this.movedSince = false;
      const situation = await this.situation();
      const pointer = nextPointer(candidate, situation);
      if (!pointer && this.movedSince) continue;
      if (!pointer || !(await readModels.switchPointer(pointer))) return;
      if (pointer.collection !== candidate) continue;
      this.candidate = undefined;
      this.log.info({ view: this.view.name, collection: candidate, version: pointer.version }, 'a new build answers');
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
