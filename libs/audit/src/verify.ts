import { RekeyError } from '@rekey/contracts';
import { CHAIN_START, checkLink, type BrokenLink, type ChainPlace, type ChainedEvent } from '@rekey/domain';
import { sha256 } from '@rekey/ports';
import { eventsOf, visibleIn, type HistoryStore } from './history';

/** Breaks that are listed; of a store that is damaged all over the first ones say enough. */
export const BROKEN_MAX = 1_000;

export interface Verification {
  readonly streams: number;
  readonly events: number;
  readonly broken: readonly BrokenLink[];
  /** There are more than are listed. */
  readonly more?: true;
}

export interface VerifyOptions {
  /** One stream; absent: all. */
  readonly stream?: string | undefined;
  /** Domains that the caller may see; empty: all. A stream belongs to the domain that its first event names. */
  readonly domains: readonly string[];
}

/**
 * Walks the hash chains of streams, from their first events, in one pass; what it keeps is the place in each stream.
 * Finds what was altered, moved, removed or reordered, but for an end of a stream that was cut off.
 */
export const verifyHistory = async (store: HistoryStore, { stream, domains }: VerifyOptions): Promise<Verification> => {
  const walk = new ChainWalk(CHAIN_START);
  const hidden = new Set<string>();
  for await (const event of eventsOf(store, stream, undefined)) {
    if (hidden.has(event.stream)) continue;
    if (walk.knows(event.stream) || visibleIn(event.data, domains)) walk.take(event as unknown as ChainedEvent);
    else hidden.add(event.stream);
  }
  return walk.result();
};

/**
 * Verifies an export, NDJSON lines of history events, without access to the store: verifiers are not needed for it.
 * `partial`: the export begins in the middle of streams, where the first event's word for what came before is taken.
 * Empty lines are passed over. Throws `invalid_request` with the number of a line that is no event.
 */
export const verifyExport = async (
  lines: AsyncIterable<string> | Iterable<string>,
  { partial = false }: { readonly partial?: boolean } = {},
): Promise<Verification> => {
  const walk = new ChainWalk(partial ? undefined : CHAIN_START);
  let number = 0;
  for await (const line of lines) {
    number++;
    if (line.trim() !== '') walk.take(parsed(line, number));
  }
  return walk.result();
};

/** Where a walk over many streams has come to in each. */
class ChainWalk {
  private readonly places = new Map<string, ChainPlace>();
  private readonly broken: BrokenLink[] = [];
  private events = 0;
  private breaks = 0;

  /** `start`: where every stream begins; undefined: wherever its first event says. */
  constructor(private readonly start: ChainPlace | undefined) {}

  knows(stream: string): boolean {
    return this.places.has(stream);
  }

  take(event: ChainedEvent): void {
    const before = this.places.get(event.stream) ?? this.start ?? claimedBefore(event);
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

const claimedBefore = ({ revision, metadata }: ChainedEvent): ChainPlace => ({
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
  if (!isEvent) throw new RekeyError('invalid_request', `Line ${number} is no event.`, { field: 'line', line: number });
  return event as ChainedEvent;
};

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
