import type { ViewName } from '@rekey/contracts';
import type { EventPublisher } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { ownerOf } from './build-plan';
import { Feed } from './feed';
import { SILENT, type Log } from './leased-feed';
import { PARKED_COLLECTION, createParked } from './parking';
import { Publishing } from './publishing';
import { REPLAYS_COLLECTION, createReplays } from '../operations/replays';
import { USAGE_COLLECTION, createUsage } from '../views/usage';
import type { View } from '../views/view';
import { ViewKeeper, type ViewKeeperOptions } from './view-keeper';
import { VIEWS } from '../views/views';

export interface ProjectorOptions extends ViewKeeperOptions {
  /** Who projects. A process that comes back under its name has its leases back at once: no two may share a name. */
  readonly name: string;
  /** Default: all views of this code. */
  readonly views?: readonly View[];
  /** Where events are told of to the world outside. */
  readonly publisher?: EventPublisher;
  readonly pageSize?: number;
  readonly log?: Log;
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

  /** Whether this process does its part for each view: keeps it, or stands by for whoever does. */
  health(): ReadonlyMap<ViewName, () => { readonly ready: boolean; readonly cause?: string }> {
    return new Map(this.keepers.map((keeper) => [keeper.view.name, () => keeper.health()]));
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
}
