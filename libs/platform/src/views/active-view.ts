import {
  START,
  type CollectionName,
  type Filter,
  type Position,
  type Query,
  type ReadModels,
  type ViewDocument,
} from '@rekey/ports';
import { BuildWatch, type BuildWatchOptions } from './build-watch';
import { ViewWaits } from './view-waits';

export interface ActiveViewOptions extends BuildWatchOptions {
  readonly readModels: Pick<ReadModels, 'read' | 'find' | 'count' | 'pointer' | 'builds' | 'reached'>;
}

export interface ActiveViewStatus {
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly cause?: string;
  /** Checkpoint of the active build, as last read. */
  readonly checkpoint: Position;
  readonly collection?: CollectionName;
}

/**
 * Reads a view from its active build. Throws `RekeyError` `unavailable` whenever a read might miss something that was
 * acknowledged before: the active build could not be looked up for 10 seconds; the build is gone, of a version that this
 * release cannot read, made from another event store, or ahead of the event store; or it is behind what this process has
 * read before, or behind the store's head when it started. Each read is judged by the checkpoint of its own snapshot.
 */
export class ActiveView {
  private readonly watch: BuildWatch;
  private readonly waits: ViewWaits;

  constructor(private readonly options: ActiveViewOptions) {
    this.watch = new BuildWatch(options);
    this.waits = new ViewWaits(options, this.watch);
  }

  /** Looks up the active build, and again every second. Resolves even if the view cannot be read yet. */
  start(): Promise<void> {
    return this.watch.start();
  }

  stop(): void {
    this.watch.stop();
  }

  /** Returns documents in the order of their ids, null for an id without one. Throws `unavailable`. */
  async read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]> {
    for (let attempt = 0; ; attempt++) {
      // Awaiting a build that is known costs a turn of the microtask queue on every check.
      const adopted = this.watch.trustedNow() ?? (await this.watch.trusted());
      const { floor, collection } = adopted;
      let checkpoint: Position | null;
      try {
        const snapshot = await this.options.readModels.read<D>(collection, ids);
        checkpoint = snapshot.checkpoint;
        if (checkpoint !== null && checkpoint >= floor) {
          this.watch.saw(adopted, checkpoint);
          return snapshot.documents;
        }
      } catch (cause) {
        throw this.watch.failure(cause);
      }
      await this.watch.distrust(adopted, checkpoint, attempt);
    }
  }

  /** Returns the documents that match. Throws `unavailable`, and `invalid_request` for an invalid query. */
  find<D extends ViewDocument>(query: Query): Promise<D[]> {
    return this.search((collection) => this.options.readModels.find<D>(collection, query));
  }

  /** Returns how many documents match. Throws `unavailable`. */
  count(filter?: Filter): Promise<number> {
    return this.search((collection) => this.options.readModels.count(collection, filter));
  }

  /**
   * Waits until every reader of the view has applied the feed up to a position. Returns false on timeout. With `stream`,
   * in a view whose ids are streams, also false if the stream's document is broken.
   */
  waitFor(position: Position, timeoutMs: number, stream?: string): Promise<boolean> {
    return this.waits.waitFor(position, timeoutMs, stream);
  }

  status(): ActiveViewStatus {
    const adopted = this.watch.current;
    const cause = this.watch.cause();
    return {
      ready: cause === undefined,
      ...(cause !== undefined && { cause }),
      checkpoint: adopted?.seen ?? START,
      ...(adopted && { collection: adopted.collection }),
    };
  }

  private async search<T>(search: (collection: CollectionName) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const adopted = await this.watch.trusted();
      const { floor, collection } = adopted;
      let found: { readonly result: T } | { readonly error: unknown };
      try {
        found = { result: await search(collection) };
      } catch (error) {
        found = { error };
      }
      // A search has no snapshot of its own. The checkpoint read after it tells whether the build was still there.
      let checkpoint: Position | null;
      try {
        ({ checkpoint } = await this.options.readModels.read(collection, []));
      } catch (cause) {
        throw this.watch.failure(cause);
      }
      if (checkpoint !== null && checkpoint >= floor) {
        this.watch.saw(adopted, checkpoint);
        if ('error' in found) throw this.watch.failure(found.error);
        return found.result;
      }
      await this.watch.distrust(adopted, checkpoint, attempt);
    }
  }
}
