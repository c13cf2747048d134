import type { CollectionName, Position, Snapshot, ViewDocument } from '@rekey/ports';

/** Documents kept a collection; the oldest make room. */
const DOCUMENTS_KEPT = 10_000;

interface Kept {
  readonly checkpoint: Position;
  readonly documents: Map<string, ViewDocument>;
}

/**
 * Remembers what was read, for exactly as long as nobody has committed anything to the store: before it answers, it
 * asks for the number of the state that a read would see now (`WalIndex`), and forgets all where that has changed.
 * Asking costs a tenth of the reading that it spares.
 *
 * What is kept may be newer than the number it is kept under (a commit fell between), never older; then the number has
 * changed at the next question, so no answer mixes two states or is older than the question.
 */
export class SnapshotCache {
  private readonly collections = new Map<CollectionName, Kept>();
  private version = -1;

  constructor(private readonly currentVersion: () => number) {}

  /** The documents with their checkpoint, as of now; undefined where one of them must be read. */
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

  /** Keeps what was just read. */
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
