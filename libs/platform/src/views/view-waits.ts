import {
  EngineUnavailable,
  type Clock,
  type CollectionName,
  type Position,
  type ReadModels,
  type ViewDocument,
} from '@rekey/ports';
import type { BuildWatch } from './build-watch';

export interface ViewWaitsOptions {
  readonly readModels: Pick<ReadModels, 'read' | 'pointer' | 'builds' | 'reached'>;
  readonly clock: Clock;
  readonly view: string;
}

const POLL_MS = 50;

/** Waits until every reader of a view sees an event: in the active build and, during a switch, in the other one. */
export class ViewWaits {
  constructor(
    private readonly options: ViewWaitsOptions,
    private readonly watch: BuildWatch,
  ) {}

  /** See `ActiveView.waitFor`. */
  async waitFor(position: Position, timeoutMs: number, stream?: string): Promise<boolean> {
    const { clock } = this.options;
    const deadline = clock.monotonicMs() + timeoutMs;
    for (;;) {
      const left = Math.max(0, deadline - clock.monotonicMs());
      if (await this.reached(position, left)) return stream === undefined || !(await this.isBroken(stream));
      const pauseMs = Math.min(POLL_MS, deadline - clock.monotonicMs());
      if (pauseMs <= 0) return false;
      await clock.sleep(pauseMs);
      await this.watch.confirmAgain();
    }
  }

  private async reached(position: Position, timeoutMs: number): Promise<boolean> {
    const { readModels, view } = this.options;
    const { pointer, current } = this.watch;
    if (!pointer) return false;
    try {
      const waits = [readModels.reached(pointer.collection, position, timeoutMs)];
      if (pointer.previous !== undefined) waits.push(this.reachedOrGone(pointer.previous, position, timeoutMs));
      if ((await Promise.all(waits)).includes(false)) return false;
      // The pointer announces a switch before it happens. If it changed meanwhile, both builds must be waited for.
      const now = await readModels.pointer(view);
      if (now?.revision !== pointer.revision || now.collection !== pointer.collection) {
        await this.watch.confirm();
        return false;
      }
    } catch (error) {
      if (error instanceof EngineUnavailable) return false;
      throw error;
    }
    if (current?.collection === pointer.collection && position > current.floor) this.watch.saw(current, position);
    return true;
  }

  private async reachedOrGone(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    const { readModels, view } = this.options;
    if (await readModels.reached(collection, position, timeoutMs)) return true;
    return !(await readModels.builds(view)).some((build) => build.collection === collection);
  }

  /**
   * Whether a stream is parked in a build that is read; true also if the store is unavailable. Reads the builds directly,
   * because they may be of a version that this process cannot read otherwise.
   */
  private async isBroken(stream: string): Promise<boolean> {
    const { readModels } = this.options;
    const { pointer } = this.watch;
    const collections = [pointer?.collection, pointer?.previous].filter((name) => name !== undefined);
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
