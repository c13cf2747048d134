import { invalid } from '@rekey/domain';
import { Cron } from 'croner';
import { IANAZone } from 'luxon';

/** The tick after an instant, both as milliseconds since 1970 UTC; undefined where there is none any more. */
export type NextTick = (fromMs: number) => number | undefined;

/**
 * The ticks of a cron expression of six fields, seconds first, in a time zone. Throws `invalid_request` with the field
 * that is wrong.
 */
export const ticksOf = (cronExpression: string, timezone: string): NextTick => {
  const zone = IANAZone.create(timezone);
  if (!zone.isValid) throw invalid('timezone', 'Must be the name of a time zone, for example Europe/Zurich.');
  const cronOf = (where: { timezone: string } | { utcOffset: number }): Cron =>
    new Cron(cronExpression, { ...where, mode: '6-part', paused: true });
  let cron: Cron;
  try {
    cron = cronOf({ timezone });
  } catch {
    throw invalid('cronExpression', 'Must be a cron expression of six fields, seconds first.');
  }
  return (fromMs) => {
    const from = new Date(fromMs);
    const tickMs = cron.nextRun(from)?.getTime();
    if (tickMs === undefined || tickMs > fromMs) return tickMs;
    // In the second pass of an hour that the zone repeats, Croner gives ticks of the first, which are over.
    return cronOf({ utcOffset: zone.offset(fromMs) })
      .nextRun(from)
      ?.getTime();
  };
};
