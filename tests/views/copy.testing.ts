import type { SqliteDatabase } from '@rekey/adapters/embedded';
import type { ViewName } from '@rekey/contracts';
import { VIEWS } from '@rekey/read-models';

type Step = Parameters<SqliteDatabase['write']>[0][number];
type Row = readonly (string | number | null)[];

const ALL = VIEWS.map(({ name }) => name);
const run = (sql: string, params: Row = []): Step => ({ kind: 'run', sql, params });

/** Tables of all builds of the given views, of any version. */
const tablesOf = (database: SqliteDatabase, views: readonly ViewName[]): string[] =>
  database
    .prepare<{ name: string }>(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'view:*.v*'`)
    .all()
    .map(({ name }) => name)
    .filter((name) => views.some((view) => name.startsWith(`view:${view}.v`)));

const takeAway = (database: SqliteDatabase, views: readonly ViewName[]): Step[] => [
  ...tablesOf(database, views).map((table) => run(`DROP TABLE [${table}]`)),
  ...views.map((view) => run('DELETE FROM view_pointers WHERE view = ?', [view])),
];

/** Deletes views directly in the store, with their documents, checkpoints and pointers. */
export const dropViews = async (database: SqliteDatabase, views: readonly ViewName[] = ALL): Promise<void> => {
  await database.write(takeAway(database, views));
};

/**
 * Copies views in one transaction: documents, checkpoints, leases and pointers. The returned function restores the copy
 * in one transaction, as a restore of the engine's own backup would.
 */
export const copyViews = (database: SqliteDatabase, views: readonly ViewName[] = ALL): (() => Promise<void>) => {
  const steps = database.snapshot(() => [
    ...tablesOf(database, views).flatMap((table) => {
      const made = database.prepare<{ sql: string }>(
        'SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type DESC',
      );
      const rows = database.prepare<{ id: string; position: string; document: string }>(
        `SELECT id, position, document FROM [${table}]`,
      );
      return [
        ...made.all([table]).map(({ sql }) => run(sql)),
        ...rows
          .all()
          .map(({ id, position, document }) =>
            run(`INSERT INTO [${table}] (id, position, document) VALUES (?, ?, ?)`, [id, position, document]),
          ),
      ];
    }),
    ...views.flatMap((view) =>
      database
        .prepare<{ version: number; collection: string; previous: string | null; revision: number }>(
          'SELECT version, collection, previous, revision FROM view_pointers WHERE view = ?',
        )
        .all([view])
        .map(({ version, collection, previous, revision }) =>
          run('INSERT INTO view_pointers (view, version, collection, previous, revision) VALUES (?, ?, ?, ?, ?)', [
            view,
            version,
            collection,
            previous,
            revision,
          ]),
        ),
    ),
  ]);
  return async () => void (await database.write([...takeAway(database, views), ...steps]));
};
