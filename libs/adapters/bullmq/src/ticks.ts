import { invalid } from '@rekey/domain';
import { Cron } from 'croner';

/** The tick after an instant, both as milliseconds since 1970 UTC; undefined where there is none any more. */
export type NextTick = (fromMs: number) => number | undefined;

/**
 * The ticks of a cron expression of six fields, seconds first, in a time zone. Throws `invalid_request` with the field
 * that is wrong.
 */
export const ticksOf = (cronExpression: string, timezone: string): NextTick => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch {
    throw invalid('timezone', 'Must be the name of a time zone, for example Europe/Zurich.');
  }
  let cron: Cron;
  try {
    cron = new Cron(cronExpression, { timezone, mode: '6-part', paused: true });
  } catch {
    throw invalid('cronExpression', 'Must be a cron expression of six fields, seconds first.');
  }
  return (fromMs) => cron.nextRun(new Date(fromMs))?.getTime();
};
