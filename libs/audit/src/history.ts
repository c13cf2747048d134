import { RekeyError } from '@rekey/contracts';
import { redact, type EventMetadata, type Instant } from '@rekey/domain';
import { START, inFeed, sha256, type EventStore, type Position, type StoredEvent } from '@rekey/ports';
import { setImmediate } from 'node:timers/promises';

/** The part of an event store that the history reads. */
export type HistoryStore = Pick<EventStore, 'readFeed' | 'readStream'>;

/** Events per read. Bounds the memory of a reader, and how long it blocks the event loop. */
export const READ_SIZE = 100;

/** Events examined per page. Bounds the time of a request whose filter matches few events. */
const PAGE_SCAN_MAX = 10_000;

/** A stored event with `verifierDigest` in place of the verifier. */
export interface HistoryEvent {
  readonly stream: string;
  /** Zero-based, without gaps within a stream. */
  readonly revision: number;
  readonly position: Position;
  readonly eventId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: EventMetadata;
}

/** Selects events; a missing field matches all. */
export interface HistoryFilter {
  /** `application-<id>` or `domain-<id>`. */
  readonly stream?: string | undefined;
  readonly type?: string | undefined;
  /** Name of a token, user or service. */
  readonly actor?: string | undefined;
  /** Inclusive. */
  readonly from?: Instant | undefined;
  /** Exclusive, so that consecutive ranges do not share events. */
  readonly until?: Instant | undefined;
  /** Domains that the caller can see; empty: all. */
  readonly domains: readonly string[];
}

export interface HistoryPage {
  readonly items: readonly HistoryEvent[];
  /** Cursor of the next page. An empty page can have one, if many events did not match. */
  readonly next?: string;
}

/**
 * Returns a page of the history, in store order, without verifiers. `after` is the `next` of the previous page with the
 * same filter. Throws `invalid_request` if it is not a cursor.
 */
export const readHistory = async (
  store: HistoryStore,
  filter: HistoryFilter,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Promise<HistoryPage> => {
  const items: HistoryEvent[] = [];
  let cursor = after;
  let examined = 0;
  for await (const event of eventsOf(store, filter.stream, after)) {
    const isMatch = matches(event, filter);
    if ((isMatch && items.length === limit) || examined === PAGE_SCAN_MAX)
      return { items, ...(cursor && { next: cursor }) };
    if (isMatch) items.push(redacted(event));
    cursor = cursorOf(event, filter.stream);
    examined++;
  }
  return { items };
};

/**
 * Yields the history as NDJSON lines, each with its line break. Keeps at most `READ_SIZE` events in memory. Stops when
 * the signal is aborted.
 */
export const exportHistory = async function* (
  store: HistoryStore,
  filter: HistoryFilter,
  signal?: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  for await (const event of eventsOf(store, filter.stream, undefined)) {
    if (signal?.aborted) return;
    if (matches(event, filter)) yield `${JSON.stringify(redacted(event))}\n`;
  }
};

/** Yields all events of the feed, or of one of its streams, after a cursor; reads `READ_SIZE` at a time. */
export const eventsOf = async function* (
  store: HistoryStore,
  stream: string | undefined,
  after: string | undefined,
): AsyncGenerator<StoredEvent, void, undefined> {
  if (stream !== undefined && !inFeed(stream)) return;
  for (let cursor = after; ;) {
    const events = await (stream === undefined ? feedAfter(store, cursor) : streamAfter(store, stream, cursor));
    yield* events;
    const last = events.at(-1);
    if (!last) return;
    cursor = cursorOf(last, stream);
    // An embedded store resolves at once; without this, a long walk would block the event loop.
    await setImmediate();
  }
};

/** The cursor is a revision in a stream and a position in the feed. */
const cursorOf = (event: StoredEvent, stream: string | undefined): string =>
  stream === undefined ? event.position : String(event.revision);

const feedAfter = async (store: HistoryStore, cursor: string = START): Promise<readonly StoredEvent[]> => {
  try {
    return await store.readFeed({ after: cursor, limit: READ_SIZE });
  } catch (error) {
    if (error instanceof RangeError) throw badCursor();
    throw error;
  }
};

const streamAfter = async (store: HistoryStore, stream: string, cursor = '-1'): Promise<readonly StoredEvent[]> => {
  if (!/^(-1|\d{1,15})$/.test(cursor)) throw badCursor();
  return store.readStream(stream, Number(cursor) + 1, READ_SIZE);
};

const badCursor = (): RekeyError =>
  new RekeyError('invalid_request', 'after is not a cursor of this list; use the next of a previous page.', {
    field: 'after',
  });

const matches = ({ type, data, metadata }: StoredEvent, filter: HistoryFilter): boolean =>
  (filter.type === undefined || filter.type === type) &&
  (filter.actor === undefined || filter.actor === metadata.actor.id) &&
  (filter.from === undefined || filter.from <= metadata.occurredAt) &&
  (filter.until === undefined || metadata.occurredAt < filter.until) &&
  visibleIn(data, filter.domains);

/** Whether an event belongs to one of the domains; empty: all. */
export const visibleIn = (data: StoredEvent['data'], domains: readonly string[]): boolean =>
  domains.length === 0 || (typeof data['domainId'] === 'string' && domains.includes(data['domainId']));

const redacted = ({ stream, revision, position, eventId, type, data, metadata }: StoredEvent): HistoryEvent => ({
  stream,
  revision,
  position,
  eventId,
  type,
  data: redact(data, sha256),
  metadata,
});
