import type { FeedEvent, ViewName } from '@rekey/contracts';
import type { Filter, Query, ViewDocument, ViewIndex } from '@rekey/ports';

/** A document without its `position`, which the fold sets. */
export type Body<D extends ViewDocument> = D extends unknown ? Omit<D, 'position'> : never;

/** The documents that an event changes: the one with an id, every existing one of an application, or none. */
export type Concern = string | { readonly applicationId: string } | undefined;

/**
 * A view: documents that are a pure function of the events. Increase `version` with every change of what readers see in
 * them: projectors then rebuild the view.
 */
export interface View<D extends ViewDocument = ViewDocument> {
  readonly name: ViewName;
  readonly version: number;
  readonly indexes: readonly ViewIndex[];
  /** Prefix of the streams that the view is built from. */
  readonly streams: '' | 'application-' | 'domain-';

  concerns(event: FeedEvent): Concern;

  /**
   * Returns the document after an event that concerns it: the same object if nothing changes, null if there is no document.
   * Depends on nothing but its arguments, so that documents can be folded independently.
   */
  evolve(document: D | null, event: FeedEvent): Body<D> | null;

  /**
   * Set if each stream has one document: returns it as it is before the stream's first event. Its position is that of the
   * stream's last event, even if that changed nothing, and it is marked `broken` while the stream is parked.
   */
  ofStream?(stream: string): Body<D>;
}

/** Reads one view. `ActiveView` implements it. */
export interface ViewReader {
  /** Returns documents in the order of the ids; null for an id without one. */
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
  find<D extends ViewDocument>(query: Query): Promise<readonly D[]>;
  count(filter?: Filter): Promise<number>;
}
