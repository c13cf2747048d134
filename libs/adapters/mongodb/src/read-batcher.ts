import type { CollectionName } from '@rekey/ports';

/** Maximum number of ids in a shared query; a read of more ids is a query of its own. */
const IDS_MAX = 100;

interface Batch<Result> {
  readonly ids: Set<string>;
  readonly result: Promise<Result>;
  /** Runs the query; no further read can join. */
  readonly send: () => void;
}

/**
 * Combines the reads by id of one turn of the event loop into one query per collection: a query costs client and server
 * several times as much as one more document in it. The query is sent after the last read has joined, so each of them
 * sees everything acknowledged before it. A read that comes while a query is on its way joins the next one. A single
 * read is not delayed: the turn ends as soon as the sockets have been read.
 */
export class ReadBatcher<Result> {
  private readonly open = new Map<CollectionName, Batch<Result>>();

  /** `find` runs a query; if it fails, all reads that share the query fail. */
  constructor(private readonly find: (collection: CollectionName, ids: readonly string[]) => Promise<Result>) {}

  /** Returns the result of a query that includes the ids, and possibly others. */
  read(collection: CollectionName, ids: readonly string[]): Promise<Result> {
    if (ids.length > IDS_MAX) return this.find(collection, ids);
    let batch = this.open.get(collection);
    if (batch && batch.ids.size + ids.length > IDS_MAX) {
      batch.send();
      batch = undefined;
    }
    batch ??= this.begin(collection);
    for (const id of ids) batch.ids.add(id);
    return batch.result;
  }

  private begin(collection: CollectionName): Batch<Result> {
    const ids = new Set<string>();
    let send = (): void => undefined;
    const result = new Promise<Result>((resolve) => {
      send = () => {
        clearImmediate(endOfTurn);
        this.open.delete(collection);
        resolve(this.find(collection, [...ids]));
      };
      const endOfTurn = setImmediate(send);
    });
    const batch = { ids, result, send };
    this.open.set(collection, batch);
    return batch;
  }
}
