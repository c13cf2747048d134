import type { AllStreamRecordedEvent, Position as LogPosition, RecordedEvent } from '@eventstore/db-client';
import type { Position } from '@rekey/ports';
import { textOf } from './positions';

/** A position in the log, as Rekey's text and in the client's form. */
export interface LogPlace {
  readonly text: Position;
  readonly position: LogPosition | 'start';
}

export const placeOf = ({ position }: AllStreamRecordedEvent): LogPlace => ({ text: textOf(position), position });

/** A range of the log that is read forwards: up to `limit` events of the feed, and how far the log has been read. */
export class LogRange {
  readonly events: AllStreamRecordedEvent[] = [];
  /** Position of the last event of the feed up to the end of the range; undefined if it is not known. */
  head: Position | undefined;
  /** The last event of the log that was read, of the feed or not. */
  last: AllStreamRecordedEvent | undefined;

  constructor(
    /** End of the range. */
    public end: LogPlace,
    private readonly limit: number,
    private readonly isOfFeed: (event: RecordedEvent) => boolean,
  ) {}

  get count(): number {
    return this.events.length;
  }

  get isFull(): boolean {
    return this.count >= this.limit;
  }

  /** Adds the next event, ignoring one that is already in the range. Returns whether there is room for another. */
  readonly add = (event: AllStreamRecordedEvent): boolean => {
    const isNew = textOf(event.position) > this.end.text;
    this.extendTo(event);
    if (!this.isOfFeed(event)) return true;
    this.head = this.end.text;
    if (isNew) this.events.push(event);
    return !this.isFull;
  };

  /** Extends the range to an event, knowing that no event of the feed comes before it. */
  extendTo(event: AllStreamRecordedEvent): void {
    const place = placeOf(event);
    if (place.text < this.end.text) return;
    this.last = event;
    if (place.text > this.end.text) this.end = place;
  }
}
