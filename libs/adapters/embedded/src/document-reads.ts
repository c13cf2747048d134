import type { CollectionName, Position, Snapshot, ViewDocument } from '@rekey/ports';
import { GONE, orGone } from './or-gone';
import { parsed, tableOf } from './sqlite-collection';
import type { SqliteDatabase } from './sqlite-database';
import type { Statement } from './sqlite-statement';

/** Up to this many ids have a statement of their own; longer lists are bound as one JSON array. */
const IDS_IN_TEXT = 4;

type SnapshotRow = Record<string, string | null>;

/** Reads documents by id, with the checkpoint of their collection, in one statement and so of one state of the store. */
export class DocumentReads {
  private readonly statements = new Map<string, Statement<SnapshotRow>>();

  constructor(private readonly database: SqliteDatabase) {}

  /** Returns one document or null per id. The checkpoint is null, and so are the documents, if the build is gone. */
  read<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Snapshot<D> {
    const few = ids.length <= IDS_IN_TEXT;
    const statement = this.statement(collection, few ? ids.length : undefined);
    const row = orGone(() => statement.get(few ? ids : [JSON.stringify(ids)]));
    if (row === GONE || row?.checkpoint == null) return { documents: ids.map(() => null), checkpoint: null };
    const texts = few ? ids.map((_, index) => row[`d${index}`]) : (JSON.parse(row.list as string) as (string | null)[]);
    // The empty id is that of the build record, which is not a document.
    const documents = texts.map((text, index) => (text == null || ids[index] === '' ? null : parsed<D>(text)));
    return { documents, checkpoint: row.checkpoint };
  }

  /** Returns the collection's checkpoint; null if the build is gone. */
  checkpoint(collection: CollectionName): Position | null {
    const row = orGone(() => this.statement(collection, 0).get());
    return row === GONE ? null : (row?.checkpoint ?? null);
  }

  private statement(collection: CollectionName, count: number | undefined): Statement<SnapshotRow> {
    const key = `${collection} ${count ?? 'list'}`;
    const known = this.statements.get(key);
    if (known) return known;
    const table = tableOf(collection);
    const list =
      'SELECT document FROM json_each(?) AS wanted ' +
      `LEFT JOIN ${table} AS stored ON stored.id = wanted.value ORDER BY wanted.key`;
    const documents =
      count === undefined
        ? [`(SELECT json_group_array(document) FROM (${list})) AS list`]
        : Array.from({ length: count }, (_, index) => `(SELECT document FROM ${table} WHERE id = ?) AS d${index}`);
    const sql = `SELECT ${[`(SELECT position FROM ${table} WHERE id = '') AS checkpoint`, ...documents].join(', ')}`;
    const statement = this.database.prepare<SnapshotRow>(sql);
    this.statements.set(key, statement);
    return statement;
  }
}
