import { RekeyError } from '@rekey/contracts';
import { CHAIN_START, checkLink, type BrokenLink, type ChainPlace, type ChainedEvent } from '@rekey/domain';
import { sha256 } from '@rekey/ports';
import { eventsOf, visibleIn, type HistoryStore } from './history';

/** Broken links that a verification lists. */
export const BROKEN_MAX = 1_000;

export interface Verification {
  readonly streams: number;
  readonly events: number;
  readonly broken: readonly BrokenLink[];
  /** More links are broken than are listed. */
  readonly more?: true;
}

export interface VerifyOptions {
  /** Missing: all streams. */
  readonly stream?: string | undefined;
  /** Domains that the caller can see; empty: all. A stream belongs to the domain that its first event names. */
  readonly domains: readonly string[];
}

/**
 * Verifies the hash chains of streams in one pass from their first events; keeps one `ChainPlace` per stream in memory.
 * Detects events that were altered, moved, removed or reordered, but not events removed from the end of a stream.
 */
export const verifyHistory = async (store: HistoryStore, { stream, domains }: VerifyOptions): Promise<Verification> => {
  const walk = new ChainWalk(CHAIN_START);
  const hidden = new Set<string>();
  for await (const event of eventsOf(store, stream, undefined)) {
    if (hidden.has(event.stream)) continue;
    if (walk.knows(event.stream) || visibleIn(event.data, domains)) walk.verify(event as unknown as ChainedEvent);
    else hidden.add(event.stream);
  }
  return walk.result();
};

/**
 * Verifies an export (NDJSON lines of history events) without access to the store. `partial`: streams may begin in the
 * middle; the previous hash in the first event of each is trusted. Skips empty lines. Throws `invalid_request` with the
 * number of a line that is not an event.
 */
export const verifyExport = async (
  lines: AsyncIterable<string> | Iterable<string>,
  { partial = false }: { readonly partial?: boolean } = {},
): Promise<Verification> => {
  const walk = new ChainWalk(partial ? undefined : CHAIN_START);
  let number = 0;
  for await (const line of lines) {
    number++;
    if (line.trim() !== '') walk.verify(parsed(line, number));
  }
  return walk.result();
};

/** Verifies interleaved streams, and keeps the last place of each. */
class ChainWalk {
  private readonly places = new Map<string, ChainPlace>();
  private readonly broken: BrokenLink[] = [];
  private events = 0;
  private breaks = 0;

  /** `start`: the place before each stream; undefined: the one that its first event claims. */
  constructor(private readonly start: ChainPlace | undefined) {}

  knows(stream: string): boolean {
    return this.places.has(stream);
  }

  verify(event: ChainedEvent): void {
    const before = this.places.get(event.stream) ?? this.start ?? claimedPlace(event);
    const { place, broken } = checkLink(event, before, sha256);
    this.places.set(event.stream, place);
    this.events++;
    if (!broken) return;
    this.breaks++;
    if (this.broken.length < BROKEN_MAX) this.broken.push(broken);
  }

  result(): Verification {
    const { events, broken, breaks } = this;
    return { streams: this.places.size, events, broken, ...(breaks > broken.length && { more: true as const }) };
  }
}

const claimedPlace = ({ revision, metadata }: ChainedEvent): ChainPlace => ({
  revision: revision - 1,
  hash: typeof metadata['previousHash'] === 'string' ? metadata['previousHash'] : '',
});

const parsed = (line: string, number: number): ChainedEvent => {
  let event: Partial<ChainedEvent> | null;
  try {
    event = JSON.parse(line) as Partial<ChainedEvent> | null;
  } catch {
    event = null;
  }
  const isEvent =
    typeof event?.stream === 'string' &&
    typeof event.revision === 'number' &&
    typeof event.eventId === 'string' &&
    typeof event.type === 'string' &&
    isObject(event.data) &&
    isObject(event.metadata);
  if (!isEvent)
    throw new RekeyError('invalid_request', `Line ${number} is not an event of the history.`, {
      field: 'line',
      line: number,
    });
  return event as ChainedEvent;
};

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
