import {
  type AllStreamRecordedEvent,
  type AllStreamSubscription,
  type Position as LogPosition,
  streamNameFilter,
} from '@eventstore/db-client';
import type { Connection } from './connection';
import { TimedOut, isWorthAnotherCall } from './failures';
import { textOf } from './positions';
import { type Patience, followToEnd, readThrough } from './reading';
import type { Place, Stretch } from './stretch';

/** The server tells how far it has looked after so many times 32 events that are not for us. */
const CHECKPOINT_INTERVAL = 100;

/** The last event of the log at some time; undefined where it had none. */
export type End = AllStreamRecordedEvent | undefined;

/** The calls to the log that holds all streams of the server, ours and others. They throw what the client throws, and `TimedOut`. */
export class AllStreams {
  constructor(
    private readonly connection: Connection,
    private readonly patience: Patience,
    private readonly prefixes: string[],
  ) {}

  /** At most so many events of the log from a place on: that of a read forwards is itself among them. */
  page(
    options: { direction: 'forwards' | 'backwards'; fromPosition: LogPosition | 'start' | 'end'; maxCount: number },
    take: (event: AllStreamRecordedEvent) => boolean,
  ): Promise<void> {
    const read = this.connection.client.readAll({ ...options, requiresLeader: true });
    return readThrough(read, ({ event }) => !event || take(event), this.patience);
  }

  /**
   * Goes on behind a stretch with what the server picks out for the feed, up to the end that the log has now. By a
   * subscription, the only call that the client sends a filter with: as for a read, every page on the way is asked of the
   * leader, and the server says that it has caught up only when such a page has met the end. So what was acknowledged
   * before is in it, and all up to the end that was found before the call. Dropped on the way, it goes on as long as each
   * time brings something. Gives up by the signal.
   */
  async pick(stretch: Stretch, end: End, take = stretch.take, signal?: AbortSignal): Promise<void> {
    for (;;) {
      const { place } = stretch;
      try {
        await followToEnd((looked) => this.picking(place, looked), take, this.patience, signal);
        break;
      } catch (error) {
        if (signal?.aborted || stretch.place === place) throw error;
      }
    }
    if (end && !stretch.isFull) stretch.goTo(end);
  }

  private picking({ position }: Place, looked: () => void): AllStreamSubscription {
    const filter = streamNameFilter({
      prefixes: this.prefixes,
      checkpointInterval: CHECKPOINT_INTERVAL,
      checkpointReached: looked,
    });
    return this.connection.client.subscribeToAll({ fromPosition: position, filter, requiresLeader: true });
  }

  async end(): Promise<End> {
    let end: End;
    await this.page({ direction: 'backwards', fromPosition: 'end', maxCount: 1 }, (event) => {
      end = event;
      return true;
    });
    return end;
  }

  /** Whether an event that was read of the log is still in its place. */
  async holds(event: AllStreamRecordedEvent): Promise<boolean> {
    let found = false;
    try {
      await this.page({ direction: 'forwards', fromPosition: event.position, maxCount: 1 }, (read) => {
        found = isSame(read, event);
        return true;
      });
    } catch (error) {
      // Of a place where nothing stands the server says that it is an error.
      if (isWorthAnotherCall(error) || error instanceof TimedOut) throw error;
    }
    return found;
  }
}

/** The very same event of the very same log: one that was put back from an older copy may have another at the place. */
export const isSame = (left: AllStreamRecordedEvent, right: AllStreamRecordedEvent): boolean =>
  left.id === right.id && textOf(left.position) === textOf(right.position);
