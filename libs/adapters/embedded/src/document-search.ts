import { invalid } from '@rekey/domain';
import {
  type CollectionName,
  EngineUnavailable,
  type Filter,
  type Position,
  type Query,
  type ViewDocument,
} from '@rekey/ports';
import type { LateIndexes } from './late-indexes';
import { GONE, orGoneAsync } from './or-gone';
import { columnNameOf, COLUMNS_SQL, fieldsOf, parsed, tableNameOf, tableOf } from './sqlite-collection';
import type { SqliteDatabase } from './sqlite-database';
import { type ColumnOf, conditionOf, pageSql, type Sql } from './sqlite-query';
import { SqliteQueryThread } from './sqlite-query-thread';

/** Searches and counts documents in a worker thread. Both throw `EngineUnavailable` if the collection is gone. */
export class DocumentSearch {
  private readonly fields = new Map<CollectionName, ReadonlySet<string>>();
  private readonly queries: SqliteQueryThread;

  /** `checkpoint` returns the current checkpoint, null if the build is gone. */
  constructor(
    private readonly database: SqliteDatabase,
    private readonly indexes: LateIndexes,
    private readonly checkpoint: (collection: CollectionName) => Position | null,
  ) {
    this.queries = new SqliteQueryThread(database.folder);
  }

  /** See `ReadModels.find`. */
  async find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]> {
    const used = new Set<string>();
    const sql = pageSql(tableOf(collection), query, this.columnOf(collection, used));
    return (await this.firstColumn(collection, sql, used)).map((document) => parsed<D>(document as string));
  }

  /** See `ReadModels.count`. */
  async count(collection: CollectionName, filter: Filter): Promise<number> {
    const used = new Set<string>();
    const { text, params } = conditionOf(filter, this.columnOf(collection, used));
    const sql = { text: `SELECT count(*) FROM ${tableOf(collection)} WHERE id <> '' AND ${text}`, params };
    return (await this.firstColumn(collection, sql, used))[0] as number;
  }

  /** Forgets the fields of a collection that was created or dropped. */
  forget(collection: CollectionName): void {
    this.fields.delete(collection);
    this.indexes.forget(collection);
  }

  /** Finishes pending queries and ends the thread. */
  close(): Promise<void> {
    return this.queries.close();
  }

  private async firstColumn(
    collection: CollectionName,
    { text, params }: Sql,
    fields: ReadonlySet<string>,
  ): Promise<unknown[]> {
    const query = this.indexes.makeFor(collection, fields).then(() => this.queries.column(text, params));
    const values = await orGoneAsync(query);
    // Checked after the query: rows read while the collection was being dropped would be incomplete.
    if (values === GONE || this.checkpoint(collection) === null) throw this.gone(collection);
    return values;
  }

  /** Maps fields to columns, adding each to `used`. Throws `invalid_request` for a field that is not indexed. */
  private columnOf(collection: CollectionName, used: Set<string>): ColumnOf {
    return (field) => {
      used.add(field);
      if (field === '_id') return 'id';
      if (!this.fields.get(collection)?.has(field)) this.fields.set(collection, this.declaredFields(collection));
      if (!this.fields.get(collection)?.has(field))
        throw invalid(field, 'This field cannot be searched or sorted by: it is in no index of the view.');
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
    return new EngineUnavailable(`view collection ${collection}`);
  }
}
