import { invalid } from '@rekey/domain';
import {
  type Accumulation,
  type Build,
  type Changes,
  type CollectionName,
  EngineUnavailable,
  type Filter,
  type Pointer,
  type Position,
  type Query,
  ReadModels,
  type Snapshot,
  type ViewDocument,
  type ViewIndex,
} from '@rekey/ports';
import path from 'node:path';
import { LateIndexes } from './late-indexes';
import { SnapshotCache } from './snapshot-cache';
import { TurnState, WalIndex } from './wal-index';
import {
  accumulateStep,
  advanceStep,
  buildOf,
  type BuildRow,
  claimStep,
  COLLECTIONS_SQL,
  columnNameOf,
  COLUMNS_SQL,
  createSteps,
  dropStep,
  fieldsOf,
  parsed,
  putSteps,
  recordSql,
  tableNameOf,
  tableOf,
} from './sqlite-collection';
import {
  STORE_FILE,
  type Query as Statement,
  type SqliteDatabase,
  type SqlValue,
  type Step,
  type StepResult,
} from './sqlite-database';
import { conditionOf, type ColumnOf, pageOf } from './sqlite-query';
import { SqliteQueryThread } from './sqlite-query-thread';

const SCHEMA = [
  [
    `CREATE TABLE view_pointers (
       view TEXT PRIMARY KEY, version INTEGER NOT NULL, collection TEXT NOT NULL, previous TEXT, revision INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
  ],
];

/** Up to so many ids have a statement of their own; more are bound as one list. */
const IDS_IN_TEXT = 4;

interface Waiter {
  readonly position: Position;
  readonly settle: (reached: boolean) => void;
  readonly fail: (error: unknown) => void;
}

export interface SqliteReadModelsOptions {
  /**
   * No other process acknowledges commands on this file, as where the folder is locked: then reads of one turn of the
   * event loop share one look at whether something was written. Default false.
   */
  readonly alone?: boolean;
}

/**
 * Read models in the embedded store. Reads by id are one statement on the event loop's own connection, remembered while
 * nothing is written; searches and counts, which may take long, run in a thread of their own.
 */
export class SqliteReadModels extends ReadModels {
  private readonly reads = new Map<string, Statement<Record<string, string | null>>>();
  private readonly fields = new Map<CollectionName, ReadonlySet<string>>();
  private readonly waiters = new Map<CollectionName, Set<Waiter>>();
  private readonly cache: SnapshotCache;
  private readonly index: WalIndex;
  private readonly turn: TurnState | undefined;
  private readonly unwatchTurn: (() => void) | undefined;
  private readonly queries: SqliteQueryThread;
  private readonly indexes: LateIndexes;
  private unwatch: (() => void) | undefined;

  private constructor(
    private readonly database: SqliteDatabase,
    { alone = false }: SqliteReadModelsOptions,
  ) {
    super();
    this.index = new WalIndex(path.join(database.folder, STORE_FILE));
    const turn = (this.turn = alone ? new TurnState(this.index) : undefined);
    this.unwatchTurn = turn && database.watch(() => turn.forget());
    const state = turn ?? this.index;
    this.cache = new SnapshotCache(() => state.current());
    this.queries = new SqliteQueryThread(database.folder);
    this.indexes = new LateIndexes(database);
  }

  /** Makes its tables where they are missing. The database stays the caller's to close. */
  static async open(database: SqliteDatabase, options: SqliteReadModelsOptions = {}): Promise<SqliteReadModels> {
    await database.migrate('read-models', SCHEMA);
    return new SqliteReadModels(database, options);
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
    // Under the empty id lies the record of the build, which is no document.
    const documents = texts.map((text, index) => (text == null || ids[index] === '' ? null : parsed<D>(text)));
    return { documents, checkpoint: row.checkpoint };
  }

  private readStatement(
    collection: CollectionName,
    count: number | undefined,
  ): Statement<Record<string, string | null>> {
    const key = `${collection} ${count ?? 'list'}`;
    const known = this.reads.get(key);
    if (known) return known;
    const table = tableOf(collection);
    const list = `SELECT document FROM json_each(?) AS asked LEFT JOIN ${table} AS stored ON stored.id = asked.value ORDER BY asked.key`;
    const documents =
      count === undefined
        ? [`(SELECT json_group_array(document) FROM (${list})) AS list`]
        : Array.from({ length: count }, (_, index) => `(SELECT document FROM ${table} WHERE id = ?) AS d${index}`);
    const sql = `SELECT ${[`(SELECT position FROM ${table} WHERE id = '') AS checkpoint`, ...documents].join(', ')}`;
    const statement = this.database.prepare<Record<string, string | null>>(sql);
    this.reads.set(key, statement);
    return statement;
  }

  async find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]> {
    const used = new Set<string>();
    const { text, params } = pageOf(tableOf(collection), query, this.columnOf(collection, used));
    return (await this.ask(collection, text, params, used)).map((document) => parsed<D>(document as string));
  }

  async count(collection: CollectionName, filter: Filter = { and: [] }): Promise<number> {
    const used = new Set<string>();
    const { text, params } = conditionOf(filter, this.columnOf(collection, used));
    const sql = `SELECT count(*) FROM ${tableOf(collection)} WHERE id <> '' AND ${text}`;
    return (await this.ask(collection, sql, params, used))[0] as number;
  }

  async put(collection: CollectionName, documents: readonly ViewDocument[]): Promise<void> {
    if (documents.length === 0) return;
    // Where the collection is gone there is nothing to do: `advance` will say so.
    await this.write(putSteps(collection, documents));
  }

  async accumulate(collection: CollectionName, changes: readonly Accumulation[]): Promise<void> {
    if (changes.length === 0) return;
    const results = await this.write(changes.map((change) => accumulateStep(collection, change)));
    if (results === GONE) throw new EngineUnavailable('view collection');
  }

  // ── Builds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async createBuild(build: Build, indexes: readonly ViewIndex[]): Promise<void> {
    await this.database.write(createSteps(build, indexes));
    this.forget(build.collection);
  }

  async builds(view?: string): Promise<Build[]> {
    this.turn?.forget();
    const collections = this.database.prepare<{ collection: string }>(COLLECTIONS_SQL);
    return this.database.snapshot(() =>
      collections.all().flatMap(({ collection }) => {
        const record = this.database.prepare<BuildRow>(recordSql(collection)).get();
        const build = record && buildOf(collection, record);
        return build && (view === undefined || build.view === view) ? [build] : [];
      }),
    );
  }

  async dropBuild(collection: CollectionName): Promise<void> {
    await this.database.write([dropStep(collection)]);
    this.forget(collection);
  }

  async claim(collection: CollectionName, owner: string, seen: Pick<Build, 'owner' | 'beat'>): Promise<Build | null> {
    const results = await this.write([claimStep(collection, owner, seen)]);
    const row = results === GONE ? undefined : (results[0]?.rows[0] as unknown as BuildRow | undefined);
    return row ? buildOf(collection, row) : null;
  }

  async advance(
    collection: CollectionName,
    owner: string,
    from: Position,
    to: Position,
    changes?: Changes,
  ): Promise<boolean> {
    if ((await whereThereSoon(this.indexes.makeBefore(collection, to))) === GONE) return false;
    const steps = [...putSteps(collection, changes?.documents ?? []), advanceStep(collection, owner, from, to)];
    const results = await this.write(steps);
    return results !== GONE && results.at(-1)?.changes === 1;
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
    this.unwatchTurn?.();
    this.index.close();
    await this.queries.close();
  }

  // ── Inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Read past the cache: whoever is told may read at once, and must find it so. */
  private checkpoint(collection: CollectionName): Position | null {
    this.turn?.forget();
    const row = whereThere(() => this.readStatement(collection, 0).get());
    return row === GONE ? null : (row?.checkpoint ?? null);
  }

  /** The first column of the rows of a collection that is still there when they have been read. */
  private async ask(
    collection: CollectionName,
    sql: string,
    params: readonly SqlValue[],
    fields: ReadonlySet<string>,
  ): Promise<unknown[]> {
    const asked = this.indexes.makeFor(collection, fields).then(() => this.queries.column(sql, params));
    const values = await whereThereSoon(asked);
    if (values === GONE || this.checkpoint(collection) === null) throw this.gone(collection);
    return values;
  }

  /** Checks fields against those that the collection has columns for, and notes them. */
  private columnOf(collection: CollectionName, used: Set<string>): ColumnOf {
    return (field) => {
      used.add(field);
      if (field === '_id') return 'id';
      if (!this.fields.get(collection)?.has(field)) this.fields.set(collection, this.declaredFields(collection));
      if (!this.fields.get(collection)?.has(field))
        throw invalid(field, 'Nothing can be searched or sorted by this field.');
      return columnNameOf(field);
    };
  }

  private declaredFields(collection: CollectionName): ReadonlySet<string> {
    const columns = this.database.prepare<{ name: string }>(COLUMNS_SQL).all([tableNameOf(collection)]);
    if (columns.length === 0) throw this.gone(collection);
    return fieldsOf(columns);
  }

  private gone(collection: CollectionName): EngineUnavailable {
    this.forget(collection);
    return new EngineUnavailable('view collection');
  }

  private forget(collection: CollectionName): void {
    this.fields.delete(collection);
    this.indexes.forget(collection);
  }

  private write(steps: readonly Step[]): Promise<StepResult[] | typeof GONE> {
    return whereThereSoon(this.database.write(steps));
  }
}

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
