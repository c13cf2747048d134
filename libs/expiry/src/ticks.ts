import { RekeyError } from '@rekey/contracts';
import { LATEST, type Instant } from '@rekey/domain';
import { Cron } from 'croner';
import { IANAZone } from 'luxon';

const MINUTE_MS = 60_000;
/** No zone changes its clocks twice within this time, and none by more than this. */
const STEP_MS = 6 * 60 * MINUTE_MS;
const LATEST_MS = Date.parse(LATEST);
/** How many stretches between two ticks are remembered. */
const REMEMBERED_MAX = 4096;

/** A change of a zone's clocks: the first instant of the new offset, and both offsets to UTC. */
interface Change {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/**
 * The instants of a cron expression in a time zone: each whose local reading fits the expression, both readings of
 * an hour that is repeated included. A reading that is skipped when clocks go forward counts at the offset before the
 * gap (RFC 5545 §3.3.5: 02:30 is then 03:30), so that a daily tick is missed on no day.
 */
export class Ticks {
  private readonly cron: Cron;
  private readonly zone: IANAZone;
  /** Stretches `[from, tick]` without a tick before their end, sorted. */
  private remembered: { from: number; tick: number }[] = [];
  /** From here on there is no tick. */
  private noneFrom = Infinity;

  /**
   * Takes six cron fields, seconds first, and an IANA zone name. Throws `invalid_request` with the field of the
   * configuration that is wrong.
   */
  constructor(expression: string, timezone: string) {
    // Local readings are written as if they were UTC: so Croner needs to know nothing of clocks that change, where its
    // own answer can lie before the instant that was asked for.
    try {
      this.cron = new Cron(expression, { mode: '6-part', utcOffset: 0, paused: true });
    } catch (cause) {
      throw new RekeyError(
        'invalid_request',
        'A cron expression has six fields, seconds first.',
        { field: 'notifications.cronExpression' },
        { cause },
      );
    }
    this.zone = IANAZone.create(timezone);
    if (!this.zone.isValid)
      throw new RekeyError('invalid_request', 'There is no such time zone.', { field: 'notifications.timezone' });
  }

  /** The first tick at or after an instant; undefined where there is none up to the year 9999. */
  atOrAfter(instant: Instant): Instant | undefined {
    const tick = this.msAtOrAfter(Date.parse(instant));
    return tick === undefined ? undefined : new Date(tick).toISOString();
  }

  /** The same in milliseconds since 1970 UTC. */
  msAtOrAfter(from: number): number | undefined {
    const index = this.stretchAt(from);
    const known = this.remembered[index];
    if (known && known.from <= from) return known.tick;
    if (from >= this.noneFrom) return undefined;
    const tick = this.search(from);
    if (tick === undefined) this.noneFrom = from;
    else if (known?.tick === tick) this.remembered[index] = { from, tick };
    else if (this.remembered.length < REMEMBERED_MAX) this.remembered.splice(index, 0, { from, tick });
    else this.remembered = [{ from, tick }];
    return tick;
  }

  /** Place of the first stretch that ends at or after an instant. */
  private stretchAt(instant: number): number {
    let low = 0;
    let high = this.remembered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.remembered[middle]?.tick ?? 0) < instant) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private search(start: number): number | undefined {
    let skipped = this.skippedTick(this.changeBetween(start - STEP_MS, start), start);
    for (let from = start; ;) {
      const offset = this.offsetAt(from);
      const reading = this.nextReading(from + offset);
      if (reading === undefined || reading - offset > LATEST_MS) return skipped;
      const tick = reading - offset;
      const change = this.changeBetween(from, tick);
      if (skipped !== undefined && skipped <= (change?.at ?? tick)) return skipped;
      if (!change) return tick;
      skipped ??= this.skippedTick(change, change.at);
      from = change.at;
    }
  }

  /** The first tick at or after `from` whose reading a change to later clocks left out. */
  private skippedTick(change: Change | undefined, from: number): number | undefined {
    if (!change || change.after <= change.before) return undefined;
    const reading = this.nextReading(from + change.before);
    return reading !== undefined && reading < change.at + change.after ? reading - change.before : undefined;
  }

  /** The first local reading, in milliseconds as if it were UTC, at or after another that fits the expression. */
  private nextReading(reading: number): number | undefined {
    return this.cron.nextRun(new Date(reading - 1))?.getTime();
  }

  /** The first change of clocks after `from`, up to and including `to`. */
  private changeBetween(from: number, to: number): Change | undefined {
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
