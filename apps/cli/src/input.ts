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

// Parsers of arguments and option values. They throw commander's error, which names the option or argument.

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

/** Parses `90d`, `3months` or `"3 months"`. Keeps the unit: three months are not turned into days. */
export const duration = (text: string): Duration => {
  const [, digits = '', name = ''] = /^(\d+) ?([a-z]+)$/i.exec(text.trim()) ?? [];
  if (name === 'm')
    throw new InvalidArgumentError(`Ambiguous: write ${digits}min for minutes or ${digits}mo for months.`);
  const unit = Object.hasOwn(UNITS, name.toLowerCase()) ? UNITS[name.toLowerCase()] : undefined;
  const amount = Number(digits);
  if (unit === undefined || amount < 1 || amount > AMOUNT_MAX)
    throw new InvalidArgumentError(
      'Expected a whole number above 0 and a unit: 30s, 15min, 12h, 90d, 2w, 3months, 1y.',
    );
  return { amount, unit };
};

const INSTANT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/i;

/** Parses an ISO 8601 time with a zone; a date alone is midnight UTC. Returns it in UTC. */
export const instant = (text: string): Instant => {
  const time = INSTANT.test(text) ? DateTime.fromISO(text, { zone: 'utc' }) : undefined;
  const answer = time?.isValid ? time.toISO() : undefined;
  if (answer?.length === 24) return answer;
  throw new InvalidArgumentError(
    'Expected a time with a zone, e.g. 2027-01-31T00:00:00Z, or a date, which is midnight UTC.',
  );
};

/** Parses a time or a duration before now: `7d` is seven days ago. */
export const instantOrAgo = (text: string, now: Instant): Instant =>
  startsLikeDate(text) ? instant(text) : subtractDuration(now, distance(text));

/** Parses a time or a duration after now: `30d` is in thirty days. */
export const instantOrAhead = (text: string, now: Instant): Instant => {
  const found = startsLikeDate(text) ? instant(text) : addDuration(now, distance(text));
  if (found !== undefined) return found;
  throw new InvalidArgumentError('Must be before the year 10000.');
};

/** Parses a duration where a time is accepted too. */
const distance = (text: string): Duration => {
  if (/^\s*\d/.test(text)) return duration(text);
  throw new InvalidArgumentError('Expected a time, e.g. 2027-01-31T00:00:00Z or 2027-01-31, or a duration, e.g. 7d.');
};

const startsLikeDate = (text: string): boolean => /^\d{4}-/.test(text);

export const domainId = (text: string): string => {
  if (DOMAIN_ID_PATTERN.test(text)) return text;
  throw new InvalidArgumentError('Expected a domain id: 1 to 63 characters of a-z, 0-9 and -, not starting with -.');
};

export const clientId = (text: string): string => {
  if (CLIENT_ID_PATTERN.test(text)) return text;
  throw new InvalidArgumentError('Expected a client id: 1 to 255 visible ASCII characters.');
};

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
export const isUuid = (text: string): boolean => UUID.test(text);

export const applicationId = (text: string): string => {
  if (isUuid(text)) return text.toLowerCase();
  throw new InvalidArgumentError('Expected an application id (UUID). To use a client id, pass --client-id.');
};

export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const number = /^\d+$/.test(text) ? Number(text) : NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };

/** Parses the name of a caller, as in `access.tokens` and `access.services`. */
export const callerName = (text: string): string => {
  if (/^[\x21-\x7e]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected a name: 1 to 64 visible ASCII characters.');
};

export const role = (text: string): Role => {
  if ((ROLES as readonly string[]).includes(text)) return text as Role;
  throw new InvalidArgumentError(`Expected one of ${ROLES.join(', ')}.`);
};

/** Returns a parser of comma-separated values. */
export const listOf =
  <T>(item: (text: string) => T) =>
  (text: string): readonly T[] =>
    text.split(',').map((part) => item(part.trim()));

/** Collects the values of a repeatable option. */
export const repeatable = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

/** Returns a parser that collects the values of a repeatable option, each parsed by `item`. */
export const repeatableOf =
  <T>(item: (text: string) => T) =>
  (text: string, before: readonly T[] | undefined): readonly T[] => [...(before ?? []), item(text)];
