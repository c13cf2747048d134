import type { FeedEvent, ViewName } from '@rekey/contracts';
import type { Filter, Query, ViewDocument, ViewIndex } from '@rekey/ports';

/** A document without its guard, which the fold sets. */
export type Body<D extends ViewDocument> = D extends unknown ? Omit<D, 'position'> : never;

/** Which documents an event changes: the one of an id, every one of an application that is there, or none. */
export type Concern = string | { readonly applicationId: string } | undefined;

/** A view: documents that are a pure function of the events. A change of their shape is a new version. */
export interface View<D extends ViewDocument = ViewDocument> {
  readonly name: ViewName;
  readonly version: number;
  readonly indexes: readonly ViewIndex[];
  /** Beginning of the names of the streams that it is made of. */
  readonly streams: '' | 'application-' | 'domain-';

  concerns(event: FeedEvent): Concern;

  /**
   * The document after an event that concerns it: the very same object where it changes nothing, null where there is
   * nothing to change. It looks at nothing but its arguments, so that documents can be folded apart from each other.
   */
  evolve(document: D | null, event: FeedEvent): Body<D> | null;

  /**
   * Where one document stands for a whole stream: which one, as it is before the stream's first event. Its guard is the
   * stream's last event, whether or not that changed the document, and it is marked `broken` while the stream is parked.
   */
  ofStream?(stream: string): Body<D>;
}

/** The read side of one view, as queries use it. `ActiveView` is one. */
export interface ViewReader {
  /** Documents by id, in the order of the ids; null where there is none. */
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
  find<D extends ViewDocument>(query: Query): Promise<readonly D[]>;
  count(filter?: Filter): Promise<number>;
}
