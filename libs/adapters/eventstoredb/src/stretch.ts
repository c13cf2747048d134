import type { AllStreamRecordedEvent, Position as LogPosition, RecordedEvent } from '@eventstore/db-client';
import type { Position } from '@rekey/ports';
import { textOf } from './positions';

/** A place in the log, as text and as the server takes it. */
export interface Place {
  readonly text: Position;
  readonly position: LogPosition | 'start';
}

export const placeOf = ({ position }: AllStreamRecordedEvent): Place => ({ text: textOf(position), position });

/** A stretch of the log that is read forwards: at most so many events of the feed behind a place, and how far it reaches. */
export class Stretch {
  readonly events: AllStreamRecordedEvent[] = [];
  /** Place of the last event of the feed up to where the stretch reaches; undefined where that is not known. */
  head: Position | undefined;
  /** The last event of the log that was looked at. */
  last: AllStreamRecordedEvent | undefined;

  constructor(
    /** Where it reaches to. */
    public place: Place,
    private readonly limit: number,
    private readonly isOfFeed: (event: RecordedEvent) => boolean,
  ) {}

  get count(): number {
    return this.events.length;
  }

  get isFull(): boolean {
    return this.count >= this.limit;
  }

  /** Takes in the next event, or once more the one that it reaches to; answers whether there is room for another one. */
  readonly take = (event: AllStreamRecordedEvent): boolean => {
    const isBehind = textOf(event.position) > this.place.text;
    this.goTo(event);
    if (!this.isOfFeed(event)) return true;
    this.head = this.place.text;
    if (isBehind) this.events.push(event);
    return !this.isFull;
  };

  /** Reaches to an event, unless it reaches further: between there is nothing of the feed. */
  goTo(event: AllStreamRecordedEvent): void {
    const place = placeOf(event);
    if (place.text < this.place.text) return;
    this.last = event;
    if (place.text > this.place.text) this.place = place;
  }
}
