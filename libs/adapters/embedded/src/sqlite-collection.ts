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
import { ENGINE } from './sqlite-errors';
import type { SqlValue, Step } from './sqlite-statement';

/*
 * A collection is a table with the columns id, position (the guard), document (JSON text) and, for each declared field, a
 * generated column `f:<path>` for the indexes. The row with the empty id is the build record, and its position is the
 * checkpoint. Dropping, emptying or restoring a collection therefore does the same to its checkpoint.
 *
 * Tables have rowids. Without them, each document would dirty a page of its own: writes four times slower, reads only a
 * tenth faster.
 */
const PREFIX = 'view:';
const FIELD_PREFIX = 'f:';
/** Lower case only: SQLite's table names are case-insensitive. */
const COLLECTION_NAME = /^[a-z0-9][a-z0-9._-]{0,199}$/;
const FIELD = /^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/;
/** Documents per statement: below SQLite's parameter limit, and mostly the same cached statement. */
const ROWS_PER_STEP = 32;

/** Quotes a checked name. Uses brackets, because SQLite treats an unknown name in double quotes as a string. */
const quoted = (name: string): string => `[${name}]`;

/** Returns the collection's quoted table name. Throws `invalid_request` if the name is malformed. */
export const tableOf = (collection: CollectionName): string => {
  if (!COLLECTION_NAME.test(collection))
    throw invalid(
      'collection',
      'Must be a collection name: lower-case letters, digits, dots, hyphens and underscores.',
    );
  return quoted(PREFIX + collection);
};

const checkedField = (field: string): string => {
  if (!FIELD.test(field)) throw invalid('field', 'Must be a field name.');
  return field;
};

/** Returns the quoted column of a field. */
export const columnNameOf = (field: string): string =>
  field === '_id' ? 'id' : quoted(FIELD_PREFIX + checkedField(field));

const pathOf = (field: string): string =>
  `$${checkedField(field)
    .split('.')
    .map((part) => `."${part}"`)
    .join('')}`;

/** Selects the columns of a table; the parameter is `tableNameOf`. Returns no rows if the collection does not exist. */
export const COLUMNS_SQL = 'SELECT name FROM pragma_table_xinfo(?)';
export const tableNameOf = (collection: CollectionName): string => PREFIX + collection;
export const fieldsOf = (columns: readonly { name: string }[]): ReadonlySet<string> =>
  new Set(
    columns.filter(({ name }) => name.startsWith(FIELD_PREFIX)).map(({ name }) => name.slice(FIELD_PREFIX.length)),
  );

/**
 * Creates a missing collection with its build record, and its indexes if the build is complete from the start. Otherwise
 * `LateIndexes` creates them.
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
  const isComplete = checkpoint >= record.target;
  const stored = isComplete ? { build: record } : { build: record, indexes };
  return [
    { kind: 'run', sql: `CREATE TABLE IF NOT EXISTS ${table} (${[...fixed, ...columns].join(', ')})` },
    ...(isComplete ? indexes : []).map((index) => indexStep(collection, index)),
    // Documents without a build record are left over from a collection whose record was deleted.
    { kind: 'run', sql: `DELETE FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM ${table} WHERE id = '')` },
    {
      kind: 'run',
      sql: `INSERT INTO ${table} (id, position, document) VALUES ('', ?, ?) ON CONFLICT (id) DO NOTHING`,
      params: [checkpoint, JSON.stringify(stored)],
    },
  ];
};

const ownFields = (fields: readonly string[]): string[] => fields.filter((field) => field !== '_id');

/** Creates an index if it is missing. */
export const indexStep = (collection: CollectionName, { name, fields }: ViewIndex): Step => {
  const quotedName = quoted(`${PREFIX}${collection}/${checkedField(name)}`);
  // Ending in the id, an index also returns equal values in the order of their ids.
  const parts = [...ownFields(fields).map(columnNameOf), 'id'].join(', ');
  return { kind: 'run', sql: `CREATE INDEX IF NOT EXISTS ${quotedName} ON ${tableOf(collection)} (${parts})` };
};

/** Missing indexes, and the checkpoint from which on all of them must exist. */
export interface Plan {
  readonly target: Position;
  readonly indexes: readonly ViewIndex[];
}

/** Parses the plan from a build record. */
export const planOf = (document: string): Plan => {
  const { build, indexes = [] } = parsed<{ build: Pick<Build, 'target'>; indexes?: readonly ViewIndex[] }>(document);
  return { target: build.target, indexes };
};

/** Stores the list of missing indexes. */
export const planStep = (collection: CollectionName, indexes: readonly ViewIndex[]): Step => ({
  kind: 'run',
  sql: `UPDATE ${tableOf(collection)} SET document = json_set(document, '$.indexes', json(?)) WHERE id = ''`,
  params: [JSON.stringify(indexes)],
});

/** Selects a build record. */
export const recordSql = (collection: CollectionName): string =>
  `SELECT position, document FROM ${tableOf(collection)} WHERE id = ''`;

/** A stored build record. */
export interface BuildRow {
  readonly position: string;
  readonly document: string;
}

export const buildOf = (collection: CollectionName, { position, document }: BuildRow): Build => ({
  ...parsed<{ build: Omit<Build, 'collection' | 'checkpoint'> }>(document).build,
  collection,
  checkpoint: position,
});

/** Selects the names of all collections, in the column `collection`. */
export const COLLECTIONS_SQL =
  `SELECT substr(name, ${PREFIX.length + 1}) AS collection FROM sqlite_schema ` +
  `WHERE type = 'table' AND name GLOB '${PREFIX}*' ORDER BY name`;

const OWNER = `json_extract(document, '$.build.owner')`;
const BEAT = `json_extract(document, '$.build.beat')`;

/** Returns the build record as a row if the claim is granted. */
export const claimStep = (collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Step => ({
  kind: 'all',
  sql:
    `UPDATE ${tableOf(collection)} SET document = json_set(document, '$.build.owner', ?, '$.build.beat', ${BEAT} + 1) ` +
    `WHERE id = '' AND ${OWNER} = ? AND ${BEAT} = ? RETURNING position, document`,
  params: [owner, seen.owner, seen.beat],
});

/** Changes one row if the checkpoint is moved, none otherwise. */
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

/** Writes documents, each only if its position is newer than the stored one. */
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

/** Changes a document without a guard. Numbers are sent as JSON text, because the driver binds every number as REAL. */
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

/** Refuses the empty id, which is that of the build record. */
const checkedId = (id: string): string => {
  if (id === '') throw invalid('_id', 'A document needs a non-empty id.');
  return id;
};

const topLevel = (field: string): string => {
  if (field.includes('.')) throw invalid(field, 'Only a top-level field of the document can be changed.');
  return field;
};

/** Parses stored JSON. Throws `EngineUnavailable` if it is damaged: the store is at fault, not the caller. */
export const parsed = <T>(text: string): T => {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new EngineUnavailable(ENGINE, { cause: error });
  }
};
