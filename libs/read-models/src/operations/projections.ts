import { RekeyError, type ViewName } from '@rekey/contracts';
import { lagSeconds } from '@rekey/platform';
import {
  EngineUnavailable,
  type Build,
  type Clock,
  type CollectionName,
  type EventStore,
  type Position,
  type Query,
  type ReadModels,
  type ViewDocument,
} from '@rekey/ports';
import { isUsable, nameOf } from '../projection/build-plan';
import { SILENT, type Log } from '../projection/leased-feed';
import { beginRebuild } from '../projection/new-build';
import { findPage, type Page } from '../views/paging';
import {
  PARKED_COLLECTION,
  countParked,
  createParked,
  failedEventOf,
  parkedIn,
  parkedOf,
  type FailedEvent,
  type ParkedStream,
} from '../projection/parking';
import { PUBLISHED } from '../projection/publishing';
import { askForReplay, replayRecords, type Replayed, type ReplayRecord } from './replays';
import { VIEWS } from '../views/views';

/** How a build of a view stands, as the stores tell it to any process. */
export interface BuildStatus {
  readonly view: ViewName;
  readonly version: number;
  readonly collection: CollectionName;
  /** Whether it answers for its view. */
  readonly active: boolean;
  /** Whether it is of the store's history, and has come to where the store was when it began. */
  readonly ready: boolean;
  readonly checkpoint: Position;
  /** Age of the oldest event that it has not taken in; 0 where it has them all. */
  readonly lagSeconds: number;
  /** Name of the process that projects into it; empty: nobody. */
  readonly owner: string;
  readonly parkedStreams: number;
}

/** A failed event, and what was asked of its stream. */
export interface FailedStream extends FailedEvent {
  readonly replay?: ReplayRecord;
}

/** What came of asking for a replay, build by build: undefined where its owner has not taken it up yet. */
export interface ReplayAnswer {
  readonly builds: readonly { readonly collection: CollectionName; readonly result: Replayed | undefined }[];
}

const POLL_MS = 100;
const WHOLE: Replayed = { events: 0, waiting: 0 };

/**
 * The projections as those who operate them see them, from any process that reaches the stores: the one that projects
 * need not be asked. Every method throws `EngineUnavailable` where a store is away.
 */
export class Projections {
  private readonly log: Log;

  constructor(
    private readonly options: {
      readonly store: Pick<EventStore, 'identity' | 'head' | 'readFeed'>;
      readonly readModels: ReadModels;
      readonly clock: Clock;
      readonly log?: Log;
    },
  ) {
    this.log = options.log ?? SILENT;
  }

  /** Every build of every view, of all versions. */
  async list(): Promise<BuildStatus[]> {
    const { store, readModels, clock } = this.options;
    const identity = await store.identity();
    const builds = (await readModels.builds()).filter(isOfView);
    const pointers = await Promise.all(VIEWS.map(({ name }) => readModels.pointer(name)));
    const active = new Set(pointers.map((pointer) => pointer?.collection));
    const head = await store.head();
    const collections = builds.map(({ collection }) => collection);
    const parked = await this.ofParked(() => countParked(readModels, collections));
    const lags = await Promise.all(
      builds.map(async ({ checkpoint }) => (checkpoint >= head ? 0 : lagSeconds(store, checkpoint, clock))),
    );
    return builds.map((build, index) => {
      const { view, version, collection, checkpoint, target, owner } = build;
      return {
        view,
        version,
        collection,
        checkpoint,
        active: active.has(collection),
        ready: checkpoint >= target && isUsable(build, { identity, head }),
        lagSeconds: lags[index] ?? 0,
        owner: nameOf(owner),
        parkedStreams: parked[index] ?? 0,
      };
    });
  }

  /**
   * Begins a new build of a view beside the live one, which answers as soon as it has come as far; or names the one that
   * is under way. Throws `unavailable` where newer code keeps the view.
   */
  async rebuild(name: ViewName, askedBy: string): Promise<CollectionName> {
    const { store, readModels } = this.options;
    const view = VIEWS.find((each) => each.name === name);
    if (!view) throw new RekeyError('not_found', 'There is no such view.');
    const collection = await beginRebuild(store, readModels, view, this.log);
    this.log.info({ view: name, collection, askedBy }, 'a rebuild was asked for');
    return collection;
  }

  /** Age of the oldest event that the publisher was not given yet; undefined where nothing was ever published. */
  async publisherLagSeconds(): Promise<number | undefined> {
    const { store, readModels, clock } = this.options;
    const identity = await store.identity();
    const published = (await readModels.builds(PUBLISHED)).find(({ storeIdentity }) => storeIdentity === identity);
    return published && lagSeconds(store, published.checkpoint, clock);
  }

  /** Events that could not be taken in, of builds that are still there, and what was asked of their streams. */
  async failed(query: {
    readonly view?: ViewName | undefined;
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<Page<FailedStream>> {
    const { readModels } = this.options;
    const builds = await readModels.builds(query.view);
    const filter = parkedOf(builds.map(({ collection }) => collection));
    const parked = { find: <D extends ViewDocument>(page: Query) => readModels.find<D>(PARKED_COLLECTION, page) };
    const { items, next } = await this.ofParked(() => findPage<ParkedStream>(parked, filter, { field: '_id' }, query));
    const replays = await replayRecords(readModels, items);
    return {
      items: items.map((parked, index) => {
        const replay = replays[index];
        return { ...failedEventOf(parked), ...(replay && { replay }) };
      }),
      ...(next !== undefined && { next }),
    };
  }

  /**
   * Asks whoever owns the builds of a view to take in what waits of a stream, in every build that has parked it, and waits
   * for what comes of it. Throws `not_found` where none ever has.
   */
  async replay(view: ViewName, stream: string, askedBy: string, timeoutMs: number): Promise<ReplayAnswer> {
    const { readModels, clock } = this.options;
    const builds = (await readModels.builds(view)).map(({ collection }) => collection);
    const known = await parkedIn(readModels, builds, stream);
    const concerned = builds.filter((_, index) => known[index] != null);
    if (concerned.length === 0)
      throw new RekeyError('not_found', 'No event of such a stream waits in this view.', { view });
    const parked = builds.filter((_, index) => known[index]?.state === 'parked');
    if (parked.length > 0) {
      await askForReplay(readModels, parked, stream, { askedAt: clock.now(), askedBy });
      this.log.info({ view, stream, builds: parked, askedBy }, 'a replay was asked for');
    }
    for (const deadlineMs = clock.monotonicMs() + timeoutMs; ;) {
      const isLate = clock.monotonicMs() >= deadlineMs;
      const builds = await this.results(concerned, stream, isLate);
      if (isLate || builds.every(({ result }) => result)) return { builds };
      await clock.sleep(POLL_MS);
    }
  }

  /** Searches the parked streams, whose collection is made by whoever is first. */
  private async ofParked<T>(search: () => Promise<T>): Promise<T> {
    try {
      return await search();
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      await createParked(this.options.readModels);
      return search();
    }
  }

  /**
   * What the latest replay in each build came to; nothing where one is still to come. `isLate`: a stream that is whole
   * by now is not waited for any more, for who had it replayed may not know of everybody who asked.
   */
  private async results(
    collections: readonly CollectionName[],
    stream: string,
    isLate: boolean,
  ): Promise<ReplayAnswer['builds']> {
    const { readModels } = this.options;
    const records = await replayRecords(
      readModels,
      collections.map((collection) => ({ collection, stream })),
    );
    const now = isLate ? await parkedIn(readModels, collections, stream) : [];
    return collections.map((collection, index) => {
      const record = records[index];
      const isWhole = isLate && now[index]?.state !== 'parked';
      return { collection, result: record?.answered ? record.result : isWhole ? WHOLE : undefined };
    });
  }
}

type BuildOfView = Build & { readonly view: ViewName };
const isOfView = (build: Build): build is BuildOfView => VIEWS.some(({ name }) => name === build.view);
