import {
  type AllStreamRecordedEvent,
  type AllStreamSubscription,
  type Position as LogPosition,
  streamNameFilter,
} from '@eventstore/db-client';
import { type CallTimeout, readEach, subscribeUntilCaughtUp } from './client-calls';
import type { Connection } from './connection';
import { TimedOut, isRetryable } from './failures';
import type { LogPlace, LogRange } from './log-range';
import { textOf } from './positions';

/** The server sends a checkpoint after this many times 32 events that the filter excludes. */
const CHECKPOINT_INTERVAL = 100;

/** The last event of the log at some moment; undefined if the log was empty. */
export type LastEvent = AllStreamRecordedEvent | undefined;

interface PageOptions {
  readonly direction: 'forwards' | 'backwards';
  readonly fromPosition: LogPosition | 'start' | 'end';
  readonly maxCount: number;
}

/**
 * Calls to `$all`, the log of all streams on the server, Rekey's and others. They throw what the client throws, and
 * `TimedOut`.
 */
export class AllStreams {
  constructor(
    private readonly connection: Connection,
    private readonly timeout: CallTimeout,
    private readonly prefixes: string[],
  ) {}

  /** Passes up to `maxCount` events to `take`. A forward read includes the event at `fromPosition`. */
  readPage(options: PageOptions, take: (event: AllStreamRecordedEvent) => boolean): Promise<void> {
    const read = this.connection.client.readAll({ ...options, requiresLeader: true });
    return readEach(read, ({ event }) => !event || take(event), this.timeout);
  }

  /**
   * Continues a range with the events of the feed, filtered by the server, up to the current end of the log. Uses a
   * subscription, the only call with which the client sends a filter. As for a read, every page comes from the leader,
   * and the server reports that it has caught up only when such a page has reached the end. So the result includes every
   * event acknowledged before the call, and everything up to `last`, the end read before it. A dropped subscription is
   * resumed as long as each attempt makes progress. Throws when the signal is aborted.
   */
  async readFiltered(range: LogRange, last: LastEvent, take = range.add, signal?: AbortSignal): Promise<void> {
    for (;;) {
      const { end } = range;
      try {
        await subscribeUntilCaughtUp(
          (onCheckpoint) => this.subscribeFiltered(end, onCheckpoint),
          take,
          this.timeout,
          signal,
        );
        break;
      } catch (error) {
        if (signal?.aborted || range.end === end) throw error;
      }
    }
    if (last && !range.isFull) range.extendTo(last);
  }

  private subscribeFiltered({ position }: LogPlace, onCheckpoint: () => void): AllStreamSubscription {
    const filter = streamNameFilter({
      prefixes: this.prefixes,
      checkpointInterval: CHECKPOINT_INTERVAL,
      checkpointReached: onCheckpoint,
    });
    return this.connection.client.subscribeToAll({ fromPosition: position, filter, requiresLeader: true });
  }

  async lastEvent(): Promise<LastEvent> {
    let last: LastEvent;
    await this.readPage({ direction: 'backwards', fromPosition: 'end', maxCount: 1 }, (event) => {
      last = event;
      return true;
    });
    return last;
  }

  /** Returns whether the log still has this event at its position. */
  async contains(event: AllStreamRecordedEvent): Promise<boolean> {
    let found = false;
    try {
      await this.readPage({ direction: 'forwards', fromPosition: event.position, maxCount: 1 }, (read) => {
        found = isSameEvent(read, event);
        return true;
      });
    } catch (error) {
      // The server answers with an error if there is no event at the position.
      if (isRetryable(error) || error instanceof TimedOut) throw error;
    }
    return found;
  }
}

/** Compares ids as well as positions: a log restored from an older copy may hold another event at the same position. */
export const isSameEvent = (left: AllStreamRecordedEvent, right: AllStreamRecordedEvent): boolean =>
  left.id === right.id && textOf(left.position) === textOf(right.position);
