import { invalid } from '@rekey/domain';
import type { Filter, Query, ViewDocument } from '@rekey/ports';

export type Scalar = string | number | boolean | null;

/** A condition or a sort order of MongoDB. Values of callers only ever stand where an operator takes a value. */
export type Condition = Record<string, unknown>;

/** Where a declared field lies in a stored document; throws `invalid_request` for any other. */
export type KeyOf = (field: string) => string;

const FIELD = /^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/;
/** Longer ones might not fit into a pattern (32 KB), of which each character takes up to 30. */
const CONTAINS_LENGTH_MAX = 1_000;

export const checkedField = (field: string): string => {
  if (!FIELD.test(field)) throw invalid('field', 'Must be the name of a field.');
  return field;
};

/** The name of a field among the searched ones: flat, because a dot would mean a level to the server. */
export const nameOf = (field: string): string => checkedField(field).replaceAll('.', '/');

// ── Texts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A code point that no script uses, below all that are written behind it. */
const ESCAPE = '\ud7ff';

/**
 * A text as it is searched and sorted by. Code points from U+D7FF on become `ESCAPE` and six hexadecimal digits: then
 * texts have one order, that of the code points, whether a server compares UTF-8 or UTF-16, and halves of surrogate
 * pairs, which BSON cannot hold, stay what they are.
 */
export const searchable = (text: string): string =>
  text.replace(
    /[\u{d7ff}-\u{10ffff}]/gu,
    (point) => ESCAPE + (point.codePointAt(0) ?? 0).toString(16).padStart(6, '0'),
  );

export const searchableScalar = (value: Scalar): Scalar => (typeof value === 'string' ? searchable(value) : value);

/** What is stored of a document's field for searching: missing is null, lists and objects are their JSON. */
export const searchedValue = (document: ViewDocument, field: string): Scalar => {
  let value: unknown = document;
  for (const part of field.split('.'))
    value = typeof value === 'object' && value !== null && Object.hasOwn(value, part) ? Reflect.get(value, part) : null;
  if (typeof value === 'object' && value !== null) return searchable(JSON.stringify(value));
  return searchableScalar(value as Scalar);
};

/**
 * A pattern for searchable texts that hold another text, blind to case: each character becomes a choice of its cases,
 * because servers differ in what an option for it means beyond ASCII. Skips what is before in whole characters, for
 * the digits of an escaped one are no text.
 */
const blindPattern = (text: string): string => {
  const choice = (character: string): string => {
    const forms = [character, character.toLowerCase(), character.toUpperCase()];
    const cases = new Set(forms.filter((form) => [...form].length === 1).map(searchable));
    return `(?:${[...cases].map((form) => form.replace(/[^\p{L}\p{N}]/gu, quoted)).join('|')})`;
  };
  return `^(?:[^${ESCAPE}]|${ESCAPE}[0-9a-f]{6})*?${[...text].map(choice).join('')}`;
};

const quoted = (character: string): string => `\\x{${(character.codePointAt(0) ?? 0).toString(16)}}`;

// ── Conditions ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Holds for no document. */
const NOTHING: Condition = { _id: { $in: [] } };

const OPERATORS = { eq: '$eq', ne: '$ne', lt: '$lt', lte: '$lte', gt: '$gt', gte: '$gte' } as const;

/** A filter as MongoDB has it. Searched fields are never missing in what is stored, so null means one thing. */
export const conditionOf = (filter: Filter, key: KeyOf): Condition => {
  if ('and' in filter) return filter.and.length === 0 ? {} : { $and: filter.and.map((part) => conditionOf(part, key)) };
  if ('or' in filter)
    return filter.or.length === 0 ? NOTHING : { $or: filter.or.map((part) => conditionOf(part, key)) };
  const name = key(filter.field);
  if (filter.op === 'in') return { [name]: { $in: filter.value.map(searchableScalar) } };
  if (filter.op === 'contains') {
    if (filter.value.length > CONTAINS_LENGTH_MAX)
      throw invalid(filter.field, `At most ${CONTAINS_LENGTH_MAX} characters can be searched for.`);
    return { [name]: { $regex: blindPattern(filter.value) } };
  }
  const compares = filter.op !== 'eq' && filter.op !== 'ne';
  if (compares && filter.value === null) return NOTHING;
  return { [name]: { [OPERATORS[filter.op]]: searchableScalar(filter.value) } };
};

export interface Page {
  readonly condition: Condition;
  readonly sort: Record<string, 1 | -1>;
}

/** What a query asks for, but for how much. All values of one field must be of one type, or null. */
export const pageOf = ({ filter, sort, after, limit }: Query, key: KeyOf): Page => {
  if (!Number.isSafeInteger(limit) || limit < 0) throw invalid('limit', 'Must be a whole number.');
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

/** What comes behind a value and an id. Null sorts before every value. */
const beyond = (by: string, descending: boolean, value: Scalar, id: string): Condition => {
  const operator = descending ? '$lt' : '$gt';
  if (by === '_id') return { _id: { [operator]: id } };
  const ties = { [by]: value, _id: { [operator]: id } };
  if (value === null) return descending ? ties : { $or: [ties, { [by]: { $ne: null } }] };
  const others = { [by]: { [operator]: value } };
  return { $or: descending ? [ties, others, { [by]: null }] : [ties, others] };
};
