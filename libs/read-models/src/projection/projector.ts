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
  /** Name of the process. A restarted process takes its leases back at once by its name, so no two may share one. */
  readonly name: string;
  /** Default: all views. */
  readonly views?: readonly View[];
  /** Receives every event, without verifiers. */
  readonly publisher?: EventPublisher;
  readonly pageSize?: number;
  readonly log?: Log;
}

const LOOK_EVERY_MS = 2_000;
/** Collections that are not derived from events. */
const OTHER_COLLECTIONS = [
  { collection: USAGE_COLLECTION, create: createUsage },
  { collection: PARKED_COLLECTION, create: createParked },
  { collection: REPLAYS_COLLECTION, create: createReplays },
];
const PAGE_SIZE = 5_000;

/** Keeps all views up to date, and passes events to the publisher if there is one. */
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

  /** Starts projecting. Does not wait for the stores to be available. */
  async start(): Promise<void> {
    if (this.running) return;
    const ending = new AbortController();
    const work = [this.keepOtherCollections(ending.signal), ...this.keepers.map((keeper) => keeper.run(ending.signal))];
    const { publisher } = this.options;
    if (publisher)
      work.push(new Publishing(publisher, this.feed, this.owner, this.options, this.log).run(ending.signal));
    this.running = { ending, done: Promise.all(work) };
  }

  /** Finishes the current pages and releases the leases. */
  async stop(): Promise<void> {
    this.running?.ending.abort();
    await this.running?.done;
    this.feed.close();
  }

  /** Returns a health probe per view: ready if this process keeps the view up to date or is a standby for it. */
  health(): ReadonlyMap<ViewName, () => { readonly ready: boolean; readonly cause?: string }> {
    return new Map(this.keepers.map((keeper) => [keeper.view.name, () => keeper.health()]));
  }

  /** Creates the other collections, and creates them again if they are lost. */
  private async keepOtherCollections(signal: AbortSignal): Promise<void> {
    const { readModels, clock } = this.options;
    while (!signal.aborted) {
      try {
        const existing = new Set((await readModels.builds()).map(({ collection }) => collection));
        const missing = OTHER_COLLECTIONS.filter(({ collection }) => !existing.has(collection));
        await Promise.all(missing.map(({ create }) => create(readModels)));
      } catch (error) {
        this.log.warn({ err: error }, 'collections could not be created, trying again');
      }
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  }
}
