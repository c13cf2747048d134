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
import { requestReplay, replayRecords, type ReplayRecord, type ReplayResult } from './replays';
import { VIEWS } from '../views/views';

/** Status of a build of a view, as any process can read it from the stores. */
export interface BuildStatus {
  readonly view: ViewName;
  readonly version: number;
  readonly collection: CollectionName;
  /** Whether reads of the view use this build. */
  readonly active: boolean;
  /** Whether it belongs to the store's current history and has reached the head that the store had when it began. */
  readonly ready: boolean;
  readonly checkpoint: Position;
  /** Age of the oldest event that is not yet in it; 0 if it has all. */
  readonly lagSeconds: number;
  /** Name of the process that projects into it; empty if none does. */
  readonly owner: string;
  readonly parkedStreams: number;
}

/** A failed event, and the latest replay of its stream. */
export interface FailedStream extends FailedEvent {
  readonly replay?: ReplayRecord;
}

/** Result of a replay per build; undefined if its owner has not executed it yet. */
export interface ReplayAnswer {
  readonly builds: readonly { readonly collection: CollectionName; readonly result: ReplayResult | undefined }[];
}

const POLL_MS = 100;
const NOTHING_WAITS: ReplayResult = { events: 0, waiting: 0 };

/**
 * Operates the projections from any process, through the stores: lists builds and failed events, and requests rebuilds and
 * replays. Every method throws `EngineUnavailable`.
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

  /** Returns every build of every view, of all versions. */
  async list(): Promise<BuildStatus[]> {
    const { store, readModels, clock } = this.options;
    const identity = await store.identity();
    const builds = (await readModels.builds()).filter(isOfView);
    const pointers = await Promise.all(VIEWS.map(({ name }) => readModels.pointer(name)));
    const active = new Set(pointers.map((pointer) => pointer?.collection));
    const head = await store.head();
    const collections = builds.map(({ collection }) => collection);
    const parked = await this.inParked(() => countParked(readModels, collections));
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
   * Starts a new build of a view beside the active one, and returns its name. It becomes active once it has caught up.
   * Returns the one in progress if there is one. Throws `not_found`, and `unavailable` if newer code keeps the view.
   */
  async rebuild(name: ViewName, askedBy: string): Promise<CollectionName> {
    const { store, readModels } = this.options;
    const view = VIEWS.find((each) => each.name === name);
    if (!view) throw new RekeyError('not_found', 'No view has this name.');
    const collection = await beginRebuild(store, readModels, view, this.log);
    this.log.info({ view: name, collection, askedBy }, 'a rebuild was requested');
    return collection;
  }

  /** Returns the age of the oldest event that is not published yet; undefined if nothing was ever published. */
  async publisherLagSeconds(): Promise<number | undefined> {
    const { store, readModels, clock } = this.options;
    const identity = await store.identity();
    const published = (await readModels.builds(PUBLISHED)).find(({ storeIdentity }) => storeIdentity === identity);
    return published && lagSeconds(store, published.checkpoint, clock);
  }

  /** Returns a page of the failed events of existing builds, with the replays of their streams. */
  async failed(query: {
    readonly view?: ViewName | undefined;
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<Page<FailedStream>> {
    const { readModels } = this.options;
    const builds = await readModels.builds(query.view);
    const filter = parkedOf(builds.map(({ collection }) => collection));
    const parked = { find: <D extends ViewDocument>(page: Query) => readModels.find<D>(PARKED_COLLECTION, page) };
    const { items, next } = await this.inParked(() => findPage<ParkedStream>(parked, filter, { field: '_id' }, query));
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
   * Requests the replay of a stream in every build of a view that has parked it, and waits up to `timeoutMs` for the
   * results. Throws `not_found` if no build has ever parked it.
   */
  async replay(view: ViewName, stream: string, askedBy: string, timeoutMs: number): Promise<ReplayAnswer> {
    const { readModels, clock } = this.options;
    const builds = (await readModels.builds(view)).map(({ collection }) => collection);
    const known = await parkedIn(readModels, builds, stream);
    const concerned = builds.filter((_, index) => known[index] != null);
    if (concerned.length === 0)
      throw new RekeyError(
        'not_found',
        'This view has never parked this stream. List the failed events for those that it has.',
        { view },
      );
    const parked = builds.filter((_, index) => known[index]?.state === 'parked');
    if (parked.length > 0) {
      await requestReplay(readModels, parked, stream, { askedAt: clock.now(), askedBy });
      this.log.info({ view, stream, builds: parked, askedBy }, 'a replay was requested');
    }
    for (const deadlineMs = clock.monotonicMs() + timeoutMs; ;) {
      const isLate = clock.monotonicMs() >= deadlineMs;
      const builds = await this.results(concerned, stream, isLate);
      if (isLate || builds.every(({ result }) => result)) return { builds };
      await clock.sleep(POLL_MS);
    }
  }

  /** Searches the parked streams. Creates their collection if no projector has done so yet. */
  private async inParked<T>(search: () => Promise<T>): Promise<T> {
    try {
      return await search();
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      await createParked(this.options.readModels);
      return search();
    }
  }

  /**
   * Returns the latest result per build; undefined if a request is still open. `isLate`: a stream that is no longer parked
   * counts as replayed, as the result may have been lost.
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
      return { collection, result: record?.answered ? record.result : isWhole ? NOTHING_WAITS : undefined };
    });
  }
}

type BuildOfView = Build & { readonly view: ViewName };
const isOfView = (build: Build): build is BuildOfView => VIEWS.some(({ name }) => name === build.view);
