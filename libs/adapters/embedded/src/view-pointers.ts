import type { Pointer } from '@rekey/ports';
import type { SqliteDatabase } from './sqlite-database';

export const POINTERS_SCHEMA = [
  [
    `CREATE TABLE view_pointers (
       view TEXT PRIMARY KEY, version INTEGER NOT NULL, collection TEXT NOT NULL, previous TEXT, revision INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
  ],
];

type PointerRow = { version: number; collection: string; previous: string | null; revision: number };

/** See `ReadModels.pointer`. */
export const readPointer = (database: SqliteDatabase, view: string): Pointer | null => {
  const row = database
    .prepare<PointerRow>('SELECT version, collection, previous, revision FROM view_pointers WHERE view = ?')
    .get([view]);
  if (!row) return null;
  const { previous, ...rest } = row;
  return { view, ...rest, ...(previous === null ? {} : { previous }) };
};

/** See `ReadModels.switchPointer`. */
export const switchPointer = async (
  database: SqliteDatabase,
  { view, version, collection, previous, revision }: Pointer,
): Promise<boolean> => {
  const sql = `
    INSERT INTO view_pointers (view, version, collection, previous, revision) SELECT ?1, ?2, ?3, ?4, ?5
    WHERE coalesce((SELECT revision FROM view_pointers WHERE view = ?1), 0) = ?5 - 1
    ON CONFLICT (view) DO UPDATE SET version = excluded.version, collection = excluded.collection,
      previous = excluded.previous, revision = excluded.revision`;
  const params = [view, version, collection, previous ?? null, revision];
  const [result] = await database.write([{ kind: 'run', sql, params }]);
  return result?.changes === 1;
};
