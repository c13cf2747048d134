import { later, liveVersions } from '@rekey/domain';
import type { ExpiryNotice } from '@rekey/ports';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Text of a notice. Never contains a secret value. */
export interface NoticeText {
  /** One line, for a subject or a log message. */
  readonly subject: string;
  /** Whole sentences, in lines. */
  readonly body: string;
}

/**
 * Words a notice for people as of `nowMs` (milliseconds since 1970 UTC), always with the exact instant and its zone:
 * "… expires in 5 days, at 2027-01-01T00:00:00.000Z", "… expired at 2027-01-01T00:00:00.000Z". When the previous
 * version outlives the expired one, the notice says so.
 */
export const noticeText = (notice: ExpiryNotice, nowMs: number): NoticeText => {
  const { expiresAt, previousValidUntil, threshold, version } = notice;
  const leftMs = Date.parse(expiresAt) - nowMs;
  const expired = threshold === 0 || leftMs <= 0;
  // The notice of the expiry may be worded by a clock that is slightly behind.
  const now = later(new Date(nowMs).toISOString(), expired ? expiresAt : undefined);
  const live = liveVersions({ status: 'active', version, expiresAt, previousValidUntil }, now);
  const when = expired ? `expired at ${expiresAt}` : `expires in ${span(leftMs)}, at ${expiresAt}`;
  const secret = `secret "${oneLine(notice.description)}"`;
  const application = `application "${oneLine(notice.applicationName)}"`;
  const domain = `domain "${oneLine(notice.domainName)}"`;
  const of = `of ${application} (client id ${notice.clientId}) in ${domain} ${when}.`;
  const [previous] = expired ? live : [];
  if (previous !== undefined)
    return {
      subject: `Version ${version} of the ${secret} of ${application} ${when}`,
      body: [
        `Version ${version} of the ${secret} ${of}`,
        `Version ${previous} still authenticates until ${previousValidUntil}. Move its clients to another secret of ` +
          `the application before then; a renewal of this secret ends version ${previous} at once.`,
      ].join('\n'),
    };
  return {
    subject: `The ${secret} of ${application} ${when}`,
    body: [
      `The ${secret} (version ${version}) ${of}`,
      expired
        ? 'It no longer authenticates. Renew it, or use another secret of the application.'
        : 'Renew it before then, or move to another secret of the application.',
    ].join('\n'),
  };
};

/** Removes line breaks from user-supplied names, which could inject a header or a log line. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');

/** Formats a duration in its two largest units, the smaller one rounded: "5 days", "1 day and 3 hours", "45 seconds". */
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
