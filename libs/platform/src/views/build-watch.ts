import { RekeyError, VIEW_VERSIONS, type ViewName } from '@rekey/contracts';
import {
  EngineUnavailable,
  START,
  type Build,
  type Clock,
  type CollectionName,
  type EventStore,
  type Pointer,
  type Position,
  type ReadModels,
} from '@rekey/ports';
import { GONE, NOT_BUILT, chooseBuild } from './choose-build';

export interface BuildWatchOptions {
  readonly store: Pick<EventStore, 'head' | 'identity'>;
  readonly readModels: Pick<ReadModels, 'pointer' | 'builds'>;
  readonly clock: Clock;
  readonly view: ViewName;
  /** Versions of the view that this process can read; default: the version of this release. */
  readonly versions?: readonly number[];
  readonly log?: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/** The build that this process reads from. */
export interface AdoptedBuild {
  readonly collection: CollectionName;
  /** Reads are refused below this checkpoint: what this process has seen, or the store's head when it started. */
  floor: Position;
  /** The latest checkpoint that was read; null if the build was gone. */
  seen: Position | null;
}

const CONFIRM_EVERY_MS = 1_000;
/** Reads are refused when the last successful look-up of the active build is older than this. */
const CONFIRMED_FOR_MS = 10_000;
/** A refused read looks up the active build again, at most this often and for at most this long. */
const RETRY_AFTER_MS = 50;
const RETRY_FOR_MS = 1_000;

const max = (left: Position, right: Position): Position => (left > right ? left : right);

/** Follows which build of a view is active, and decides whether reads of it can be trusted. */
export class BuildWatch {
  /** The pointer as last read; null also if it names no build of this event store. */
  pointer: Pointer | null = null;
  private readonly versions: readonly number[];
  private adopted: AdoptedBuild | undefined;
  private refusal: string | undefined = 'not looked up yet';
  private identity: string | undefined;
  private startHead: Position = START;
  /** Monotonic start times of the latest successful look-up, and of the latest one. */
  private confirmedAtMs = -Infinity;
  private lookedUpAtMs = -Infinity;
  private confirming: Promise<void> | undefined;
  private cancelTimer: (() => void) | undefined;
  private stopped = false;

  constructor(private readonly options: BuildWatchOptions) {
    this.versions = options.versions ?? [VIEW_VERSIONS[options.view]];
  }

  async start(): Promise<void> {
    await this.confirm();
    this.scheduleConfirm();
  }

  stop(): void {
    this.stopped = true;
    this.cancelTimer?.();
  }

  /** Returns the adopted build, trusted or not. */
  get current(): AdoptedBuild | undefined {
    return this.adopted;
  }

  /** Returns why reads are refused; undefined if they are not. */
  cause(): string | undefined {
    const { adopted } = this;
    if (this.refusal !== undefined || !adopted) return this.refusal ?? NOT_BUILT;
    if (!this.isConfirmed()) return 'the active build could not be looked up';
    if (adopted.seen === null) return GONE;
    return adopted.seen < adopted.floor ? 'the build is behind what was read before' : undefined;
  }

  /** Returns the build to read from; undefined if it must be looked up first, by `trusted`. */
  trustedNow(): AdoptedBuild | undefined {
    return this.refusal === undefined && this.isConfirmed() ? this.adopted : undefined;
  }

  /** Returns the build to read from. Throws `unavailable`. The caller must still compare the checkpoint of its read. */
  async trusted(): Promise<AdoptedBuild> {
    const known = this.trustedNow();
    if (known) return known;
    await this.confirmAgain();
    const adopted = this.trustedNow();
    if (!adopted) throw this.unavailable(this.cause() ?? NOT_BUILT);
    return adopted;
  }

  /** Notes a checkpoint that was read from a build: later reads may not be behind it. */
  saw(adopted: AdoptedBuild, checkpoint: Position): void {
    adopted.seen = checkpoint;
    if (checkpoint > adopted.floor) adopted.floor = checkpoint;
  }

  /**
   * Notes a read that must not be used, because its checkpoint is behind the floor or its build is gone. Returns if the
   * read should be tried once more, of another build. Throws `unavailable` otherwise.
   */
  async distrust(adopted: AdoptedBuild, checkpoint: Position | null, attempt: number): Promise<void> {
    adopted.seen = checkpoint;
    if (attempt === 0) {
      await this.confirmAgain();
      if (this.adopted !== adopted) return;
    }
    throw this.unavailable(this.cause() ?? (checkpoint === null ? GONE : 'the build is behind what was read before'));
  }

  /** Returns the error to throw for an error of a read. */
  failure(cause: unknown): unknown {
    return cause instanceof EngineUnavailable ? this.unavailable('its store is unavailable', { cause }) : cause;
  }

  /** Looks up the active build. Joins a look-up that is under way. */
  confirm(): Promise<void> {
    this.confirming ??= this.lookUp()
      .catch((error: unknown) => {
        this.options.log?.warn({ view: this.options.view, err: error }, 'cannot look up the active build');
      })
      .finally(() => {
        this.confirming = undefined;
      });
    return this.confirming;
  }

  /** Looks up the active build, unless that was just done, and waits for a limited time. */
  async confirmAgain(): Promise<void> {
    const { clock } = this.options;
    const ageMs = clock.monotonicMs() - this.lookedUpAtMs;
    if (this.stopped || (this.confirming ? ageMs > RETRY_FOR_MS : ageMs < RETRY_AFTER_MS)) return;
    const answered = new AbortController();
    const confirmed = this.confirm().finally(() => answered.abort());
    await Promise.race([confirmed, clock.sleep(RETRY_FOR_MS, answered.signal)]);
  }

  private isConfirmed(): boolean {
    return this.options.clock.monotonicMs() - this.confirmedAtMs <= CONFIRMED_FOR_MS;
  }

  private unavailable(cause: string, options?: ErrorOptions): RekeyError {
    const { view } = this.options;
    return new RekeyError('unavailable', `The view ${view} is unavailable: ${cause}.`, { view }, options);
  }

  private scheduleConfirm(): void {
    if (this.stopped) return;
    this.cancelTimer = this.options.clock.schedule(CONFIRM_EVERY_MS, () => {
      void this.confirm().finally(() => this.scheduleConfirm());
    });
  }

  private async lookUp(): Promise<void> {
    const { store, readModels, clock, view } = this.options;
    const startedAtMs = clock.monotonicMs();
    this.lookedUpAtMs = startedAtMs;
    const identity = await store.identity();
    if (identity !== this.identity) {
      // Another event store: positions that were seen of the old one mean nothing here.
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
    this.refuse('refusal' in choice ? choice.refusal : undefined);
    if ('build' in choice) this.adopt(choice.build, floor);
    this.confirmedAtMs = startedAtMs;
  }

  private refuse(refusal: string | undefined): void {
    const { view, log } = this.options;
    if (refusal !== this.refusal) {
      const first = this.confirmedAtMs === -Infinity;
      if (refusal === undefined) log?.info({ view }, 'the view can be read');
      else log?.[first ? 'info' : 'warn']({ view, cause: refusal }, 'the view cannot be read');
    }
    this.refusal = refusal;
  }

  /** `floor` was taken before the build's checkpoint was read: reads may have seen more since. */
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
}
