/**
 * What must never be read in a log, taken out of it. Values are known by their shape wherever they stand, and by the
 * name of the field, or of the `name=value` pair inside a text, that holds them.
 */
const REDACTED = '[redacted]';

/** Names that end like this hold something that opens a door. */
const SENSITIVE =
  /(authorization|cookies?|secrets?|passwords?|passphrases?|passwd|pwd|tokens?|verifiers?|peppers?|apikeys?|privatekeys?|indexkey|credentials?|sealedvalue|jwe|jwt)$/;

interface FieldName {
  readonly shown: string;
  readonly sensitive: boolean;
}

/** The names that were met, as they are nearly always the same few. */
const fieldNames = new Map<string, FieldName>();
const FIELD_NAMES_MAX = 2_000;

const fieldName = (name: string): FieldName => {
  const known = fieldNames.get(name);
  if (known) return known;
  const sensitive = SENSITIVE.test(name.toLowerCase().replaceAll(/[^a-z0-9]/g, ''));
  const field = { shown: redactText(name), sensitive };
  if (field.shown === name && fieldNames.size < FIELD_NAMES_MAX) fieldNames.set(name, field);
  return field;
};

/** RFC 7517: the members of a JWK that are private, whatever its kind. */
const PRIVATE_JWK = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']);

/** `name=value`, `"name": "value"`, also as JSON inside of JSON, where every quote has backslashes before it. */
const PAIR = new RegExp(
  [
    /(?<name>secret|token|password|passphrase|passwd|pwd|verifier|pepper|api[_-]?key|cookie|authorization)/,
    /(?<after>\\*["'])?(?<between>\s*[:=]\s*)/,
    /(?:(?<quote>\\*["'])[^]*?(?:(?<!\\)\k<quote>|$)|(?:(?:basic|bearer) +)?[^\s"'\\,;&})\]]+)/,
  ]
    .map(({ source }) => source)
    .join(''),
  'gi',
);

/** Shapes, with what is left of them. Parts of a value, from its beginning, are found too. */
const SHAPES: readonly (readonly [RegExp, string])[] = [
  [PAIR, `$<name>$<after>$<between>${REDACTED}`],
  [/rky_[0-9A-Za-z_]+/g, `rky_${REDACTED}`],
  [/rka_[0-9A-Za-z_]+/g, `rka_${REDACTED}`],
  // With spaces, as a query string is read with them for every plus; words behind it may go with it.
  [/\$argon2[\w$=,+/. -]*/g, `$$argon2${REDACTED}`],
  [/m=\d+,t=\d+,p=\d+\$[\w$=+/. -]*/g, REDACTED],
  [/\b(basic|bearer)\s+[\w.~+/-]{8,}=*/gi, `$1 ${REDACTED}`],
  [/\beyJ[\w-]{8,}\.[\w.-]+/g, REDACTED],
  [/:\/\/[^\s/@:]*:[^\s/@]*@/g, `://${REDACTED}@`],
];

/** A part of every text that one of the shapes is in; most texts are without, and need no further look. */
const SUSPICIOUS =
  /rky_|rka_|\$argon2|p=\d+\$|eyJ|:\/\/|basic|bearer|secret|token|passw|passphrase|pwd|verifier|pepper|api[_-]?key|cookie|authorization/i;

const BYTES_LENGTH_MIN = 16;
const isByte = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 256;

/** Bytes as JSON shows them: a list of numbers, a Buffer, or a typed array as an object of numbers. */
const isBytes = (value: object): boolean => {
  if ('type' in value && value.type === 'Buffer') return true;
  const members = Object.values(value);
  if (members.length < BYTES_LENGTH_MIN || !members.every(isByte)) return false;
  return Array.isArray(value) || Object.keys(value).every((name, index) => name === String(index));
};

/** A text without any shape that opens a door. */
export const redactText = (text: string): string =>
  SUSPICIOUS.test(text) ? SHAPES.reduce((rest, [shape, left]) => rest.replace(shape, left), text) : text;

/** A JSON value without whatever opens a door. */
export const redactValue = (value: unknown): unknown => {
  if (typeof value === 'string') return redactText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (isBytes(value)) return '[binary]';
  if (Array.isArray(value)) return value.map(redactValue);
  const isJwk = 'kty' in value;
  // Without a prototype, as a field may be called __proto__.
  const result = Object.create(null) as Record<string, unknown>;
  for (const [name, member] of Object.entries(value)) {
    const { shown, sensitive } = fieldName(name);
    result[shown] = isJwk && PRIVATE_JWK.has(name) ? REDACTED : sensitive ? hidden(name, member) : redactValue(member);
  }
  return result;
};

/** What is left of a sensitive field: whether there is something, and how many of it, is no secret. */
const hidden = (name: string, member: unknown): unknown => {
  if (member === null || typeof member === 'boolean') return member;
  return typeof member === 'number' && name.endsWith('s') ? member : REDACTED;
};

/** A line of JSON without whatever opens a door; a line that is no JSON is not let out at all. */
export const redactLine = (line: string): string => {
  try {
    return `${JSON.stringify(redactValue(JSON.parse(line)))}\n`;
  } catch {
    return `${JSON.stringify({ level: 'error', msg: 'A log line could not be read and was dropped.' })}\n`;
  }
};
