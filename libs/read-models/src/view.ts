import type { FeedEvent, ViewName } from '@rekey/contracts';
import type { Filter, Position, Query, ViewDocument, ViewIndex } from '@rekey/ports';

/** A document without its guard, which the fold sets. */
export type Body<D extends ViewDocument> = D extends unknown ? Omit<D, 'position'> : never;

/** Which documents an event changes: the one of an id, every one of an application that is there, or none. */
export type Concern = string | { readonly applicationId: string } | undefined;

/** A view: documents that are a pure function of the events. A change of their shape is a new version. */
export interface View<D extends ViewDocument = ViewDocument> {
  readonly name: ViewName;
  readonly version: number;
  readonly indexes: readonly ViewIndex[];

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
  ofStream?(stream: string): Body<D> | undefined;
}

/** The read side of one view, as queries use it. `ActiveView` is one. */
export interface ViewReader {
  /** Documents by id, in the order of the ids; null where there is none. */
  read<D extends ViewDocument>(ids: readonly string[]): Promise<readonly (D | null)[]>;
  find<D extends ViewDocument>(query: Query): Promise<readonly D[]>;
  count(filter?: Filter): Promise<number>;
}

/** Documents by id that a fold begins with; null or missing: not there yet. */
export type Documents<D extends ViewDocument = ViewDocument> = ReadonlyMap<string, D | null>;

/**
 * Folds events, in store order, into documents; answers those that changed. Events at or before a document's guard are
 * in it already, so folding any stretch again changes nothing. An application-wide event reaches the documents that
 * came in and those that were made on the way.
 */
export const foldEvents = <D extends ViewDocument>(
  view: View<D>,
  documents: Documents<D>,
  events: readonly FeedEvent[],
): D[] => {
  const held = new Map<string, D | null>(documents);
  const changed = new Map<string, D>();
  let byApplication: Map<string, Set<string>> | undefined;

  const apply = (id: string, event: FeedEvent): void => {
    const document = held.get(id) ?? null;
    if (document !== null && document.position >= event.position) return;
    const body = view.evolve(document, event);
    if (body === null || (body === document && view.ofStream === undefined)) return;
    const next = { ...body, position: event.position } as unknown as D;
    held.set(id, next);
    changed.set(id, next);
    if (document === null && byApplication) addTo(byApplication, next);
  };

  for (const event of events) {
    const concern = view.concerns(event);
    if (concern === undefined) continue;
    if (typeof concern === 'string') {
      apply(concern, event);
      continue;
    }
    if (!byApplication) {
      byApplication = new Map();
      for (const document of held.values()) if (document) addTo(byApplication, document);
    }
    for (const id of byApplication.get(concern.applicationId) ?? []) apply(id, event);
  }
  return [...changed.values()];
};

const addTo = (byApplication: Map<string, Set<string>>, document: ViewDocument): void => {
  const applicationId = applicationOf(document);
  if (applicationId === undefined) return;
  const ids = byApplication.get(applicationId);
  if (ids) ids.add(document._id);
  else byApplication.set(applicationId, new Set([document._id]));
};

const applicationOf = (document: ViewDocument): string | undefined =>
  'applicationId' in document && typeof document.applicationId === 'string' ? document.applicationId : undefined;

/** What must be read before events can be folded: documents by id, and whole applications. */
export const concernsOf = (
  view: View,
  events: readonly FeedEvent[],
): { readonly ids: Set<string>; readonly applicationIds: Set<string> } => {
  const ids = new Set<string>();
  const applicationIds = new Set<string>();
  for (const event of events) {
    const concern = view.concerns(event);
    if (typeof concern === 'string') ids.add(concern);
    else if (concern) applicationIds.add(concern.applicationId);
  }
  return { ids, applicationIds };
};

/**
 * The guard of a document that is marked broken: just after the last event that is in it, and before every later one,
 * so that the repaired document can be written over it. (`!` sorts before every character that positions have.)
 */
export const afterPosition = (position: Position): Position => `${position}!`;
