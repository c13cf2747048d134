import type { ExpiryNotice } from '@rekey/ports';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A notice in words. Never holds a value. */
export interface NoticeText {
  /** One line, for a subject or a log message. */
  readonly subject: string;
  /** Whole sentences, in lines. */
  readonly body: string;
}

/**
 * Words a notice for people as of `nowMs` (milliseconds since 1970 UTC), always with the exact instant and its zone:
 * "… expires in 5 days, at 2027-01-01T00:00:00.000Z", "… expired at 2027-01-01T00:00:00.000Z".
 */
export const noticeText = (notice: ExpiryNotice, nowMs: number): NoticeText => {
  const leftMs = Date.parse(notice.expiresAt) - nowMs;
  const expired = notice.threshold === 0 || leftMs <= 0;
  const when = expired ? `expired at ${notice.expiresAt}` : `expires in ${span(leftMs)}, at ${notice.expiresAt}`;
  const secret = `secret "${oneLine(notice.description)}"`;
  const application = `application "${oneLine(notice.applicationName)}"`;
  const domain = `domain "${oneLine(notice.domainName)}"`;
  return {
    subject: `The ${secret} of ${application} ${when}`,
    body: [
      `The ${secret} (version ${notice.version}) of ${application} (client id ${notice.clientId}) in ${domain} ${when}.`,
      expired
        ? 'It no longer authenticates. Renew it, or use another secret of the application.'
        : 'Renew it before then, or move to another secret of the application.',
    ].join('\n'),
  };
};

/** Names come from people: a line break in one must not make a second header or log line. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');

/** A length of time in its two largest units, the smaller one rounded: "5 days", "1 day and 3 hours", "45 seconds". */
const span = (lengthMs: number): string => {
  if (lengthMs >= DAY_MS - HOUR_MS / 2) return inUnits(lengthMs, DAY_MS, 'day', HOUR_MS, 'hour');
  if (lengthMs >= HOUR_MS - MINUTE_MS / 2) return inUnits(lengthMs, HOUR_MS, 'hour', MINUTE_MS, 'minute');
  if (lengthMs >= MINUTE_MS - SECOND_MS / 2) return inUnits(lengthMs, MINUTE_MS, 'minute', SECOND_MS, 'second');
  return counted(Math.ceil(lengthMs / SECOND_MS), 'second');
};

const inUnits = (lengthMs: number, largeMs: number, large: string, smallMs: number, small: string): string => {
  const roundedMs = Math.round(lengthMs / smallMs) * smallMs;
  const rest = (roundedMs % largeMs) / smallMs;
  const whole = counted(Math.floor(roundedMs / largeMs), large);
  return rest === 0 ? whole : `${whole} and ${counted(rest, small)}`;
};

const counted = (amount: number, unit: string): string => `${amount} ${unit}${amount === 1 ? '' : 's'}`;
