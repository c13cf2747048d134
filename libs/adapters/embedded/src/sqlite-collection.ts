import { invalid } from '@rekey/domain';
import {
  type Accumulation,
  type Build,
  type CollectionName,
  EngineUnavailable,
  type Position,
  START,
  type ViewDocument,
  type ViewIndex,
} from '@rekey/ports';
import type { SqlValue, Step } from './sqlite-statement';

/*
 * A collection is a table: id, position (the guard), document (JSON text), and for each declared field a column
 * `f:<path>` that SQLite computes from the document, for the indexes. The row with the empty id is the build's record,
 * its position the checkpoint: so whoever drops, empties or puts back a collection does the same to its checkpoint, and
 * nobody takes the one for the state of the other.
 *
 * Tables have rowids: keyed by the id alone, each document would dirty a page of its own, which makes writing four
 * times as slow and reading a tenth faster.
 */
const PREFIX = 'view:';
const FIELD_PREFIX = 'f:';
/** Lower case, because SQLite takes names that differ in case for one. */
const COLLECTION_NAME = /^[a-z0-9][a-z0-9._-]{0,199}$/;
const FIELD = /^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/;
/** Documents a statement; few enough for SQLite's limit of parameters, and one cached text for most. */
const ROWS_PER_STEP = 32;

/** Brackets, because SQLite takes an unknown name in double quotes for a text. Only checked names come here. */
const quoted = (name: string): string => `[${name}]`;

/** The collection's table, quoted; throws `invalid_request` for what is no name of one. */
export const tableOf = (collection: CollectionName): string => {
  if (!COLLECTION_NAME.test(collection)) throw invalid('collection', 'Must be the name of a collection.');
  return quoted(PREFIX + collection);
};

const checkedField = (field: string): string => {
  if (!FIELD.test(field)) throw invalid('field', 'Must be the name of a field.');
  return field;
};

/** The column of a field, quoted. */
export const columnNameOf = (field: string): string =>
  field === '_id' ? 'id' : quoted(FIELD_PREFIX + checkedField(field));

const pathOf = (field: string): string =>
  `$${checkedField(field)
    .split('.')
    .map((part) => `."${part}"`)
    .join('')}`;

/** Asks for the fields that a collection has columns for; its parameter is `tableNameOf`. No rows: no such collection. */
export const COLUMNS_SQL = 'SELECT name FROM pragma_table_xinfo(?)';
export const tableNameOf = (collection: CollectionName): string => PREFIX + collection;
export const fieldsOf = (columns: readonly { name: string }[]): ReadonlySet<string> =>
  new Set(
    columns.filter(({ name }) => name.startsWith(FIELD_PREFIX)).map(({ name }) => name.slice(FIELD_PREFIX.length)),
  );

/**
 * Makes a collection with its record, where it is missing, and its indexes: now where the build is whole from the
 * beginning, else they are left to `LateIndexes`.
 */
export const createSteps = (
  { collection, checkpoint, ...record }: Build,
  indexes: readonly ViewIndex[],
): readonly Step[] => {
  const table = tableOf(collection);
  const columns = [...new Set(ownFields(indexes.flatMap(({ fields }) => fields)))].map(
    (field) => `${columnNameOf(field)} GENERATED ALWAYS AS (json_extract(document, '${pathOf(field)}')) STORED`,
  );
  const fixed = ['id TEXT PRIMARY KEY NOT NULL', 'position TEXT NOT NULL', 'document TEXT NOT NULL'];
  const whole = checkpoint >= record.target;
  const stored = whole ? { build: record } : { build: record, indexes };
  return [
    { kind: 'run', sql: `CREATE TABLE IF NOT EXISTS ${table} (${[...fixed, ...columns].join(', ')})` },
    ...(whole ? indexes : []).map((index) => indexStep(collection, index)),
    // What is left of a collection whose record somebody has removed is no build.
    { kind: 'run', sql: `DELETE FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM ${table} WHERE id = '')` },
    {
      kind: 'run',
      sql: `INSERT INTO ${table} (id, position, document) VALUES ('', ?, ?) ON CONFLICT (id) DO NOTHING`,
      params: [checkpoint, JSON.stringify(stored)],
    },
  ];
};

const ownFields = (fields: readonly string[]): string[] => fields.filter((field) => field !== '_id');

/** Makes an index where it is missing. */
export const indexStep = (collection: CollectionName, { name, fields }: ViewIndex): Step => {
  const quotedName = quoted(`${PREFIX}${collection}/${checkedField(name)}`);
  // With the id at its end, an index also brings equal values in the order of the ids.
  const parts = [...ownFields(fields).map(columnNameOf), 'id'].join(', ');
  return { kind: 'run', sql: `CREATE INDEX IF NOT EXISTS ${quotedName} ON ${tableOf(collection)} (${parts})` };
};

/** Indexes that are still to be made, and the checkpoint from which on all of them must be there. */
export interface Plan {
  readonly target: Position;
  readonly indexes: readonly ViewIndex[];
}

/** The plan in a build's record. */
export const planOf = (document: string): Plan => {
  const { build, indexes = [] } = parsed<{ build: Pick<Build, 'target'>; indexes?: readonly ViewIndex[] }>(document);
  return { target: build.target, indexes };
};

/** Stores which indexes are still to be made. */
export const planStep = (collection: CollectionName, indexes: readonly ViewIndex[]): Step => ({
  kind: 'run',
  sql: `UPDATE ${tableOf(collection)} SET document = json_set(document, '$.indexes', json(?)) WHERE id = ''`,
  params: [JSON.stringify(indexes)],
});

/** Asks for a build's record. */
export const recordSql = (collection: CollectionName): string =>
  `SELECT position, document FROM ${tableOf(collection)} WHERE id = ''`;

/** A build's record as it is stored. */
export interface BuildRow {
  readonly position: string;
  readonly document: string;
}

export const buildOf = (collection: CollectionName, { position, document }: BuildRow): Build => ({
  ...parsed<{ build: Omit<Build, 'collection' | 'checkpoint'> }>(document).build,
  collection,
  checkpoint: position,
});

/** Names of all collections that have a table, in the one column `collection`. */
export const COLLECTIONS_SQL =
  `SELECT substr(name, ${PREFIX.length + 1}) AS collection FROM sqlite_schema ` +
  `WHERE type = 'table' AND name GLOB '${PREFIX}*' ORDER BY name`;

const OWNER = `json_extract(document, '$.build.owner')`;
const BEAT = `json_extract(document, '$.build.beat')`;

/** Answers the record where the claim was granted. */
export const claimStep = (collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Step => ({
  kind: 'all',
  sql:
    `UPDATE ${tableOf(collection)} SET document = json_set(document, '$.build.owner', ?, '$.build.beat', ${BEAT} + 1) ` +
    `WHERE id = '' AND ${OWNER} = ? AND ${BEAT} = ? RETURNING position, document`,
  params: [owner, seen.owner, seen.beat],
});

/** Changes one row where the checkpoint was moved. */
export const advanceStep = (collection: CollectionName, owner: string, from: string, to: string): Step => ({
  kind: 'run',
  sql:
    `UPDATE ${tableOf(collection)} SET position = ?, document = json_set(document, '$.build.beat', ${BEAT} + 1) ` +
    `WHERE id = '' AND position = ? AND ${OWNER} = ?`,
  params: [to, from, owner],
});

export const dropStep = (collection: CollectionName): Step => ({
  kind: 'run',
  sql: `DROP TABLE IF EXISTS ${tableOf(collection)}`,
});

/** Writes documents, each under the guard of its position. */
export const putSteps = (collection: CollectionName, documents: readonly ViewDocument[]): Step[] => {
  const table = tableOf(collection);
  const steps: Step[] = [];
  for (let from = 0; from < documents.length; from += ROWS_PER_STEP) {
    const rows = documents.slice(from, from + ROWS_PER_STEP);
    steps.push({
      kind: 'run',
      sql:
        `INSERT INTO ${table} (id, position, document) VALUES ${rows.map(() => '(?, ?, ?)').join(', ')} ` +
        'ON CONFLICT (id) DO UPDATE SET position = excluded.position, document = excluded.document ' +
        'WHERE excluded.position > position',
      params: rows.flatMap((document) => [checkedId(document._id), document.position, JSON.stringify(document)]),
    });
  }
  return steps;
};

/** Changes a document without a guard. Numbers go as JSON text, because the driver binds every number as a REAL. */
export const accumulateStep = (collection: CollectionName, { _id, add, set }: Accumulation): Step => {
  const changes: string[] = [];
  const params: SqlValue[] = [checkedId(_id), JSON.stringify({ _id, position: START, ...add, ...set })];
  for (const [field, amount] of Object.entries(add)) {
    const path = pathOf(topLevel(field));
    changes.push(`?, coalesce(json_extract(document, ?), 0) + json_extract(?, '$')`);
    params.push(path, path, JSON.stringify(amount));
  }
  for (const [field, value] of Object.entries(set)) {
    changes.push('?, json(?)');
    params.push(pathOf(topLevel(field)), JSON.stringify(value));
  }
  const update = changes.length === 0 ? 'NOTHING' : `UPDATE SET document = json_set(document, ${changes.join(', ')})`;
  return {
    kind: 'run',
    sql: `INSERT INTO ${tableOf(collection)} (id, position, document) VALUES (?, '', ?) ON CONFLICT (id) DO ${update}`,
    params,
  };
};

/** The empty id is the record's. */
const checkedId = (id: string): string => {
  if (id === '') throw invalid('_id', 'A document needs an id.');
  return id;
};

const topLevel = (field: string): string => {
  if (field.includes('.')) throw invalid(field, 'Only a field of the document itself can be changed.');
  return field;
};

/** A document that cannot be read is trouble of the store, not of the question. */
export const parsed = <T>(text: string): T => {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new EngineUnavailable('embedded store', { cause: error });
  }
};
