import { RekeyError, VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import {
  EngineUnavailable,
  START,
  type Build,
  type Clock,
  type CollectionName,
  type EventStore,
  type Filter,
  type Pointer,
  type Position,
  type Query,
  type ReadModels,
  type ViewDocument,
} from '@rekey/ports';

export interface ActiveViewOptions {
  readonly store: Pick<EventStore, 'head' | 'identity'>;
  readonly readModels: Pick<ReadModels, 'read' | 'find' | 'count' | 'pointer' | 'builds' | 'reached'>;
  readonly clock: Clock;
  readonly view: ViewName;
  /** Versions of the view's documents that the readers of this process understand; default: the one of this code. */
  readonly versions?: readonly number[];
  readonly log?: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

export interface ActiveViewStatus {
  readonly ready: boolean;
  /** Why not. */
  readonly cause?: string;
  /** Of the active build, as last seen. */
  readonly checkpoint: Position;
  readonly collection?: CollectionName;
}

const CONFIRM_EVERY_MS = 1_000;
/** A pointer that could not be confirmed for so long is not believed any more. */
const CONFIRMED_FOR_MS = 10_000;
/** A read that is refused asks again who answers for the view, but not oftener than this, nor waits longer than that. */
const ASK_AGAIN_AFTER_MS = 50;
const ASK_AGAIN_FOR_MS = 1_000;
const WAIT_AGAIN_AFTER_MS = 50;

const GONE = 'the build is gone';
const BEHIND = 'the build is behind what was seen before';

/** The build that this process reads from. */
interface Adopted {
  readonly collection: CollectionName;
  /** The build must be at least here: all that this process has seen of it, and what had happened when it started. */
  floor: Position;
  /** Checkpoint as last seen; null: the build was gone. */
  seen: Position | null;
}

/** What a look at the stores showed. `head` is taken after `builds`. */
export interface ViewSituation {
  readonly pointer: Pointer | null;
  readonly builds: readonly Build[];
  readonly versions: readonly number[];
  readonly identity: string;
  readonly head: Position;
}

/** Which build a reader with a certain floor should read from, or why none. */
export const chooseBuild = (
  { pointer, builds, versions, identity, head }: ViewSituation,
  adopted: { readonly collection: CollectionName; readonly floor: Position } | undefined,
): { readonly build: Build } | { readonly refusal: string } => {
  const active = builds.find((build) => build.collection === pointer?.collection);
  const refusal = refusalOf(pointer, active, versions, identity, head);
  // Right after a switch the new build may lie a few events behind what was read from the old one, which is kept.
  const behind = active === undefined || (adopted !== undefined && active.checkpoint < adopted.floor);
  const previous = builds.find((build) => build.collection === pointer?.previous);
  const keep =
    behind &&
    adopted !== undefined &&
    previous?.collection === adopted.collection &&
    previous.checkpoint >= adopted.floor &&
    refusalOf(pointer, previous, [previous.version], identity, head) === undefined;
  if (keep && previous && refusal === undefined) return { build: previous };
  return active && refusal === undefined ? { build: active } : { refusal: refusal ?? 'not built yet' };
};

const refusalOf = (
  pointer: Pointer | null,
  build: Build | undefined,
  versions: readonly number[],
  identity: string,
  head: Position,
): string | undefined => {
  if (!pointer) return 'not built yet';
  if (!build) return GONE;
  if (!versions.includes(build.version)) return `version ${build.version} is not known to this code`;
  if (build.storeIdentity !== identity) return 'the build was made from another event store';
  if (build.checkpoint > head) return 'the build is ahead of the event store';
  return undefined;
};

const max = (left: Position, right: Position): Position => (left > right ? left : right);

/**
 * Reads a view from the build that its pointer names, and refuses (`RekeyError` `unavailable`) whenever what it would
 * read may lack something that was acknowledged before: the pointer was not confirmed of late; the build is gone, of an
 * unknown version, of another store, ahead of the store, or behind what this process has seen of it or of the store's
 * head at its start. Every read is judged by the checkpoint that was read with the documents, in the same snapshot.
 */
export class ActiveView {
  private readonly versions: readonly number[];
  private adopted: Adopted | undefined;
  /** As last seen; null also where it names no build of this store. */
  private pointer: Pointer | null = null;
  private refusal: string | undefined = 'not looked for yet';
  private identity: string | undefined;
  private startHead: Position = START;
  /** Monotonic time of the latest look at the pointer that succeeded. */
  private confirmedAtMs = -Infinity;
  /** Monotonic time at which the latest look began. */
  private lookedAtMs = -Infinity;
  private confirming: Promise<void> | undefined;
  private cancelTimer: (() => void) | undefined;
  private stopped = false;

  constructor(private readonly options: ActiveViewOptions) {
    this.versions = options.versions ?? [VIEW_VERSIONS[options.view]];
  }

  /** Looks for the view's build, then again every second. Resolves also where nothing can be read yet. */
  async start(): Promise<void> {
    await this.confirm();
    this.scheduleConfirm();
  }

  stop(): void {
    this.stopped = true;
    this.cancelTimer?.();
  }

  /** Documents by id, in the order of the ids, null where there is none. Throws `unavailable`. */
  async read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]> {
    for (let attempt = 0; ; attempt++) {
      const adopted = this.trusted() ?? (await this.trustedAfterLooking());
      const { floor, collection } = adopted;
      let checkpoint: Position | null;
      try {
        const snapshot = await this.options.readModels.read<D>(collection, ids);
        checkpoint = snapshot.checkpoint;
        if (checkpoint !== null && checkpoint >= floor) {
          this.saw(adopted, checkpoint);
          return snapshot.documents;
        }
      } catch (cause) {
        throw this.failure(cause);
      }
      await this.distrust(adopted, checkpoint, attempt);
    }
  }

  /** Documents that fit. Throws `unavailable`, and whatever the query is at fault for. */
  find<D extends ViewDocument>(query: Query): Promise<D[]> {
    return this.searched((collection) => this.options.readModels.find<D>(collection, query));
  }

  /** How many documents fit. Throws `unavailable`. */
  count(filter?: Filter): Promise<number> {
    return this.searched((collection) => this.options.readModels.count(collection, filter));
  }

  /**
   * Waits until everybody who reads the view reads it at or past a position of the feed: the active build, and during a
   * switch the other one. False where the time ran out first. With `stream`, in a view whose ids are streams: also
   * false where the stream's document is broken.
   */
  async waitFor(position: Position, timeoutMs: number, stream?: string): Promise<boolean> {
    const { clock } = this.options;
    const deadline = clock.monotonicMs() + timeoutMs;
    for (;;) {
      const left = Math.max(0, deadline - clock.monotonicMs());
      if (await this.reachedBy(position, left)) return stream === undefined || !(await this.isBroken(stream));
      const pauseMs = Math.min(WAIT_AGAIN_AFTER_MS, deadline - clock.monotonicMs());
      if (pauseMs <= 0) return false;
      await clock.sleep(pauseMs);
      await this.confirmAgain();
    }
  }

  status(): ActiveViewStatus {
    const { adopted } = this;
    const cause = this.cause();
    return {
      ready: cause === undefined,
      ...(cause !== undefined && { cause }),
      checkpoint: adopted?.seen ?? START,
      ...(adopted && { collection: adopted.collection }),
    };
  }

  // ── Trust ──────────────────────────────────────────────────────────────────────────────────────────────────────

  private cause(): string | undefined {
    const { adopted } = this;
    if (this.refusal !== undefined || !adopted) return this.refusal ?? 'not built yet';
    if (this.options.clock.monotonicMs() - this.confirmedAtMs > CONFIRMED_FOR_MS) return 'the pointer is not confirmed';
    if (adopted.seen === null) return GONE;
    return adopted.seen < adopted.floor ? BEHIND : undefined;
  }

  /** The build to read from; whether it is far enough is judged by each read itself. */
  private trusted(): Adopted | undefined {
    if (this.refusal !== undefined) return undefined;
    return this.options.clock.monotonicMs() - this.confirmedAtMs > CONFIRMED_FOR_MS ? undefined : this.adopted;
  }

  private async trustedAfterLooking(): Promise<Adopted> {
    await this.confirmAgain();
    const adopted = this.trusted();
    if (!adopted) throw this.unavailable(this.cause() ?? 'not built yet');
    return adopted;
  }

  private saw(adopted: Adopted, checkpoint: Position): void {
    adopted.seen = checkpoint;
    if (checkpoint > adopted.floor) adopted.floor = checkpoint;
  }

  /** After a read that may not be used: looks once more who answers now, then refuses. */
  private async distrust(adopted: Adopted, checkpoint: Position | null, attempt: number): Promise<void> {
    adopted.seen = checkpoint;
    if (attempt === 0) {
      await this.confirmAgain();
      if (this.adopted !== adopted) return;
    }
    throw this.unavailable(this.cause() ?? (checkpoint === null ? GONE : BEHIND));
  }

  private async searched<T>(search: (collection: CollectionName) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const adopted = this.trusted() ?? (await this.trustedAfterLooking());
      const { floor, collection } = adopted;
      let found: { readonly result: T } | { readonly error: unknown };
      try {
        found = { result: await search(collection) };
      } catch (error) {
        found = { error };
      }
      let checkpoint: Position | null;
      try {
        ({ checkpoint } = await this.options.readModels.read(collection, []));
      } catch (cause) {
        throw this.failure(cause);
      }
      if (checkpoint !== null && checkpoint >= floor) {
        this.saw(adopted, checkpoint);
        if ('error' in found) throw this.failure(found.error);
        return found.result;
      }
      await this.distrust(adopted, checkpoint, attempt);
    }
  }

  private unavailable(cause: string, options?: ErrorOptions): RekeyError {
    const { view } = this.options;
    return new RekeyError('unavailable', `The view ${view} cannot be read now: ${cause}.`, { view }, options);
  }

  private failure(cause: unknown): unknown {
    return cause instanceof EngineUnavailable ? this.unavailable('its store is away', { cause }) : cause;
  }

  // ── Looking for the build ──────────────────────────────────────────────────────────────────────────────────────

  private scheduleConfirm(): void {
    if (this.stopped) return;
    this.cancelTimer = this.options.clock.schedule(CONFIRM_EVERY_MS, () => {
      void this.confirm().finally(() => this.scheduleConfirm());
    });
  }

  private async confirmAgain(): Promise<void> {
    const { clock } = this.options;
    const ageMs = clock.monotonicMs() - this.lookedAtMs;
    if (this.stopped || (this.confirming ? ageMs > ASK_AGAIN_FOR_MS : ageMs < ASK_AGAIN_AFTER_MS)) return;
    const answered = new AbortController();
    const confirmed = this.confirm().finally(() => answered.abort());
    await Promise.race([confirmed, clock.sleep(ASK_AGAIN_FOR_MS, answered.signal)]);
  }

  private confirm(): Promise<void> {
    this.confirming ??= this.look()
      .catch((error: unknown) => {
        this.options.log?.warn({ view: this.options.view, err: error }, 'cannot confirm which build answers');
      })
      .finally(() => {
        this.confirming = undefined;
      });
    return this.confirming;
  }

  private async look(): Promise<void> {
    const { store, readModels, clock, view, log } = this.options;
    const lookedAtMs = clock.monotonicMs();
    this.lookedAtMs = lookedAtMs;
    const identity = await store.identity();
    if (identity !== this.identity) {
      // Another history: what was seen of the old one says nothing any more.
      this.adopted = undefined;
      this.startHead = await store.head();
      this.identity = identity;
    }
    const floor = this.adopted?.floor ?? START;
    const [pointer, builds] = await Promise.all([readModels.pointer(view), readModels.builds(view)]);
    const situation = { pointer, builds, versions: this.versions, identity, head: await store.head() };
    const choice = chooseBuild(situation, this.adopted);
    const named = builds.find((build) => build.collection === pointer?.collection);
    this.pointer = named?.storeIdentity === identity ? pointer : null;
    const refusal = 'refusal' in choice ? choice.refusal : undefined;
    if (refusal !== this.refusal) {
      const first = this.confirmedAtMs === -Infinity;
      if (refusal === undefined) log?.info({ view }, 'the view can be read');
      else log?.[first ? 'info' : 'warn']({ view, cause: refusal }, 'the view cannot be read');
    }
    this.refusal = refusal;
    if ('build' in choice) this.adopt(choice.build, floor);
    this.confirmedAtMs = lookedAtMs;
  }

  /** `floor`: the one from before the build's checkpoint was read; reads may have seen more since. */
  private adopt({ collection, checkpoint }: Build, floor: Position): void {
    const known = this.adopted;
    if (known?.collection === collection) {
      if (checkpoint < floor || known.seen === null || known.seen < checkpoint) known.seen = checkpoint;
      if (checkpoint > known.floor) known.floor = checkpoint;
      return;
    }
    const atLeast = max(this.startHead, known?.floor ?? START);
    this.adopted = { collection, floor: max(atLeast, checkpoint), seen: checkpoint };
  }

  // ── Waiting ────────────────────────────────────────────────────────────────────────────────────────────────────

  private async reachedBy(position: Position, timeoutMs: number): Promise<boolean> {
    const { readModels, view } = this.options;
    const { pointer, adopted } = this;
    if (!pointer) return false;
    try {
      const waits = [readModels.reached(pointer.collection, position, timeoutMs)];
      if (pointer.previous !== undefined) waits.push(this.reachedOrGone(pointer.previous, position, timeoutMs));
      if ((await Promise.all(waits)).includes(false)) return false;
      // A switch is announced in the pointer before it happens: seen here, both builds are waited for.
      const now = await readModels.pointer(view);
      if (now?.revision !== pointer.revision || now.collection !== pointer.collection) {
        await this.confirm();
        return false;
      }
    } catch (error) {
      if (error instanceof EngineUnavailable) return false;
      throw error;
    }
    if (adopted?.collection === pointer.collection && position > adopted.floor) this.saw(adopted, position);
    return true;
  }

  private async reachedOrGone(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    const { readModels, view } = this.options;
    if (await readModels.reached(collection, position, timeoutMs)) return true;
    return !(await readModels.builds(view)).some((build) => build.collection === collection);
  }

  /**
   * Whether a stream is parked in a build that answers; yes also where the store is away. Read as the waiting goes, from
   * the builds themselves: they may be of a version that this process cannot read otherwise.
   */
  private async isBroken(stream: string): Promise<boolean> {
    const { readModels } = this.options;
    const collections = [this.pointer?.collection, this.pointer?.previous].filter((name) => name !== undefined);
    try {
      const reads = collections.map((name) =>
        readModels.read<ViewDocument & { readonly broken?: true }>(name, [stream]),
      );
      return (await Promise.all(reads)).some(({ documents: [document] }) => document?.broken === true);
    } catch (error) {
      if (error instanceof EngineUnavailable) return true;
      throw error;
    }
  }
}
