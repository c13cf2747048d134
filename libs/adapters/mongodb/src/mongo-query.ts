import { invalid } from '@rekey/domain';
import type { Filter, Query, ViewDocument } from '@rekey/ports';

export type Scalar = string | number | boolean | null;

/** A MongoDB filter. Values from callers appear only as operands, never as operators or keys. */
export type Condition = Record<string, unknown>;

/** Returns the key of a declared field in a stored document. Throws `invalid_request` for any other field. */
export type KeyOf = (field: string) => string;

const FIELD = /^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/;
/** A pattern is limited to 32 KB, and each character takes up to 30 bytes of it. */
const CONTAINS_LENGTH_MAX = 1_000;

export const checkedField = (field: string): string => {
  if (!FIELD.test(field)) throw invalid('field', 'Must be a field name.');
  return field;
};

/** Returns a field's name in `f`. Dots become slashes, because the server takes a dot for a nested document. */
export const nameOf = (field: string): string => checkedField(field).replaceAll('.', '/');

// ── Texts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A code point that no script uses, below all the code points that it escapes. */
const ESCAPE = '\ud7ff';

/**
 * Returns a text as it is stored for searching and sorting. Code points from U+D7FF on become `ESCAPE` and six hexadecimal
 * digits. That keeps the order of code points, whether a server compares UTF-8 or UTF-16, and preserves lone surrogates,
 * which BSON cannot hold.
 */
export const searchable = (text: string): string =>
  text.replace(
    /[\u{d7ff}-\u{10ffff}]/gu,
    (point) => ESCAPE + (point.codePointAt(0) ?? 0).toString(16).padStart(6, '0'),
  );

export const searchableScalar = (value: Scalar): Scalar => (typeof value === 'string' ? searchable(value) : value);

/** Returns what is stored of a field for searching: null if it is missing, JSON text for arrays and objects. */
export const searchedValue = (document: ViewDocument, field: string): Scalar => {
  let value: unknown = document;
  for (const part of field.split('.'))
    value = typeof value === 'object' && value !== null && Object.hasOwn(value, part) ? Reflect.get(value, part) : null;
  if (typeof value === 'object' && value !== null) return searchable(JSON.stringify(value));
  return searchableScalar(value as Scalar);
};

/**
 * Returns a pattern that finds a text in searchable texts, ignoring case. Each character becomes a choice of its cases,
 * because servers differ in what the `i` option means beyond ASCII. The prefix is skipped in whole characters, so that
 * the digits of an escaped character are never matched as text.
 */
const caseInsensitivePattern = (text: string): string => {
  const choice = (character: string): string => {
    const forms = [character, character.toLowerCase(), character.toUpperCase()];
    const cases = new Set(forms.filter((form) => [...form].length === 1).map(searchable));
    return `(?:${[...cases].map((form) => form.replace(/[^\p{L}\p{N}]/gu, quoted)).join('|')})`;
  };
  return `^(?:[^${ESCAPE}]|${ESCAPE}[0-9a-f]{6})*?${[...text].map(choice).join('')}`;
};

const quoted = (character: string): string => `\\x{${(character.codePointAt(0) ?? 0).toString(16)}}`;

// ── Conditions ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Matches no document. */
const NOTHING: Condition = { _id: { $in: [] } };

const OPERATORS = { eq: '$eq', ne: '$ne', lt: '$lt', lte: '$lte', gt: '$gt', gte: '$gte' } as const;

/** Returns a filter in MongoDB's form. Stored documents have all declared fields, so null has only one meaning. */
export const conditionOf = (filter: Filter, key: KeyOf): Condition => {
  if ('and' in filter) return filter.and.length === 0 ? {} : { $and: filter.and.map((part) => conditionOf(part, key)) };
  if ('or' in filter)
    return filter.or.length === 0 ? NOTHING : { $or: filter.or.map((part) => conditionOf(part, key)) };
  const name = key(filter.field);
  if (filter.op === 'in') return { [name]: { $in: filter.value.map(searchableScalar) } };
  if (filter.op === 'contains') {
    if (filter.value.length > CONTAINS_LENGTH_MAX)
      throw invalid(filter.field, `Must be at most ${CONTAINS_LENGTH_MAX} characters long.`);
    return { [name]: { $regex: caseInsensitivePattern(filter.value) } };
  }
  const compares = filter.op !== 'eq' && filter.op !== 'ne';
  if (compares && filter.value === null) return NOTHING;
  return { [name]: { [OPERATORS[filter.op]]: searchableScalar(filter.value) } };
};

export interface Page {
  readonly condition: Condition;
  readonly sort: Record<string, 1 | -1>;
}

/** Returns the filter and the sort order of a page. All values of the sort field must be of one type, or null. */
export const pageQuery = ({ filter, sort, after, limit }: Query, key: KeyOf): Page => {
  if (!Number.isSafeInteger(limit) || limit < 0) throw invalid('limit', 'Must be a non-negative integer.');
  const by = key(sort?.field ?? '_id');
  const descending = sort?.descending ?? false;
  const way = descending ? -1 : 1;
  const conditions = [
    ...(filter ? [conditionOf(filter, key)] : []),
    ...(after ? [beyond(by, descending, searchableScalar(after.value), searchable(after.id))] : []),
  ];
  return {
    condition: conditions.length === 0 ? {} : { $and: conditions },
    sort: by === '_id' ? { _id: way } : { [by]: way, _id: way },
  };
};

/** Returns the filter for what follows a value and an id in the sort order. Null sorts before every value. */
const beyond = (by: string, descending: boolean, value: Scalar, id: string): Condition => {
  const operator = descending ? '$lt' : '$gt';
  if (by === '_id') return { _id: { [operator]: id } };
  const ties = { [by]: value, _id: { [operator]: id } };
  if (value === null) return descending ? ties : { $or: [ties, { [by]: { $ne: null } }] };
  const others = { [by]: { [operator]: value } };
  return { $or: descending ? [ties, others, { [by]: null }] : [ties, others] };
};
