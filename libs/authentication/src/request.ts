import { RekeyError } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';

/** Credentials to check. */
export interface CheckRequest {
  readonly domainId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Address of the client, for secrets restricted to networks. Text that is not an IP address counts as unknown. */
  readonly remoteAddress?: string | undefined;
  /** Failures are counted per source; default: the remote address. */
  readonly limiterSource?: string | undefined;
}

/** Why a check was refused. For logs and metrics; the caller must not see it. */
export const REFUSAL_CAUSES = [
  'malformed',
  'unknown_domain',
  'domain_disabled',
  'unknown_client',
  'application_disabled',
  'no_match',
  'suspended',
  'not_yet_valid',
  'expired',
  'address_unknown',
  'address',
  'wrong_value',
  'broken',
] as const;
export type RefusalCause = (typeof REFUSAL_CAUSES)[number];

export interface Admitted {
  readonly valid: true;
  readonly domainId: string;
  readonly clientId: string;
  readonly applicationId: string;
  readonly secretId: string;
  readonly version: number;
  /** When the presented value expires; undefined: never. */
  readonly expiresAt: Instant | undefined;
}

export interface Refused {
  readonly valid: false;
  readonly cause: RefusalCause;
  /** The caller's error: `invalid_client_credentials`, `rate_limited`, or `unavailable` for a broken document. */
  readonly error: RekeyError;
}

export type CheckResult = Admitted | Refused;

/**
 * A check as logs and metrics see it. Contains a client id only if that client exists: an unknown client id may be a
 * secret that was sent in the wrong field.
 */
export interface CheckOutcome {
  readonly outcome: 'valid' | 'unavailable' | RefusalCause;
  /** Whether the caller received `rate_limited` for the refusal. */
  readonly limited: boolean;
  readonly domainId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly applicationId?: string | undefined;
  readonly secretId?: string | undefined;
  readonly version?: number | undefined;
  readonly source?: string | undefined;
}

/** The error of every refusal. One instance, because capturing a stack costs more than a check. */
export const REFUSED = new RekeyError('invalid_client_credentials', 'The client credentials are not valid.');

/** Cached for the same reason, by seconds: a window has few. */
const LIMITED = new Map<number, RekeyError>();

export const limitedFor = (retryAfterSeconds: number): RekeyError => {
  let error = LIMITED.get(retryAfterSeconds);
  if (!error) {
    error = new RekeyError('rate_limited', 'Too many wrong credentials; try again later.', { retryAfterSeconds });
    LIMITED.set(retryAfterSeconds, error);
  }
  return error;
};

/** One way to read the credentials of an `Authorization: Basic` header. */
export interface BasicReading {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** RFC 7617 §2: the scheme in any case, then token68. Padding may be missing. */
const HEADER = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i;
/** Longer than base64 of the longest client id and secret with every character percent-encoded. */
const HEADER_LENGTH_MAX = 8192;
/** RFC 7617 §2 forbids control characters in credentials, as RFC 5234 defines CTL: Unicode's without U+0080 to U+009F. */
const CONTROL = /[^\P{Cc}\u0080-\u009f]/u;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Returns the possible readings of HTTP Basic credentials: at most two, the more likely first; none if the header does
 * not contain Basic credentials.
 *
 * RFC 6749 §2.3.1 requires clients to form-encode id and secret before they are joined. Most clients send them as they
 * are, and some encode with `%` but leave `+` alone; the header does not tell which. So:
 * - A `%` that does not begin an escape: the text is not encoded, and is read raw.
 * - Escapes only: read decoded (once), then raw.
 * - `+` only: read as it is, then with spaces in place of `+`.
 * - Escapes and `+`: decoded with both meanings of `+`. Raw is omitted as the least likely reading.
 */
export const parseBasic = (header: string | undefined): BasicReading[] => {
  const raw = splitHeader(header);
  if (!raw) return [];
  const text = raw.clientId + raw.clientSecret;
  const plus = text.includes('+');
  const escaped = text.includes('%');
  const decoded = escaped ? mapReading(raw, decodeURIComponent) : raw;
  if (!decoded) return [raw];
  const form = plus ? mapReading(raw, (part) => decodeURIComponent(part.replaceAll('+', ' '))) : undefined;
  if (form) return [decoded, form];
  return escaped ? [decoded, raw] : [raw];
};

const splitHeader = (header: string | undefined): BasicReading | undefined => {
  if (header === undefined || header.length > HEADER_LENGTH_MAX) return undefined;
  const token = HEADER.exec(header)?.[1];
  if (token === undefined) return undefined;
  try {
    return splitCredentials(utf8.decode(Buffer.from(token, 'base64')));
  } catch {
    return undefined;
  }
};

/** Splits at the first colon: RFC 7617 §2 allows colons in the password only. */
const splitCredentials = (text: string): BasicReading | undefined => {
  const colonAt = text.indexOf(':');
  if (colonAt < 0 || CONTROL.test(text)) return undefined;
  return { clientId: text.slice(0, colonAt), clientSecret: text.slice(colonAt + 1) };
};

/** Decodes both parts; undefined if one cannot be decoded or would contain a control character. */
const mapReading = (
  { clientId, clientSecret }: BasicReading,
  decode: (part: string) => string,
): BasicReading | undefined => {
  try {
    const reading = { clientId: decode(clientId), clientSecret: decode(clientSecret) };
    return CONTROL.test(reading.clientId + reading.clientSecret) ? undefined : reading;
  } catch {
    return undefined;
  }
};
