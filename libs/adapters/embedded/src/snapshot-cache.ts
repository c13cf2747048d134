import type { CollectionName, Position, Snapshot, ViewDocument } from '@rekey/ports';

/** Maximum number of documents per collection; the oldest are removed. */
const DOCUMENTS_KEPT = 10_000;

interface Kept {
  readonly checkpoint: Position;
  readonly documents: Map<string, ViewDocument>;
}

/**
 * Caches documents until the next commit to the store by any process. Every `get` compares the version of the state that a
 * read would see now (`WalIndex`) and clears the cache if it has changed. That costs a tenth of a read.
 *
 * A cached document may be newer than the version it is cached under, if a commit came in between, but never older. The
 * version has then changed at the next `get`, so no result mixes two states or is older than the call.
 */
export class SnapshotCache {
  private readonly collections = new Map<CollectionName, Kept>();
  private version = -1;

  constructor(private readonly currentVersion: () => number) {}

  /** Returns the current documents with their checkpoint; undefined if one of them is not cached. */
  get(collection: CollectionName, ids: readonly string[]): Snapshot<ViewDocument> | undefined {
    const kept = this.collections.get(collection);
    if (!kept) return undefined;
    const documents: ViewDocument[] = [];
    for (const id of ids) {
      const document = kept.documents.get(id);
      if (!document) return undefined;
      documents.push(document);
    }
    const version = this.currentVersion();
    if (version === this.version) return { documents, checkpoint: kept.checkpoint };
    this.collections.clear();
    this.version = version;
    return undefined;
  }

  /** Caches what was just read. */
  keep(collection: CollectionName, { documents, checkpoint }: Snapshot<ViewDocument>): void {
    if (checkpoint === null) return;
    let kept = this.collections.get(collection);
    if (kept?.checkpoint !== checkpoint)
      this.collections.set(collection, (kept = { checkpoint, documents: new Map() }));
    for (const document of documents) {
      if (!document) continue;
      kept.documents.set(document._id, document);
      if (kept.documents.size > DOCUMENTS_KEPT) kept.documents.delete(kept.documents.keys().next().value as string);
    }
  }
}
