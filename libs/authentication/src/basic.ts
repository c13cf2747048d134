/** Client id and secret as one reading of an `Authorization: Basic` header gives them. */
export interface BasicReading {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** RFC 7617 §2: the scheme in any case, then token68; padding may be missing. */
const HEADER = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i;
/** Longer than any client id and secret, each character percent-encoded, in base64. */
const HEADER_LENGTH_MAX = 8192;
// RFC 7617 §2: neither user-id nor password holds a control character.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The readings of HTTP Basic credentials, the likelier first, two at most; none where the header is no such credentials.
 *
 * RFC 6749 §2.3.1 has id and secret form-encoded before they are joined; most clients send them as they are, some escape
 * with `%` and leave `+` alone. Nothing in the header says which. So text in which every `%` begins an escape is read
 * decoded, once, and raw; a `+` is read as itself and as the space that it is in a form. Text with both leaves room for
 * the two readings of `+` only: that so many escapes were all well-formed by chance is the least likely. Text with a `%`
 * that begins no escape was not encoded, and is only read raw.
 */
export const parseBasic = (header: string | undefined): BasicReading[] => {
  const raw = splitHeader(header);
  if (!raw) return [];
  const text = raw.clientId + raw.clientSecret;
  const plus = text.includes('+');
  const escaped = text.includes('%');
  const decoded = escaped ? readBoth(raw, decodeURIComponent) : raw;
  if (!decoded) return [raw];
  const form = plus ? readBoth(raw, (part) => decodeURIComponent(part.replaceAll('+', ' '))) : undefined;
  if (form) return [decoded, form];
  return escaped ? [decoded, raw] : [raw];
};

const splitHeader = (header: string | undefined): BasicReading | undefined => {
  if (header === undefined || header.length > HEADER_LENGTH_MAX) return undefined;
  const token = HEADER.exec(header)?.[1];
  if (token === undefined) return undefined;
  try {
    return split(utf8.decode(Buffer.from(token, 'base64')));
  } catch {
    return undefined;
  }
};

/** At the first colon: RFC 7617 §2 allows none in the user-id, any number in the password. */
const split = (text: string): BasicReading | undefined => {
  const colonAt = text.indexOf(':');
  if (colonAt < 0 || CONTROL.test(text)) return undefined;
  return { clientId: text.slice(0, colonAt), clientSecret: text.slice(colonAt + 1) };
};

/** Both parts, read alike; undefined where one is not encoded so, or decodes to what no id or secret holds. */
const readBoth = (
  { clientId, clientSecret }: BasicReading,
  read: (part: string) => string,
): BasicReading | undefined => {
  try {
    const reading = { clientId: read(clientId), clientSecret: read(clientSecret) };
    return CONTROL.test(reading.clientId + reading.clientSecret) ? undefined : reading;
  } catch {
    return undefined;
  }
};
