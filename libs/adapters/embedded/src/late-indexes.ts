import type { CollectionName, Position, ViewIndex } from '@rekey/ports';
import { indexStep, type Plan, planOf, planStep, recordSql } from './sqlite-collection';
import type { SqliteDatabase } from './sqlite-database';

/** All indexes exist. */
const DONE: Plan = { target: '', indexes: [] };

/**
 * Creates the indexes of a build once it has all its documents. Sorting then is much cheaper than updating seven indexes
 * per document, which would be most of the work. A query that needs an index earlier creates it. The build record lists
 * the missing indexes, so a restart continues.
 */
export class LateIndexes {
  private readonly plans = new Map<CollectionName, Plan>();

  constructor(private readonly database: SqliteDatabase) {}

  /** Forgets a collection that was created or dropped. */
  forget(collection: CollectionName): void {
    this.plans.delete(collection);
  }

  /** Creates the indexes that a query on these fields can use. */
  async makeFor(collection: CollectionName, fields: ReadonlySet<string>): Promise<void> {
    const { indexes } = this.planOf(collection);
    for (const index of indexes) if (fields.has(index.fields[0] ?? '')) await this.make(collection, index);
  }

  /** Creates all missing indexes if the build is complete at this checkpoint. Called before the checkpoint is stored. */
  async makeBefore(collection: CollectionName, checkpoint: Position): Promise<void> {
    const { target, indexes } = this.planOf(collection);
    if (checkpoint < target) return;
    // One write per index, so that other writes are not blocked for long.
    for (const index of indexes) await this.make(collection, index);
  }

  private planOf(collection: CollectionName): Plan {
    const known = this.plans.get(collection);
    if (known) return known;
    const record = this.database.prepare<{ document: string }>(recordSql(collection)).get();
    if (!record) return DONE;
    const plan = planOf(record.document);
    this.plans.set(collection, plan);
    return plan;
  }

  private async make(collection: CollectionName, index: ViewIndex): Promise<void> {
    const { target, indexes } = this.planOf(collection);
    const left = indexes.filter(({ name }) => name !== index.name);
    await this.database.write([indexStep(collection, index), planStep(collection, left)]);
    this.plans.set(collection, { target, indexes: left });
  }
}
