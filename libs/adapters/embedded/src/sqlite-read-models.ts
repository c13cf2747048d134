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
import { CheckpointWaiters } from './checkpoint-waiters';
import { DocumentReads } from './document-reads';
import { DocumentSearch } from './document-search';
import { LateIndexes } from './late-indexes';
import { GONE, orGoneAsync } from './or-gone';
import { SnapshotCache } from './snapshot-cache';
import {
  accumulateStep,
  advanceStep,
  buildOf,
  type BuildRow,
  claimStep,
  COLLECTIONS_SQL,
  createSteps,
  dropStep,
  putSteps,
  recordSql,
} from './sqlite-collection';
import type { SqliteDatabase } from './sqlite-database';
import type { Step, StepResult } from './sqlite-statement';
import { STORE_FILE } from './store-file';
import { POINTERS_SCHEMA, readPointer, switchPointer } from './view-pointers';
import { TurnState, WalIndex } from './wal-index';

export interface SqliteReadModelsOptions {
  /**
   * True if this is the only process that acknowledges commands on the file, which the folder lock ensures. Reads of the
   * same turn of the event loop then check only once whether the store has changed. Default false.
   */
  readonly alone?: boolean;
}

/**
 * Read models in the embedded store. A read by id is one statement on the event loop's own connection, cached until the
 * next commit. Searches and counts, which may take long, run in a worker thread.
 */
export class SqliteReadModels extends ReadModels {
  private readonly cache: SnapshotCache;
  private readonly index: WalIndex;
  private readonly turn: TurnState | undefined;
  private readonly unwatchTurn: (() => void) | undefined;
  private readonly documents: DocumentReads;
  private readonly indexes: LateIndexes;
  private readonly search: DocumentSearch;
  private readonly waiters: CheckpointWaiters;

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
    this.documents = new DocumentReads(database);
    this.indexes = new LateIndexes(database);
    this.search = new DocumentSearch(database, this.indexes, (collection) => this.checkpoint(collection));
    this.waiters = new CheckpointWaiters(database, (collection) => this.checkpoint(collection));
  }

  /** Creates missing tables. The caller closes the database, after the read models. */
  static async open(database: SqliteDatabase, options: SqliteReadModelsOptions = {}): Promise<SqliteReadModels> {
    await database.migrate('read-models', POINTERS_SCHEMA);
    return new SqliteReadModels(database, options);
  }

  // ── Documents ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The returned documents are shared with the cache and must not be changed. */
  async read<D extends ViewDocument>(collection: CollectionName, ids: readonly string[]): Promise<Snapshot<D>> {
    const known = this.cache.get(collection, ids);
    if (known) return known as Snapshot<D>;
    const read = this.documents.read<D>(collection, ids);
    this.cache.keep(collection, read);
    return read;
  }

  find<D extends ViewDocument>(collection: CollectionName, query: Query): Promise<D[]> {
    return this.search.find(collection, query);
  }

  count(collection: CollectionName, filter: Filter = { and: [] }): Promise<number> {
    return this.search.count(collection, filter);
  }

  async put(collection: CollectionName, documents: readonly ViewDocument[]): Promise<void> {
    if (documents.length === 0) return;
    // If the collection is gone, the next `advance` returns false.
    await this.write(putSteps(collection, documents));
  }

  async accumulate(collection: CollectionName, changes: readonly Accumulation[]): Promise<void> {
    if (changes.length === 0) return;
    const results = await this.write(changes.map((change) => accumulateStep(collection, change)));
    if (results === GONE) throw new EngineUnavailable(`view collection ${collection}`);
  }

  // ── Builds ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async createBuild(build: Build, indexes: readonly ViewIndex[]): Promise<void> {
    await this.database.write(createSteps(build, indexes));
    this.search.forget(build.collection);
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
    this.search.forget(collection);
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
    if ((await orGoneAsync(this.indexes.makeBefore(collection, to))) === GONE) return false;
    const steps = [...putSteps(collection, changes?.documents ?? []), advanceStep(collection, owner, from, to)];
    const results = await this.write(steps);
    return results !== GONE && results.at(-1)?.changes === 1;
  }

  // ── Pointers ───────────────────────────────────────────────────────────────────────────────────────────────────

  async pointer(view: string): Promise<Pointer | null> {
    return readPointer(this.database, view);
  }

  switchPointer(pointer: Pointer): Promise<boolean> {
    return switchPointer(this.database, pointer);
  }

  // ── Waiting ────────────────────────────────────────────────────────────────────────────────────────────────────

  reached(collection: CollectionName, position: Position, timeoutMs: number): Promise<boolean> {
    return this.waiters.reached(collection, position, timeoutMs);
  }

  /** Reads past the cache: a caller who learns of a checkpoint may read at once and must see at least that state. */
  private checkpoint(collection: CollectionName): Position | null {
    this.turn?.forget();
    return this.documents.checkpoint(collection);
  }

  /** Rejects waiting calls with `EngineUnavailable`. Call it before the database is closed. */
  async close(): Promise<void> {
    this.waiters.close();
    this.unwatchTurn?.();
    this.index.close();
    await this.search.close();
  }

  private write(steps: readonly Step[]): Promise<StepResult[] | typeof GONE> {
    return orGoneAsync(this.database.write(steps));
  }
}
