import { RekeyError } from '@rekey/contracts';
import { LATEST, type Instant } from '@rekey/domain';
import { Cron } from 'croner';
import { IANAZone } from 'luxon';

const MINUTE_MS = 60_000;
/** No time zone changes its offset twice within this time, nor by more than this. */
const STEP_MS = 6 * 60 * MINUTE_MS;
const LATEST_MS = Date.parse(LATEST);
/** Size of the cache of ranges. */
const CACHED_MAX = 4096;

/** A change of a time zone's offset: its first instant, and the UTC offsets before and after it, in milliseconds. */
interface OffsetChange {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/**
 * The instants of a cron expression in a time zone: those whose local time matches the expression. When clocks go back,
 * both passes of the repeated hour match. When clocks go forward, a skipped local time counts with the offset before
 * the gap (RFC 5545 §3.3.5: 02:30 becomes 03:30), so that a daily tick occurs every day.
 */
export class Ticks {
  private readonly cron: Cron;
  private readonly zone: IANAZone;
  /** Ranges `[from, tick]` with no tick before their end, sorted. A sweep asks for the same few again and again. */
  private cached: { from: number; tick: number }[] = [];
  /** From this instant on there is no tick. */
  private noneFrom = Infinity;

  /**
   * Takes six cron fields, seconds first, and an IANA zone name. Throws `invalid_request` with the field of the
   * configuration that is wrong.
   */
  constructor(expression: string, timezone: string) {
    // Croner only sees local times written as if they were UTC. With a time zone of its own, it can return a tick
    // before the given instant when clocks change.
    try {
      this.cron = new Cron(expression, { mode: '6-part', utcOffset: 0, paused: true });
    } catch (cause) {
      throw new RekeyError(
        'invalid_request',
        'Must be a cron expression of six fields, seconds first, for example "0 0 5 * * *".',
        { field: 'notifications.cronExpression' },
        { cause },
      );
    }
    this.zone = IANAZone.create(timezone);
    if (!this.zone.isValid)
      throw new RekeyError('invalid_request', 'Must be an IANA time zone, for example Europe/Zurich.', {
        field: 'notifications.timezone',
      });
  }

  /** Returns the first tick at or after an instant, or undefined if there is none up to the year 9999. */
  atOrAfter(instant: Instant): Instant | undefined {
    const tick = this.msAtOrAfter(Date.parse(instant));
    return tick === undefined ? undefined : new Date(tick).toISOString();
  }

  /** Same as `atOrAfter`, in milliseconds since 1970 UTC. */
  msAtOrAfter(from: number): number | undefined {
    const index = this.rangeIndex(from);
    const known = this.cached[index];
    if (known && known.from <= from) return known.tick;
    if (from >= this.noneFrom) return undefined;
    const tick = this.search(from);
    if (tick === undefined) this.noneFrom = from;
    else if (known?.tick === tick) this.cached[index] = { from, tick };
    else if (this.cached.length < CACHED_MAX) this.cached.splice(index, 0, { from, tick });
    else this.cached = [{ from, tick }];
    return tick;
  }

  /** Returns the index of the first cached range that ends at or after an instant. */
  private rangeIndex(instant: number): number {
    let low = 0;
    let high = this.cached.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.cached[middle]?.tick ?? 0) < instant) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Walks from one offset change to the next until a tick is found. */
  private search(start: number): number | undefined {
    let skipped = this.skippedTick(this.changeBetween(start - STEP_MS, start), start);
    for (let from = start; ;) {
      const offset = this.offsetAt(from);
      const local = this.nextLocalTime(from + offset);
      if (local === undefined || local - offset > LATEST_MS) return skipped;
      const tick = local - offset;
      const change = this.changeBetween(from, tick);
      if (skipped !== undefined && skipped <= (change?.at ?? tick)) return skipped;
      if (!change) return tick;
      skipped ??= this.skippedTick(change, change.at);
      from = change.at;
    }
  }

  /** Returns the first tick at or after `from` whose local time the change skips. */
  private skippedTick(change: OffsetChange | undefined, from: number): number | undefined {
    if (!change || change.after <= change.before) return undefined;
    const local = this.nextLocalTime(from + change.before);
    return local !== undefined && local < change.at + change.after ? local - change.before : undefined;
  }

  /** Returns the first matching local time at or after another, both in milliseconds as if they were UTC. */
  private nextLocalTime(local: number): number | undefined {
    return this.cron.nextRun(new Date(local - 1))?.getTime();
  }

  /** Returns the first offset change after `from`, up to and including `to`. */
  private changeBetween(from: number, to: number): OffsetChange | undefined {
    const before = this.offsetAt(from);
    for (let low = from; low < to; low += STEP_MS) {
      let high = Math.min(low + STEP_MS, to);
      if (this.offsetAt(high) === before) continue;
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2);
        if (this.offsetAt(middle) === before) low = middle;
        else high = middle;
      }
      return { at: high, before, after: this.offsetAt(high) };
    }
    return undefined;
  }

  private offsetAt(instant: number): number {
    return this.zone.offset(instant) * MINUTE_MS;
  }
}
