import { ROLES, type Role } from '@rekey/contracts';
import {
  addDuration,
  CLIENT_ID_PATTERN,
  DOMAIN_ID_PATTERN,
  subtractDuration,
  type Duration,
  type DurationUnit,
  type Instant,
} from '@rekey/domain';
import { InvalidArgumentError } from 'commander';
import { DateTime } from 'luxon';

// What people write on a command line. These throw commander's error, which names the option or argument itself.

const UNITS: Readonly<Record<string, DurationUnit>> = {
  s: 'seconds',
  sec: 'seconds',
  second: 'seconds',
  seconds: 'seconds',
  min: 'minutes',
  minute: 'minutes',
  minutes: 'minutes',
  h: 'hours',
  hour: 'hours',
  hours: 'hours',
  d: 'days',
  day: 'days',
  days: 'days',
  w: 'weeks',
  week: 'weeks',
  weeks: 'weeks',
  mo: 'months',
  month: 'months',
  months: 'months',
  y: 'years',
  year: 'years',
  years: 'years',
};
const AMOUNT_MAX = 1_000_000_000;

/** `90d`, `3months`, `"3 months"`: a whole amount and a unit, kept as it was written. */
export const duration = (text: string): Duration => {
  const [, digits = '', name = ''] = /^(\d+) ?([a-z]+)$/i.exec(text.trim()) ?? [];
  if (name === 'm') throw new InvalidArgumentError(`Is that minutes or months? Write ${digits}min or ${digits}mo.`);
  const unit = Object.hasOwn(UNITS, name.toLowerCase()) ? UNITS[name.toLowerCase()] : undefined;
  const amount = Number(digits);
  if (unit === undefined || amount < 1 || amount > AMOUNT_MAX)
    throw new InvalidArgumentError('A duration is a whole amount and a unit: 30s, 15min, 12h, 90d, 2w, 3months, 1y.');
  return { amount, unit };
};

const INSTANT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/i;

/** An instant with its zone, `2027-01-31T00:00:00+01:00`; a date alone is its first moment in UTC. Answers UTC. */
export const instant = (text: string): Instant => {
  const time = INSTANT.test(text) ? DateTime.fromISO(text, { zone: 'utc' }) : undefined;
  const answer = time?.isValid ? time.toISO() : undefined;
  if (answer?.length === 24) return answer;
  throw new InvalidArgumentError(
    'An instant has a date, a time and a zone: 2027-01-31T00:00:00Z; a date alone is midnight in UTC.',
  );
};

/** An instant, or a duration that has passed since it: `7d` is seven days ago. */
export const instantOrAgo = (text: string, now: Instant): Instant =>
  startsLikeDate(text) ? instant(text) : subtractDuration(now, duration(text));

/** An instant, or a duration from now. */
export const instantOrAhead = (text: string, now: Instant): Instant => {
  const found = startsLikeDate(text) ? instant(text) : addDuration(now, duration(text));
  if (found !== undefined) return found;
  throw new InvalidArgumentError('That lies after the year 9999.');
};

const startsLikeDate = (text: string): boolean => /^\d{4}-/.test(text);

export const domainId = (text: string): string => {
  if (DOMAIN_ID_PATTERN.test(text)) return text;
  throw new InvalidArgumentError('A domain id has 1 to 63 of a-z, 0-9 and -, and does not begin with -.');
};

export const clientId = (text: string): string => {
  if (CLIENT_ID_PATTERN.test(text)) return text;
  throw new InvalidArgumentError('A client id has 1 to 255 visible ASCII characters.');
};

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
export const isUuid = (text: string): boolean => UUID.test(text);

export const applicationId = (text: string): string => {
  if (isUuid(text)) return text.toLowerCase();
  throw new InvalidArgumentError('An application id is a UUID; an application is also found by --client-id.');
};

export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const number = /^\d+$/.test(text) ? Number(text) : NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`A whole number from ${min} to ${max}.`);
  };

/** Name of a caller, as the configuration gives it and the history shows it. */
export const callerName = (text: string): string => {
  if (/^[\x21-\x7e]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError('A name has 1 to 64 visible ASCII characters.');
};

export const role = (text: string): Role => {
  if ((ROLES as readonly string[]).includes(text)) return text as Role;
  throw new InvalidArgumentError(`One of ${ROLES.join(', ')}.`);
};

/** Reads an option that holds several values with commas between them. */
export const listOf =
  <T>(item: (text: string) => T) =>
  (text: string): readonly T[] =>
    text.split(',').map((part) => item(part.trim()));

/** Gathers an option that may be given several times. */
export const several = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

/** The same, where each value means something. */
export const severalOf =
  <T>(item: (text: string) => T) =>
  (text: string, before: readonly T[] | undefined): readonly T[] => [...(before ?? []), item(text)];
