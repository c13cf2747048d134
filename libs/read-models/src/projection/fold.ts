import type { FeedEvent } from '@rekey/contracts';
import type { Position, StoredEvent, ViewDocument } from '@rekey/ports';
import type { DecodedEvent } from './feed';
import type { Body, View } from '../views/view';

/** An event that could not be folded, and why. The cause names fields and error types, never values. */
export interface Failure {
  readonly stored: StoredEvent;
  readonly cause: string;
}

export interface FoldResult<D extends ViewDocument> {
  /** Changed documents, by id. */
  readonly changed: Map<string, D>;
  /** The first event that changed each of them. */
  readonly changedBy: ReadonlyMap<string, StoredEvent>;
  /** The first event that failed, by stream. Later events of that stream are not folded. */
  readonly failures: Map<string, Failure>;
}

/** Returns which documents must be read to fold events: by their ids, and all those of some applications. */
export const concernsOf = (view: View, events: readonly DecodedEvent[]) => {
  const ids = new Set<string>();
  const applicationIds = new Set<string>();
  for (const decoded of events) {
    const concern = 'event' in decoded ? view.concerns(decoded.event) : view.ofStream?.(decoded.stored.stream)._id;
    if (typeof concern === 'string') ids.add(concern);
    else if (concern) applicationIds.add(concern.applicationId);
  }
  return { ids, applicationIds };
};

/**
 * Folds events, in store order, into documents (null or missing: does not exist yet). Skips events at or before a
 * document's `position`, so folding a range again changes nothing. An application-wide event is applied to the given
 * documents of the application and to those created by earlier events. If an event fails, the document of its stream is
 * marked `broken`.
 */
export const foldEvents = <D extends ViewDocument>(
  view: View<D>,
  documents: ReadonlyMap<string, D | null>,
  events: readonly DecodedEvent[],
): FoldResult<D> => {
  const held = new Map<string, D | null>(documents);
  const changed = new Map<string, D>();
  const changedBy = new Map<string, StoredEvent>();
  const failures = new Map<string, Failure>();
  let byApplication: Map<string, Set<string>> | undefined;

  const store = (id: string, next: D, stored: StoredEvent): void => {
    held.set(id, next);
    changed.set(id, next);
    if (!changedBy.has(id)) changedBy.set(id, stored);
  };

  const apply = (id: string, event: FeedEvent, stored: StoredEvent): void => {
    const document = held.get(id) ?? null;
    if (document !== null && document.position >= event.position) return;
    const body = view.evolve(document && withoutMark(document), event);
    if (body === null || (body === document && !view.ofStream)) return;
    const next = { ...body, position: event.position } as unknown as D;
    store(id, next, stored);
    if (document === null && byApplication) addTo(byApplication, next);
  };

  const fold = (event: FeedEvent, stored: StoredEvent): void => {
    const concern = view.concerns(event);
    if (concern === undefined) return;
    if (typeof concern === 'string') return apply(concern, event, stored);
    byApplication ??= groupByApplication(held.values());
    for (const id of byApplication.get(concern.applicationId) ?? []) apply(id, event, stored);
  };

  for (const decoded of events) {
    const { stored } = decoded;
    if (failures.has(stored.stream)) continue;
    try {
      if ('unreadable' in decoded) throw decoded.unreadable;
      fold(decoded.event, stored);
    } catch (error) {
      failures.set(stored.stream, { stored, cause: causeOf(error) });
    }
  }

  for (const [stream, { stored }] of failures) {
    const blank = view.ofStream?.(stream);
    if (!blank) continue;
    const document = held.get(blank._id) ?? null;
    if (document === null || !isBroken(document)) store(blank._id, brokenOf(document ?? blank), stored);
  }
  return { changed, changedBy, failures };
};

/** Returns the document marked as broken: later events of its stream are missing. */
export const brokenOf = <D extends ViewDocument>(document: D | Body<D>): D => {
  const position = afterPosition('position' in document ? document.position : '');
  return { ...document, broken: true, position } as unknown as D;
};

/**
 * Returns the position of a broken document: after its last event, and before every later one, so that the repaired
 * document can replace it. `!` sorts before every character of a position.
 */
export const afterPosition = (position: Position): Position => `${position}!`;

const isBroken = (document: ViewDocument): boolean => 'broken' in document;

/** Removes the mark. An event is only folded into a document if all earlier ones were. */
const withoutMark = <D extends ViewDocument>(document: D): D => {
  if (!isBroken(document)) return document;
  const { broken: _broken, ...rest } = document as D & { broken?: true };
  return rest as unknown as D;
};

/** Messages of other errors than `UnreadableEvent` could contain values. */
const causeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return 'failed';
  return error.name === 'UnreadableEvent' ? error.message : `failed with ${error.name}`;
};

const groupByApplication = (documents: Iterable<ViewDocument | null>): Map<string, Set<string>> => {
  const groups = new Map<string, Set<string>>();
  for (const document of documents) if (document) addTo(groups, document);
  return groups;
};

const addTo = (groups: Map<string, Set<string>>, document: ViewDocument): void => {
  const { applicationId } = document as ViewDocument & { readonly applicationId?: string };
  if (applicationId === undefined) return;
  const ids = groups.get(applicationId);
  if (ids) ids.add(document._id);
  else groups.set(applicationId, new Set([document._id]));
};
