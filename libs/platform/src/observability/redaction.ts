/**
 * Redacts secrets in log lines. Finds them by their shape anywhere in a text, and by the name of the field, or of the
 * `name=value` pair, that holds them.
 */
const REDACTED = '[redacted]';

/** Fields whose names end like this hold secrets. */
const SENSITIVE =
  /(authorization|cookies?|secrets?|passwords?|passphrases?|passwd|pwd|tokens?|verifiers?|peppers?|apikeys?|privatekeys?|indexkey|credentials?|sealedvalue|jwe|jwt)$/;

interface FieldName {
  readonly shown: string;
  readonly sensitive: boolean;
}

/** Cache of field names. Log lines use the same few. */
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

/** The private members of a JWK of any kind (RFC 7518 §6). */
const PRIVATE_JWK = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']);

/** `name=value` and `"name": "value"`, also in JSON within JSON, where quotes are escaped. */
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

/** Shapes of secrets and their replacements. They match truncated values too. */
const SHAPES: readonly (readonly [RegExp, string])[] = [
  [PAIR, `$<name>$<after>$<between>${REDACTED}`],
  [/rky_[0-9A-Za-z_]+/g, `rky_${REDACTED}`],
  [/rka_[0-9A-Za-z_]+/g, `rka_${REDACTED}`],
  // Includes spaces, because a query string decodes plus signs to spaces. May redact some words too many.
  [/\$argon2[\w$=,+/. -]*/g, `$$argon2${REDACTED}`],
  [/m=\d+,t=\d+,p=\d+\$[\w$=+/. -]*/g, REDACTED],
  [/\b(basic|bearer)\s+[\w.~+/-]{8,}=*/gi, `$1 ${REDACTED}`],
  [/\beyJ[\w-]{8,}\.[\w.-]+/g, REDACTED],
  [/:\/\/[^\s/@:]*:[^\s/@]*@/g, `://${REDACTED}@`],
];

/** Matches every text that one of the shapes matches: a quick test that most texts do not pass. */
const SUSPICIOUS =
  /rky_|rka_|\$argon2|p=\d+\$|eyJ|:\/\/|basic|bearer|secret|token|passw|passphrase|pwd|verifier|pepper|api[_-]?key|cookie|authorization/i;

const BYTES_LENGTH_MIN = 16;
const isByte = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 256;

/** Whether a JSON value is bytes: a list of numbers, a Buffer, or a typed array as an object of numbers. */
const isBytes = (value: object): boolean => {
  if ('type' in value && value.type === 'Buffer') return true;
  const members = Object.values(value);
  if (members.length < BYTES_LENGTH_MIN || !members.every(isByte)) return false;
  return Array.isArray(value) || Object.keys(value).every((name, index) => name === String(index));
};

/** Redacts secrets in a text. */
const redactText = (text: string): string =>
  SUSPICIOUS.test(text) ? SHAPES.reduce((rest, [shape, left]) => rest.replace(shape, left), text) : text;

/** Redacts secrets in a JSON value. */
const redactValue = (value: unknown): unknown => {
  if (typeof value === 'string') return redactText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (isBytes(value)) return '[binary]';
  if (Array.isArray(value)) return value.map(redactValue);
  const isJwk = 'kty' in value;
  // Has no prototype, because a field may be called __proto__.
  const result = Object.create(null) as Record<string, unknown>;
  for (const [name, member] of Object.entries(value)) {
    const { shown, sensitive } = fieldName(name);
    result[shown] = isJwk && PRIVATE_JWK.has(name) ? REDACTED : sensitive ? hidden(name, member) : redactValue(member);
  }
  return result;
};

/** Redacts a sensitive field. Keeps null, booleans and counts, which are no secrets. */
const hidden = (name: string, member: unknown): unknown => {
  if (member === null || typeof member === 'boolean') return member;
  return typeof member === 'number' && name.endsWith('s') ? member : REDACTED;
};

/** Redacts a line of JSON. Drops a line that is not JSON. */
export const redactLine = (line: string): string => {
  try {
    return `${JSON.stringify(redactValue(JSON.parse(line)))}\n`;
  } catch {
    return `${JSON.stringify({ level: 'error', msg: 'A log line was not valid JSON and was dropped.' })}\n`;
  }
};
