import { invalid } from '@rekey/domain';
import {
  type Accumulation,
  type Build,
  type CollectionName,
  EngineUnavailable,
  type Filter,
  type Pointer,
  type Position,
  type Query,
  ReadModels,
  type Snapshot,
  START,
  type ViewDocument,
  type ViewIndex,
} from '@rekey/ports';
import type { Query as Statement, SqliteDatabase, SqlValue, Step } from './sqlite-database';
import { conditionOf, type ColumnOf, pageOf } from './sqlite-query';
import { SqliteQueryThread } from './sqlite-query-thread';
import { SnapshotCache } from './snapshot-cache';

const SCHEMA = [
  [
    `CREATE TABLE view_pointers (
       view TEXT PRIMARY KEY, version INTEGER NOT NULL, collection TEXT NOT NULL, previous TEXT, revision INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
  ],
];

/**
 * A collection is a table: id, position (the guard), document (JSON text), and for each declared field a virtual column
 * `f:<path>` for its indexes. The row with the empty id is the build's record, its position the checkpoint: so whoever
 * drops, empties or puts back a collection does the same to its checkpoint, and nobody takes one for the other.
 */
const PREFIX = 'view_';
const FIELD_PREFIX = 'f:';
const COLLECTION_NAME = /^[a-z0-9][a-z0-9._-]{0,199}$/;
const FIELD = /^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/;

/** Up to so many ids have a statement of their own; more are bound as one list. */
const IDS_IN_TEXT = 4;
/** Documents a statement of `put`; few enough for SQLite's limit of parameters, and one cached text for most. */
const ROWS_PER_STEP = 32;

const OWNER = `json_extract(document, '$.build.owner')`;
const BEAT = `json_extract(document, '$.build.beat')`;

interface Waiter {
  readonly position: Position;
  readonly settle: (reached: boolean) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Read models in the embedded store. Reads by id are one statement on the event loop's own connection, remembered while
 * nothing is written; searches and counts, which may take long, run in a thread of their own.
 */
export class SqliteReadModels extends ReadModels {
  private readonly reads = new Map<string, Statement<Record<string, string | null>>>();
  private readonly fields = new Map<CollectionName, ReadonlySet<string>>();
  private readonly waiters = new Map<CollectionName, Set<Waiter>>();
  private unwatch: (() => void) | undefined;

  private readonly cache: SnapshotCache;
  private readonly queries: SqliteQueryThread;

  private constructor(private readonly database: SqliteDatabase) {
    super();
    const dataVersion = database.prepare<{ data_version: number }>('PRAGMA data_version');
    this.cache = new SnapshotCache(() => dataVersion.get()?.data_version ?? -1);
    this.queries = new SqliteQueryThread(database.folder);
  }

  /** Makes its tables where they are missing. The database stays the caller's to close. */
  static async open(database: SqliteDatabase): Promise<SqliteReadModels> {
    await database.migrate('read-models', SCHEMA);
    return new SqliteReadModels(database);
  }

  // ── Documents ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The documents are shared by all who read them: nobody may change one. */
  async read<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Promise<Snapshot<D>> {
    const known = this.cache.get(collection, ids);
    if (known) return known as Snapshot<D>;
    const read = this.readNow<D>(collection, ids);
    this.cache.keep(collection, read);
    return read;
  }

  private readNow<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Snapshot<D> {
    const few = ids.length <= IDS_IN_TEXT;
    const statement = this.readStatement(collection, few ? ids.length : undefined);
    const row = whereThere(() => statement.get(few ? ids : [JSON.stringify(ids)]));
    if (row === GONE || row?.checkpoint == null) return { documents: ids.map(() => null), checkpoint: null };
    const texts = few ? ids.map((_, index) => row[`d${index}`]) : (JSON.parse(row.list as string) as (string | null)[]);
    return { documents: texts.map((text) => (text == null ? null : parsed<D>(text))), checkpoint: row.checkpoint };
  }

  private readStatement(
    collection: CollectionName,
    count: number | undefined,
  ): Statement<Record<string, string | null>> {
    const key = `${collection} ${count ?? 'list'}`;
    const known = this.reads.get(key);
    if (known) return known;
    const table = tableOf(collection);
    const documents =
      count === undefined
        ? [
            `(SELECT json_group_array(document) FROM (SELECT document FROM json_each(?) AS asked LEFT JOIN ${table} AS stored ON stored.id = asked.value ORDER BY asked.key)) AS list`,
          ]
        : Array.from({ length: count }, (_, index) => `(SELECT document FROM ${table} WHERE id = ?) AS d${index}`);
    const checkpoint = `(SELECT position FROM ${table} WHERE id = '') AS checkpoint`;
    const statement = this.database.prepare<Record<string, string | null>>(
      `SELECT ${[checkpoint, ...documents].join(', ')}`,
    );
    this.reads.set(key, statement);
    return statement;
  }

  async find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]> {
    const { text, params } = pageOf(tableOf(collection), query, this.columnOf(collection));
    return (await this.ask(collection, text, params)).map((document) => parsed<D>(document as string));
  }

  async count(collection: CollectionName, filter: Filter = { and: [] }): Promise<number> {
    const { text, params } = conditionOf(filter, this.columnOf(collection));
    const sql = `SELECT count(*) FROM ${tableOf(collection)} WHERE id <> '' AND ${text}`;
    return (await this.ask(collection, sql, params))[0] as number;
  }

  async put(collection: CollectionName, documents: readonly ViewDocument[]): Promise<void> {
    for (const { _id } of documents) if (_id === '') throw invalid('_id', 'A document needs an id.');
    const steps: Step[] = [];
    for (let from = 0; from < documents.length; from += ROWS_PER_STEP) {
      const rows = documents.slice(from, from + ROWS_PER_STEP);
      steps.push({
        kind: 'run',
        sql:
          `INSERT INTO ${tableOf(collection)} (id, position, document) VALUES ${rows.map(() => '(?, ?, ?)').join(', ')} ` +
          `ON CONFLICT (id) DO UPDATE SET position = excluded.position, document = excluded.document ` +
          `WHERE excluded.position > position`,
        params: rows.flatMap((document) => [document._id, document.position, JSON.stringify(document)]),
      });
    }
    // Where the collection is gone there is nothing to do: `advance` will say so.
    if (steps.length > 0) await whereThereSoon(this.database.write(steps));
  }

  async accumulate(collection: CollectionName, changes: readonly Accumulation[]): Promise<void> {
    if (changes.length === 0) return;
    const steps = changes.map((change) => accumulationStep(tableOf(collection), change));
    if ((await whereThereSoon(this.database.write(steps))) === GONE) throw new EngineUnavailable('view collection');
  }

  // ── Builds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async createBuild(build: Build, indexes: readonly ViewIndex[]): Promise<void> {
    const { collection, checkpoint, ...record } = build;
    const table = tableOf(collection);
    const fields = [...new Set(indexes.flatMap((index) => index.fields))].filter((field) => field !== '_id');
    const columns = fields.map(
      (field) => `, ${columnNameOf(field)} GENERATED ALWAYS AS (json_extract(document, '${pathOf(field)}')) STORED`,
    );
    const statements = [
      `CREATE TABLE IF NOT EXISTS ${table} (id TEXT PRIMARY KEY, position TEXT NOT NULL, document TEXT NOT NULL${columns.join('')})`,
      ...indexes.map(
        ({ name, fields: of }) =>
          `CREATE INDEX IF NOT EXISTS ${quoted(`${PREFIX}${collection}/${name}`)} ON ${table} (${of.map(columnNameOf).join(', ')}, id)`,
      ),
      // What is left of a collection whose record somebody has removed is no build.
      `DELETE FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM ${table} WHERE id = '')`,
    ];
    await this.database.write([
      ...statements.map((sql): Step => ({ kind: 'run', sql })),
      {
        kind: 'run',
        sql: `INSERT INTO ${table} (id, position, document) VALUES ('', ?, ?) ON CONFLICT (id) DO NOTHING`,
        params: [checkpoint, JSON.stringify({ build: record })],
      },
    ]);
    this.fields.delete(collection);
  }

  async builds(view?: string): Promise<Build[]> {
    return this.database.snapshot(() =>
      this.database
        .prepare<{ name: string }>(
          `SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '${PREFIX}*.*' ORDER BY name`,
        )
        .all()
        .flatMap(({ name }) => {
          const record = this.database
            .prepare<BuildRow>(`SELECT position, document FROM ${quoted(name)} WHERE id = ''`)
            .get();
          return record ? [buildOf(name.slice(PREFIX.length), record)] : [];
        })
        .filter((build) => view === undefined || build.view === view),
    );
  }

  async dropBuild(collection: CollectionName): Promise<void> {
    await this.database.write([{ kind: 'run', sql: `DROP TABLE IF EXISTS ${tableOf(collection)}` }]);
    this.fields.delete(collection);
  }

  async claim(collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Promise<Build | null> {
    const sql =
      `UPDATE ${tableOf(collection)} SET document = json_set(document, '$.build.owner', ?, '$.build.beat', ${BEAT} + 1) ` +
      `WHERE id = '' AND ${OWNER} = ? AND ${BEAT} = ? RETURNING position, document`;
    const results = await whereThereSoon(
      this.database.write([{ kind: 'all', sql, params: [owner, seen.owner, seen.beat] }]),
    );
    const row = results === GONE ? undefined : (results[0]?.rows[0] as unknown as BuildRow | undefined);
    return row ? buildOf(collection, row) : null;
  }

  async advance(collection: CollectionName, owner: string, from: Position, to: Position): Promise<boolean> {
    const sql =
      `UPDATE ${tableOf(collection)} SET position = ?, document = json_set(document, '$.build.beat', ${BEAT} + 1) ` +
      `WHERE id = '' AND position = ? AND ${OWNER} = ?`;
    const results = await whereThereSoon(this.database.write([{ kind: 'run', sql, params: [to, from, owner] }]));
    return results !== GONE && results[0]?.changes === 1;
  }

  // ── Pointers ───────────────────────────────────────────────────────────────────────────────────────────────────

  async pointer(view: string): Promise<Pointer | null> {
    const row = this.database
      .prepare<{ version: number; collection: string; previous: string | null; revision: number }>(
        'SELECT version, collection, previous, revision FROM view_pointers WHERE view = ?',
      )
      .get([view]);
    if (!row) return null;
    const { previous, ...rest } = row;
    return { view, ...rest, ...(previous === null ? {} : { previous }) };
  }

  async switchPointer({ view, version, collection, previous, revision }: Pointer): Promise<boolean> {
    const sql = `
      INSERT INTO view_pointers (view, version, collection, previous, revision) SELECT ?1, ?2, ?3, ?4, ?5
      WHERE coalesce((SELECT revision FROM view_pointers WHERE view = ?1), 0) = ?5 - 1
      ON CONFLICT (view) DO UPDATE SET version = excluded.version, collection = excluded.collection,
        previous = excluded.previous, revision = excluded.revision`;
    const params = [view, version, collection, previous ?? null, revision];
    const [result] = await this.database.write([{ kind: 'run', sql, params }]);
    return result?.changes === 1;
  }

  // ── Waiting ────────────────────────────────────────────────────────────────────────────────────────────────────

  async reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    const checkpoint = this.checkpoint(collection);
    if (checkpoint === null) return false;
    if (checkpoint >= position) return true;
    if (timeoutMs <= 0) return false;
    const waiters = this.waiters.get(collection) ?? new Set();
    this.waiters.set(collection, waiters);
    this.unwatch ??= this.database.watch(() => this.wake());
    let waiter: Waiter | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<boolean>((settle, fail) => {
        timer = setTimeout(() => settle(false), timeoutMs);
        waiters.add((waiter = { position, settle, fail }));
      });
    } finally {
      clearTimeout(timer);
      if (waiter) waiters.delete(waiter);
      if (waiters.size === 0 && this.waiters.get(collection) === waiters) this.waiters.delete(collection);
      if (this.waiters.size === 0) this.stopWatching();
    }
  }

  private wake(): void {
    for (const [collection, waiters] of this.waiters)
      try {
        const checkpoint = this.checkpoint(collection);
        for (const { position, settle } of waiters)
          if (checkpoint === null) settle(false);
          else if (checkpoint >= position) settle(true);
      } catch (error) {
        for (const { fail } of waiters) fail(error);
      }
  }

  private stopWatching(): void {
    this.unwatch?.();
    this.unwatch = undefined;
  }

  /** Answers who still waits that the store is away. Before the database is closed. */
  async close(): Promise<void> {
    for (const waiters of this.waiters.values())
      for (const { fail } of waiters) fail(new EngineUnavailable('embedded store'));
    this.stopWatching();
    await this.queries.close();
  }

  // ── Inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

  private checkpoint(collection: CollectionName): Position | null {
    const row = whereThere(() => this.readStatement(collection, 0).get());
    return row === GONE ? null : (row?.checkpoint ?? null);
  }

  /** The first column of the rows of a collection that is still there when they have been read. */
  private async ask(collection: CollectionName, sql: string, params: readonly SqlValue[]): Promise<unknown[]> {
    const values = await whereThereSoon(this.queries.column(sql, params));
    if (values === GONE || this.checkpoint(collection) === null) throw gone(this.fields, collection);
    return values;
  }

  /** Checks fields against those that the collection has columns for. */
  private columnOf(collection: CollectionName): ColumnOf {
    return (field) => {
      if (field === '_id') return 'id';
      if (!this.fields.get(collection)?.has(field)) this.fields.set(collection, this.declaredFields(collection));
      if (!this.fields.get(collection)?.has(field))
        throw invalid(field, 'Nothing can be searched or sorted by this field.');
      return columnNameOf(field);
    };
  }

  private declaredFields(collection: CollectionName): ReadonlySet<string> {
    const columns = this.database
      .prepare<{ name: string }>('SELECT name FROM pragma_table_xinfo(?)')
      .all([PREFIX + collection]);
    if (columns.length === 0) throw gone(this.fields, collection);
    return new Set(
      columns
        .map(({ name }) => name)
        .filter((name) => name.startsWith(FIELD_PREFIX))
        .map((name) => name.slice(FIELD_PREFIX.length)),
    );
  }
}

interface BuildRow {
  readonly position: string;
  readonly document: string;
}

const buildOf = (collection: CollectionName, { position, document }: BuildRow): Build => ({
  ...parsed<{ build: Omit<Build, 'collection' | 'checkpoint'> }>(document).build,
  collection,
  checkpoint: position,
});

const quoted = (name: string): string => `"${name}"`;

const tableOf = (collection: CollectionName): string => {
  if (!COLLECTION_NAME.test(collection)) throw invalid('collection', 'Must be the name of a collection.');
  return quoted(PREFIX + collection);
};

const checkedField = (field: string): string => {
  if (!FIELD.test(field)) throw invalid('field', 'Must be the name of a field.');
  return field;
};

const columnNameOf = (field: string): string => (field === '_id' ? 'id' : quoted(FIELD_PREFIX + checkedField(field)));

const pathOf = (field: string): string =>
  `$${checkedField(field)
    .split('.')
    .map((part) => `."${part}"`)
    .join('')}`;

/** Numbers go as JSON text, because the driver binds every number as a REAL. */
const accumulationStep = (table: string, { _id, add, set }: Accumulation): Step => {
  if (_id === '') throw invalid('_id', 'A document needs an id.');
  const changes: string[] = [];
  const params: SqlValue[] = [_id, JSON.stringify({ _id, position: START, ...add, ...set })];
  for (const [field, amount] of Object.entries(add)) {
    const path = pathOf(field);
    changes.push(`?, coalesce(json_extract(document, ?), 0) + json_extract(?, '$')`);
    params.push(path, path, JSON.stringify(amount));
  }
  for (const [field, value] of Object.entries(set)) {
    changes.push('?, json(?)');
    params.push(pathOf(field), JSON.stringify(value));
  }
  const update = changes.length === 0 ? 'NOTHING' : `UPDATE SET document = json_set(document, ${changes.join(', ')})`;
  return {
    kind: 'run',
    sql: `INSERT INTO ${table} (id, position, document) VALUES (?, '', ?) ON CONFLICT (id) DO ${update}`,
    params,
  };
};

/** A document that cannot be read is trouble of the store, not of the question. */
const parsed = <T>(text: string): T => {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new EngineUnavailable('embedded store', { cause: error });
  }
};

// ── A collection that somebody has dropped ─────────────────────────────────────────────────────────────────────────

const GONE = Symbol('gone');

const isGone = (error: unknown): boolean => /no such (table|column)/.test((error as Error).message);

const whereThere = <T>(work: () => T): T | typeof GONE => {
  try {
    return work();
  } catch (error) {
    if (isGone(error)) return GONE;
    throw error;
  }
};

const whereThereSoon = async <T>(work: Promise<T>): Promise<T | typeof GONE> => {
  try {
    return await work;
  } catch (error) {
    if (isGone(error)) return GONE;
    throw error;
  }
};

const gone = (fields: Map<CollectionName, unknown>, collection: CollectionName): EngineUnavailable => {
  fields.delete(collection);
  return new EngineUnavailable('view collection');
};
