import { RekeyError } from '@rekey/contracts';
import { redact, type EventMetadata, type Instant } from '@rekey/domain';
import { START, inFeed, sha256, type EventStore, type Position, type StoredEvent } from '@rekey/ports';
import { setImmediate } from 'node:timers/promises';

/** What the history is read from. */
export type HistoryStore = Pick<EventStore, 'readFeed' | 'readStream'>;

/** Events read in one go: bounds the memory of a reader of any length, and how long others wait for their turn. */
export const READ_SIZE = 100;

/** Events that are looked through for one page: bounds the time of a request whose filter fits next to nothing. */
const PAGE_SCAN_MAX = 10_000;

/** An event as auditors see it: as it is stored, with `verifierDigest` in place of the verifier. */
export interface HistoryEvent {
  readonly stream: string;
  /** Zero-based, without gaps. */
  readonly revision: number;
  readonly position: Position;
  readonly eventId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: EventMetadata;
}

/** Which events are wanted; a field that is absent lets all pass. */
export interface HistoryFilter {
  /** `application-<id>` or `domain-<id>`. */
  readonly stream?: string | undefined;
  readonly type?: string | undefined;
  /** Name of a token, user or service. */
  readonly actor?: string | undefined;
  /** From this instant on, it included. */
  readonly from?: Instant | undefined;
  /** Before this instant: so that stretches of time can follow each other. */
  readonly until?: Instant | undefined;
  /** Domains that the caller may see; empty: all. */
  readonly domains: readonly string[];
}

export interface HistoryPage {
  readonly items: readonly HistoryEvent[];
  /** Cursor of the next page; there may be one after an empty page too, where many events did not fit. */
  readonly next?: string;
}

/**
 * A page of the history in store order, verifiers removed. `after` is the `next` of the page before, with the same
 * filter. Throws `invalid_request` for another one.
 */
export const readHistory = async (
  store: HistoryStore,
  filter: HistoryFilter,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Promise<HistoryPage> => {
  const items: HistoryEvent[] = [];
  let cursor = after;
  let seen = 0;
  for await (const event of eventsOf(store, filter.stream, after)) {
    const wanted = fits(event, filter);
    if ((wanted && items.length === limit) || seen === PAGE_SCAN_MAX) return { items, ...(cursor && { next: cursor }) };
    if (wanted) items.push(redacted(event));
    cursor = cursorOf(event, filter.stream);
    seen++;
  }
  return { items };
};

/**
 * The history as NDJSON, one event a line, each line with its end, in memory of one read. Ends early when the signal
 * is given.
 */
export const exportHistory = async function* (
  store: HistoryStore,
  filter: HistoryFilter,
  signal?: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  for await (const event of eventsOf(store, filter.stream, undefined)) {
    if (signal?.aborted) return;
    if (fits(event, filter)) yield `${JSON.stringify(redacted(event))}\n`;
  }
};

/** All events of the feed, or of one stream of it, after a cursor, read in pieces. */
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
    // A store in this very process answers at once: without this, a long walk would let nobody else have a turn.
    await setImmediate();
  }
};

/** In one stream a cursor is a revision, so that a page begins where it says; in the feed it is a position. */
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
  new RekeyError('invalid_request', 'This is no cursor of such a list.', { field: 'after' });

const fits = ({ type, data, metadata }: StoredEvent, filter: HistoryFilter): boolean =>
  (filter.type === undefined || filter.type === type) &&
  (filter.actor === undefined || filter.actor === metadata.actor.id) &&
  (filter.from === undefined || filter.from <= metadata.occurredAt) &&
  (filter.until === undefined || metadata.occurredAt < filter.until) &&
  visibleIn(data, filter.domains);

/** Whether an event belongs to a domain that may be seen. */
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
