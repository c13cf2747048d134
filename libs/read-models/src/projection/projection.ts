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
import { decoded, type DecodedEvent, type FeedPage } from './feed';
import { brokenOf, concernsOf, foldEvents, type Failure, type FoldResult } from './fold';
import { Displaced, type Advance, type FeedWork, type Log } from './leased-feed';
import { Parking, createParked } from './parking';
import { ReplaysOfBuild, createReplays, type ReplayRequest, type Replayed } from '../operations/replays';
import type { View } from '../views/view';

/** A page that is taken into a build. */
export interface PageFacts {
  readonly view: string;
  readonly collection: CollectionName;
  readonly events: readonly StoredEvent[];
}
export type AroundPage = <T>(page: PageFacts, take: () => Promise<T>) => Promise<T>;

export interface ProjectionOptions {
  readonly store: Pick<EventStore, 'readStream'>;
  readonly readModels: Pick<ReadModels, 'read' | 'find' | 'put' | 'accumulate' | 'createBuild'>;
  readonly view: View;
  readonly collection: CollectionName;
  readonly log: Log;
  /** Goes round the taking in of every page, to see how long it takes. */
  readonly around?: AroundPage | undefined;
  /** Told of every stream that is parked. */
  readonly onParked?: ((view: string, stream: string) => void) | undefined;
}

/** How often an event is tried before its stream is parked. */
const TRIES = 3;
const FIND_PAGE = 1000;

/** Folds the feed into the documents of one build of a view. */
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

  take(page: FeedPage, checkpoint: Position, advance: Advance): Promise<LeaseState> {
    const { around, view, collection } = this.options;
    if (!around) return this.takeIn(page, checkpoint, advance);
    const events = page.events.map(({ stored }) => stored);
    return around({ view: view.name, collection, events }, () => this.takeIn(page, checkpoint, advance));
  }

  private async takeIn({ events }: FeedPage, checkpoint: Position, advance: Advance): Promise<LeaseState> {
    const { streams } = this.options.view;
    const ours = streams === '' ? events : events.filter(({ stored }) => stored.stream.startsWith(streams));
    const free = this.parking.size === 0 ? ours : ours.filter(({ stored }) => !this.parking.get(stored.stream));
    const { folded, before } = await this.fold(free, checkpoint);
    if (folded.failures.size === 0 && this.parking.size === 0)
      try {
        return await advance({ documents: [...folded.changed.values()], before });
      } catch (error) {
        if (error instanceof EngineUnavailable) throw error;
        // One of them cannot be stored: each is put by itself.
      }
    await this.put(folded, before);
    for (const { stored, cause } of folded.failures.values()) await this.park(stored, cause);
    if (this.parking.size > 0) await this.parking.add(ours.map(({ stored }) => stored));
    return advance();
  }

  /** Hands over each parked stream whose replay was asked for; `take` says whether it could be given its time. */
  async eachAsked(take: (asked: ReplayRequest) => Promise<boolean>): Promise<void> {
    if (this.parking.size > 0) await this.replays.each(this.parking.names, take);
  }

  /** Replays a stream, and says what came of it to those who asked. */
  async answer(asked: ReplayRequest, checkpoint: Position, at: Instant): Promise<void> {
    const { view, collection, log } = this.options;
    const { stream } = asked;
    const replayed = await this.replay(stream, checkpoint);
    await this.replays.answer(asked, replayed, at);
    log.info({ view: view.name, collection, stream, ...replayed }, 'a parked stream was replayed');
  }

  /** Takes in the events of a parked stream up to the checkpoint, from the first that waits; those behind it follow. */
  private async replay(stream: string, checkpoint: Position): Promise<Replayed> {
    const parked = this.parking.get(stream);
    if (!parked) return { events: 0, waiting: 0 };
    const waiting = (await this.options.store.readStream(stream, parked.revision)).filter(
      ({ position }) => position <= checkpoint,
    );
    const failure = (await this.foldIn(waiting.map(decoded), checkpoint)).get(stream);
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
      'an event cannot be taken in, its stream is parked',
    );
    onParked?.(view.name, stream);
  }

  /** Reads, folds and stores. Answers the first event that failed of each stream, whose later ones were left alone. */
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
        events.map(({ stored }) => decoded(stored)),
      );
    return { folded, before };
  }

  /**
   * The documents that events concern. They are only taken where the checkpoint that was read with them is the one that
   * this process has stored: else they may lack events that lie between.
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

  /** Stores what changed. A document that cannot be stored counts as a failure of the event that changed it first. */
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
