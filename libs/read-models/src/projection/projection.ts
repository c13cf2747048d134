import type { Instant } from '@rekey/domain';
import {
  EngineUnavailable,
  type CollectionName,
  type EventStore,
  type Position,
  type Query,
  type ReadModels,
  type StoredEvent,
  type ViewDocument,
} from '@rekey/ports';
import type { LeaseState } from './build-plan';
import { decodeStored, type DecodedEvent, type FeedPage } from './feed';
import { brokenOf, concernsOf, foldEvents, type Failure, type FoldResult } from './fold';
import { Displaced, type Advance, type FeedWork, type Log } from './leased-feed';
import { Parking, createParked } from './parking';
import { ReplaysOfBuild, createReplays, type ReplayRequest, type ReplayResult } from '../operations/replays';
import type { View } from '../views/view';

/** A page that is being applied to a build. */
export interface PageFacts {
  readonly view: string;
  readonly collection: CollectionName;
  readonly events: readonly StoredEvent[];
}
export type AroundPage = <T>(page: PageFacts, apply: () => Promise<T>) => Promise<T>;

export interface ProjectionOptions {
  readonly store: Pick<EventStore, 'readStream'>;
  readonly readModels: Pick<ReadModels, 'read' | 'find' | 'put' | 'accumulate' | 'createBuild'>;
  readonly view: View;
  readonly collection: CollectionName;
  readonly log: Log;
  /** Wraps the folding of every page, for traces. */
  readonly around?: AroundPage | undefined;
  /** Called for every stream that is parked. */
  readonly onParked?: ((view: string, stream: string) => void) | undefined;
}

/** Attempts to fold an event before its stream is parked. */
const TRIES = 3;
const FIND_PAGE = 1000;

/** Folds the feed into the documents of one build. */
export class Projection implements FeedWork {
  private readonly parking: Parking;
  private readonly replays: ReplaysOfBuild;

  constructor(private readonly options: ProjectionOptions) {
    this.parking = new Parking(options.readModels, options.view.name, options.collection);
    this.replays = new ReplaysOfBuild(options.readModels, options.collection);
  }

  async begin(): Promise<void> {
    await createParked(this.options.readModels);
    await createReplays(this.options.readModels);
    await this.parking.load();
  }

  apply(page: FeedPage, checkpoint: Position, advance: Advance): Promise<LeaseState> {
    const { around, view, collection } = this.options;
    if (!around) return this.applyPage(page, checkpoint, advance);
    const events = page.events.map(({ stored }) => stored);
    return around({ view: view.name, collection, events }, () => this.applyPage(page, checkpoint, advance));
  }

  private async applyPage({ events }: FeedPage, checkpoint: Position, advance: Advance): Promise<LeaseState> {
    const { streams } = this.options.view;
    const ours = streams === '' ? events : events.filter(({ stored }) => stored.stream.startsWith(streams));
    const free = this.parking.size === 0 ? ours : ours.filter(({ stored }) => !this.parking.get(stored.stream));
    const { folded, before } = await this.fold(free, checkpoint);
    if (folded.failures.size === 0 && this.parking.size === 0)
      try {
        return await advance({ documents: [...folded.changed.values()], before });
      } catch (error) {
        if (error instanceof EngineUnavailable) throw error;
        // A document cannot be stored. `put` below finds out which.
      }
    await this.put(folded, before);
    for (const { stored, cause } of folded.failures.values()) await this.park(stored, cause);
    if (this.parking.size > 0) await this.parking.add(ours.map(({ stored }) => stored));
    return advance();
  }

  /** Calls `handle` for each replay request of a parked stream. `handle` returns false to get the requests again later. */
  async eachReplayRequest(handle: (request: ReplayRequest) => Promise<boolean>): Promise<void> {
    if (this.parking.size > 0) await this.replays.each(this.parking.names, handle);
  }

  /** Replays a stream and stores the result for those who requested it. */
  async answer(request: ReplayRequest, checkpoint: Position, at: Instant): Promise<void> {
    const { view, collection, log } = this.options;
    const { stream } = request;
    const replayed = await this.replay(stream, checkpoint);
    await this.replays.answer(request, replayed, at);
    log.info({ view: view.name, collection, stream, ...replayed }, 'a parked stream was replayed');
  }

  /** Folds the waiting events of a parked stream up to the checkpoint. Later ones come with the feed. */
  private async replay(stream: string, checkpoint: Position): Promise<ReplayResult> {
    const parked = this.parking.get(stream);
    if (!parked) return { events: 0, waiting: 0 };
    const waiting = (await this.options.store.readStream(stream, parked.revision)).filter(
      ({ position }) => position <= checkpoint,
    );
    const failure = (await this.foldIn(waiting.map(decodeStored), checkpoint)).get(stream);
    if (!failure) {
      await this.parking.release(stream);
      return { events: waiting.length, waiting: 0 };
    }
    const events = failure.stored.revision - parked.revision;
    await this.parking.park(failure.stored, failure.cause, waiting.length - events);
    return { events, waiting: waiting.length - events, cause: failure.cause };
  }

  private async park(stored: Failure['stored'], cause: string): Promise<void> {
    const { view, collection, log, onParked } = this.options;
    const { stream, revision, type } = stored;
    await this.parking.park(stored, cause);
    log.error(
      { view: view.name, collection, stream, revision, type, cause },
      'an event cannot be folded, its stream is parked',
    );
    onParked?.(view.name, stream);
  }

  /** Reads documents, folds events into them, and stores them. Returns the first event that failed of each stream. */
  private async foldIn(events: readonly DecodedEvent[], checkpoint: Position): Promise<Map<string, Failure>> {
    const { folded, before } = await this.fold(events, checkpoint);
    await this.put(folded, before);
    return folded.failures;
  }

  private async fold(
    events: readonly DecodedEvent[],
    checkpoint: Position,
  ): Promise<{ folded: FoldResult<ViewDocument>; before: ReadonlyMap<string, ViewDocument | null> }> {
    const { view } = this.options;
    const before = await this.load(events, checkpoint);
    let folded = foldEvents(view, before, events);
    for (let attempt = 2; attempt <= TRIES && folded.failures.size > 0; attempt++)
      folded = foldEvents(
        view,
        before,
        events.map(({ stored }) => decodeStored(stored)),
      );
    return { folded, before };
  }

  /**
   * Returns the documents that events concern. Throws `Displaced` unless the checkpoint read with them is the one that this
   * process stored: otherwise events could be missing in them.
   */
  private async load(
    events: readonly DecodedEvent[],
    checkpoint: Position,
  ): Promise<ReadonlyMap<string, ViewDocument | null>> {
    const { readModels, collection, view } = this.options;
    const { ids, applicationIds } = concernsOf(view, events);
    if (applicationIds.size > 0) for (const id of await this.idsOf([...applicationIds])) ids.add(id);
    if (ids.size === 0) return new Map();
    const wanted = [...ids];
    const snapshot = await readModels.read(collection, wanted);
    if (snapshot.checkpoint !== checkpoint) throw new Displaced();
    return new Map(wanted.map((id, index) => [id, snapshot.documents[index] ?? null]));
  }

  private async idsOf(applicationIds: readonly string[]): Promise<string[]> {
    const { readModels, collection } = this.options;
    const filter = { field: 'applicationId', op: 'in', value: applicationIds } as const;
    const ids: string[] = [];
    for (;;) {
      const last = ids.at(-1);
      const query: Query = {
        filter,
        limit: FIND_PAGE,
        ...(last !== undefined && { after: { value: last, id: last } }),
      };
      const found = await readModels.find(collection, query);
      for (const { _id } of found) ids.push(_id);
      if (found.length < FIND_PAGE) return ids;
    }
  }

  /** Stores changed documents. One that cannot be stored is a failure of the first event that changed it. */
  private async put(
    { changed, changedBy, failures }: FoldResult<ViewDocument>,
    before: ReadonlyMap<string, ViewDocument | null>,
  ): Promise<void> {
    if (changed.size === 0) return;
    const { readModels, collection, view } = this.options;
    try {
      await readModels.put(collection, [...changed.values()]);
    } catch (error) {
      if (error instanceof EngineUnavailable) throw error;
      for (const [id, document] of changed) {
        const stored = changedBy.get(id);
        if (!stored || (await this.canPut(document))) continue;
        const known = before.get(id) ?? view.ofStream?.(stored.stream);
        if (view.ofStream && known) await readModels.put(collection, [brokenOf(known)]);
        if (!failures.has(stored.stream))
          failures.set(stored.stream, { stored, cause: 'its document cannot be stored' });
      }
    }
  }

  private async canPut(document: ViewDocument): Promise<boolean> {
    for (let attempt = 1; attempt <= TRIES; attempt++)
      try {
        await this.options.readModels.put(this.options.collection, [document]);
        return true;
      } catch (error) {
        if (error instanceof EngineUnavailable) throw error;
      }
    return false;
  }
}
