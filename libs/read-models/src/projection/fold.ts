import type { FeedEvent } from '@rekey/contracts';
import type { Position, StoredEvent, ViewDocument } from '@rekey/ports';
import type { DecodedEvent } from './feed';
import type { Body, View } from '../views/view';

/** An event that could not be taken in, and why: names of fields and kinds of errors, never values. */
export interface Failure {
  readonly stored: StoredEvent;
  readonly cause: string;
}

export interface FoldResult<D extends ViewDocument> {
  /** Documents that changed, by id. */
  readonly changed: Map<string, D>;
  /** The first event that changed each of them. */
  readonly changedBy: ReadonlyMap<string, StoredEvent>;
  /** By stream: the first event that failed. Later ones of the stream were left alone. */
  readonly failures: Map<string, Failure>;
}

/** What must be read before events can be folded: documents by id, and whole applications. */
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
 * Folds events, in store order, into documents (null or missing: not there yet). Events at or before a document's guard
 * are in it already, so folding any stretch again changes nothing. An application-wide event reaches the documents
 * that came in and those that were made on the way. Where an event fails, the document of its stream ends as `broken`.
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
    const body = view.evolve(document && sound(document), event);
    if (body === null || (body === document && !view.ofStream)) return;
    const next = { ...body, position: event.position } as unknown as D;
    store(id, next, stored);
    if (document === null && byApplication) addTo(byApplication, next);
  };

  const take = (event: FeedEvent, stored: StoredEvent): void => {
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
      take(decoded.event, stored);
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

/** A document as it is marked while later events of its stream wait. */
export const brokenOf = <D extends ViewDocument>(document: D | Body<D>): D => {
  const position = afterPosition('position' in document ? document.position : '');
  return { ...document, broken: true, position } as unknown as D;
};

/**
 * The guard of a document that is marked broken: just after the last event that is in it, and before every later one,
 * so that the repaired document can be written over it. (`!` sorts before every character that positions have.)
 */
export const afterPosition = (position: Position): Position => `${position}!`;

const isBroken = (document: ViewDocument): boolean => 'broken' in document;

/** The document without its mark: whoever folds an event into it has taken in all events before. */
const sound = <D extends ViewDocument>(document: D): D => {
  if (!isBroken(document)) return document;
  const { broken: _broken, ...rest } = document as D & { broken?: true };
  return rest as unknown as D;
};

/** Errors of our own codec name no values; others may. */
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
