import type { CollectionName, Position, ViewIndex } from '@rekey/ports';
import { indexStep, type Plan, planOf, planStep, recordSql } from './sqlite-collection';
import type { SqliteDatabase } from './sqlite-database';

/** Nothing is left to be made. */
const DONE: Plan = { target: '', indexes: [] };

/**
 * Makes the indexes of a build when it has all its documents, by sorting, and not entry by entry while they come in: at
 * seven indexes the latter is most of the work. Before that, a question that an index would serve makes that one. The
 * build's own record says which are still to be made, so nothing is forgotten when the process ends meanwhile.
 */
export class LateIndexes {
  private readonly plans = new Map<CollectionName, Plan>();

  constructor(private readonly database: SqliteDatabase) {}

  /** The collection was made or dropped. */
  forget(collection: CollectionName): void {
    this.plans.delete(collection);
  }

  /** Before a question that names these fields: makes what it can use. */
  async makeFor(collection: CollectionName, fields: ReadonlySet<string>): Promise<void> {
    const { indexes } = this.planOf(collection);
    for (const index of indexes) if (fields.has(index.fields[0] ?? '')) await this.make(collection, index);
  }

  /** Before a checkpoint is stored: where the build is whole by then, makes all that is left. */
  async makeBefore(collection: CollectionName, checkpoint: Position): Promise<void> {
    const { target, indexes } = this.planOf(collection);
    if (checkpoint < target) return;
    // One at a time, so that other writes get in between.
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
