import { invalid } from '@rekey/domain';
import type { Filter, Query } from '@rekey/ports';
import type { SqlValue } from './sqlite-statement';

/** SQL text with the values for its question marks, in order. Values never become part of the text. */
export interface Sql {
  readonly text: string;
  readonly params: readonly SqlValue[];
}

/** Returns the quoted column of a declared field. Throws `invalid_request` for any other field. */
export type ColumnOf = (field: string) => string;

type Scalar = string | number | boolean | null;

/** A GLOB pattern of SQLite is limited to 50,000 bytes, and each character takes up to 10 of them. */
const CONTAINS_LENGTH_MAX = 1_000;

/** JSON's booleans are 1 and 0 in SQLite. */
const bound = (value: Scalar): SqlValue => (typeof value === 'boolean' ? Number(value) : value);

const COMPARISONS = { eq: 'IS', ne: 'IS NOT', lt: '<', lte: '<=', gt: '>', gte: '>=' } as const;

/** Returns a filter as an SQL condition. */
export const conditionOf = (filter: Filter, column: ColumnOf): Sql => {
  if ('and' in filter) return joined(filter.and, 'AND', 'TRUE', column);
  if ('or' in filter) return joined(filter.or, 'OR', 'FALSE', column);
  const name = column(filter.field);
  if (filter.op === 'in') return oneOf(name, filter.value);
  if (filter.op === 'contains') {
    if (filter.value.length > CONTAINS_LENGTH_MAX)
      throw invalid(filter.field, `Must be at most ${CONTAINS_LENGTH_MAX} characters long.`);
    return { text: `(typeof(${name}) = 'text' AND ${name} GLOB ?)`, params: [caseInsensitivePattern(filter.value)] };
  }
  return { text: `${name} ${COMPARISONS[filter.op]} ?`, params: [bound(filter.value)] };
};

const joined = (filters: readonly Filter[], word: string, none: string, column: ColumnOf): Sql => {
  const parts = filters.map((filter) => conditionOf(filter, column));
  if (parts.length === 0) return { text: none, params: [] };
  return {
    text: `(${parts.map(({ text }) => text).join(` ${word} `)})`,
    params: parts.flatMap(({ params }) => params),
  };
};

const oneOf = (name: string, values: readonly Scalar[]): Sql => {
  const present = `${name} IN (SELECT value FROM json_each(?))`;
  const params = [JSON.stringify(values.filter((value) => value !== null))];
  return { text: values.includes(null) ? `(${present} OR ${name} IS NULL)` : present, params };
};

/**
 * Returns a GLOB pattern that finds a text ignoring case in any script, which SQLite's LIKE does for ASCII only. Each
 * character with two cases becomes a class of both.
 */
const caseInsensitivePattern = (text: string): string => {
  const part = (character: string): string => {
    const lower = character.toLowerCase();
    const upper = character.toUpperCase();
    const cases = [...new Set([character, lower, upper])].filter((form) => [...form].length === 1);
    return cases.length > 1 || '*?['.includes(character) ? `[${cases.join('')}]` : character;
  };
  return `*${[...text].map(part).join('')}*`;
};

/**
 * Returns the SQL for a page of documents, with the single column `document`. After a cursor, the rows are one or two
 * ranges of the index (missing values are a separate range), so a late page costs no more than an early one.
 */
export const pageSql = (table: string, { filter, sort, after, limit }: Query, column: ColumnOf): Sql => {
  if (!Number.isSafeInteger(limit) || limit < 0) throw invalid('limit', 'Must be a non-negative integer.');
  const by = column(sort?.field ?? '_id');
  const way = sort?.descending ? 'DESC' : 'ASC';
  const ranges = after ? rangesAfter(by, sort?.descending ?? false, after) : [{ text: 'TRUE', params: [] }];
  const condition = filter ? conditionOf(filter, column) : { text: 'TRUE', params: [] };
  const rowsOf = (range: Sql, columns: string): Sql => ({
    text:
      `SELECT ${columns} FROM ${table} WHERE id <> '' AND ${range.text} AND ${condition.text} ` +
      `ORDER BY ${by} ${way}, id ${way} LIMIT ?`,
    params: [...range.params, ...condition.params, limit],
  });
  const [first, second] = ranges as [Sql, Sql?];
  if (!second) return rowsOf(first, 'document');
  const parts = [first, second].map((range, index) => rowsOf(range, `document, ${index} AS part, ${by} AS value, id`));
  return {
    text:
      `SELECT document FROM (${parts.map(({ text }) => `SELECT * FROM (${text})`).join(' UNION ALL ')}) ` +
      `ORDER BY part, value ${way}, id ${way} LIMIT ?`,
    params: [...parts.flatMap(({ params }) => params), limit],
  };
};

/** Returns the ranges of (value, id) after a cursor, in order. NULL sorts before every value. */
const rangesAfter = (by: string, descending: boolean, after: { value: Scalar; id: string }): Sql[] => {
  const beyond = descending ? '<' : '>';
  if (by === 'id') return [{ text: `id ${beyond} ?`, params: [after.id] }];
  const missing = `${by} IS NULL`;
  if (after.value === null) {
    const rest = { text: `(${missing} AND id ${beyond} ?)`, params: [after.id] };
    // Minus infinity, because the planner does not use IS NOT NULL as a range of the index.
    return descending ? [rest] : [rest, { text: `${by} >= -9e999`, params: [] }];
  }
  const rest = { text: `(${by}, id) ${beyond} (?, ?)`, params: [bound(after.value), after.id] };
  return descending ? [rest, { text: missing, params: [] }] : [rest];
};
