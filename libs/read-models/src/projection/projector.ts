import { RekeyError, VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import type { Clock, CollectionName, EventPublisher, EventStore, Position, ReadModels } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { ownerOf } from './build-plan';
import { Feed } from './feed';
import { SILENT, type Log } from './leased-feed';
import { PARKED_COLLECTION, createParked, failedEventOf, parkedStreams, type FailedEvent } from './parking';
import type { AroundPage } from './projection';
import { Publishing } from './publishing';
import { REPLAYS_COLLECTION, createReplays } from '../operations/replays';
import { USAGE_COLLECTION, createUsage } from '../views/usage';
import type { View } from '../views/view';
import { ViewKeeper } from './view-keeper';
import { VIEWS } from '../views/views';

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
  /** Goes round the taking in of every page: for traces. */
  readonly around?: AroundPage;
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

const LOOK_EVERY_MS = 2_000;
/** Beside the views: what is derived from no history. */
const OTHERS = [
  { collection: USAGE_COLLECTION, create: createUsage },
  { collection: PARKED_COLLECTION, create: createParked },
  { collection: REPLAYS_COLLECTION, create: createReplays },
];
const PAGE_SIZE = 5_000;

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
    const work = [this.keepOthers(ending.signal), ...this.keepers.map((keeper) => keeper.run(ending.signal))];
    const { publisher } = this.options;
    if (publisher)
      work.push(new Publishing(publisher, this.feed, this.owner, this.options, this.log).run(ending.signal));
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

  /** Events that could not be taken in, of builds that are still there. */
  async failedEvents(): Promise<FailedEvent[]> {
    const { readModels } = this.options;
    const builds = new Set((await readModels.builds()).map((build) => build.collection));
    return (await parkedStreams(readModels)).filter((parked) => builds.has(parked.collection)).map(failedEventOf);
  }

  /** Whether this process does its part for each view: keeps it, or stands by for whoever does. */
  health(): ReadonlyMap<ViewName, () => { readonly ready: boolean; readonly cause?: string }> {
    return new Map(this.keepers.map((keeper) => [keeper.view.name, () => keeper.health()]));
  }

  /** How all builds stand, those of other processes included. */
  async status(): Promise<BuildStatus[]> {
    const builds = await this.options.readModels.builds();
    const head = await this.options.store.head();
    const statuses = await Promise.all(this.keepers.map((keeper) => keeper.status(builds, head)));
    return statuses.flat();
  }

  /** Makes the collections that are derived from no history, at the start and wherever they are lost. */
  private async keepOthers(signal: AbortSignal): Promise<void> {
    const { readModels, clock } = this.options;
    while (!signal.aborted) {
      try {
        const there = new Set((await readModels.builds()).map(({ collection }) => collection));
        const missing = OTHERS.filter(({ collection }) => !there.has(collection));
        await Promise.all(missing.map(({ create }) => create(readModels)));
      } catch (error) {
        this.log.warn({ err: error }, 'a store is away');
      }
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  }

  private keeper(view: ViewName): ViewKeeper {
    const keeper = this.keepers.findLast((one) => one.view.name === view);
    if (!keeper)
      throw new RekeyError('not_found', 'There is no such view.', {
        view,
        known: Object.keys(VIEW_VERSIONS).join(' '),
      });
    return keeper;
  }
}
