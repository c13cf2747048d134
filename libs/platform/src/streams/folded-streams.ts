import { decodeEvent, senderOf, type CommandResult, type FeedEvent } from '@rekey/contracts';
import {
  application,
  applicationStream,
  domainStream,
  fold,
  securityDomain,
  type ApplicationEvent,
  type ApplicationState,
  type Instant,
  type SecurityDomainState,
} from '@rekey/domain';
import { NO_STREAM, START, type EventStore, type Position, type StoredEvent } from '@rekey/ports';
import { LRUCache } from 'lru-cache';

type StreamReader = Pick<EventStore, 'readStream'>;

/** A command that wrote to a stream, as its events tell it: enough to repeat its reply. */
export interface WrittenCommand {
  readonly commandId: string;
  /** By `senderOf`. */
  readonly sender: string;
  /** Revision and position of the command's last event. */
  readonly revision: number;
  readonly position: Position;
  /** The event that holds the verifier, where the command made a value. */
  readonly valueEventId?: string;
  readonly result?: CommandResult;
}

/** An aggregate's state, folded from its stream, and what the next event of the stream continues. */
export interface FoldedStream<State> {
  readonly state: State;
  /** Revision of the last event; `NO_STREAM` if there is none. */
  readonly revision: number;
  /** Position of the last event; `START` if there is none. */
  readonly position: Position;
  /** Time and hash of the last event; empty if there is none. */
  readonly occurredAt: Instant;
  readonly hash: string;
  /** The latest commands that wrote to the stream, oldest first. */
  readonly commands: readonly WrittenCommand[];
}

/** Commands kept per stream: a retry of an older one is recognized by the outcome store only. */
const COMMANDS_MAX = 500;
const CACHED_STREAMS_MAX = 20_000;

type Evolve<State> = (state: State, event: FeedEvent) => State;

const evolveApplication: Evolve<ApplicationState> = (state, event) =>
  event.aggregate === 'application' ? application.evolve(state, event) : state;

const evolveDomain: Evolve<SecurityDomainState> = (state, event) =>
  event.aggregate === 'domain' ? securityDomain.evolve(state, event) : state;

const empty = <State>(state: State): FoldedStream<State> => ({
  state,
  revision: NO_STREAM,
  position: START,
  occurredAt: '',
  hash: '',
  commands: [],
});

const foldOnto = <State>(
  start: FoldedStream<State>,
  events: readonly StoredEvent[],
  evolve: Evolve<State>,
): FoldedStream<State> =>
  events.reduce<FoldedStream<State>>((folded, stored) => {
    const event = decodeEvent(stored);
    return {
      state: evolve(folded.state, event),
      revision: stored.revision,
      position: stored.position,
      occurredAt: stored.metadata.occurredAt,
      hash: stored.metadata.hash,
      commands: withCommandOf(folded.commands, event),
    };
  }, start);

/** Folds the events of an application's stream, from its first one. Throws `UnreadableEvent`. */
export const foldApplication = (events: readonly StoredEvent[]): ApplicationState =>
  fold({ initial: application.initial, evolve: evolveApplication }, events.map(decodeEvent));

/** Folds the events of a domain's stream, from its first one. Throws `UnreadableEvent`. */
export const foldDomain = (events: readonly StoredEvent[]): SecurityDomainState =>
  fold({ initial: securityDomain.initial, evolve: evolveDomain }, events.map(decodeEvent));

/** Reads and folds an application's stream. Throws `UnreadableEvent`. */
export const readApplication = async (store: StreamReader, applicationId: string): Promise<ApplicationState> =>
  foldApplication(await store.readStream(applicationStream(applicationId)));

/** Reads and folds a domain's stream. Throws `UnreadableEvent`. */
export const readDomain = async (store: StreamReader, domainId: string): Promise<SecurityDomainState> =>
  foldDomain(await store.readStream(domainStream(domainId)));

/**
 * Reads and folds streams with a cache: only the events after the cached ones are folded. Each read includes the last
 * cached event and compares its hash, so that an event store that was restored from an older backup is noticed.
 */
export class FoldedStreams {
  private readonly cache = new LRUCache<string, FoldedStream<unknown>>({ max: CACHED_STREAMS_MAX });

  constructor(private readonly store: StreamReader) {}

  application(applicationId: string): Promise<FoldedStream<ApplicationState>> {
    return this.read(applicationStream(applicationId), application.initial, evolveApplication);
  }

  domain(domainId: string): Promise<FoldedStream<SecurityDomainState>> {
    return this.read(domainStream(domainId), securityDomain.initial, evolveDomain);
  }

  /** Drops a stream from the cache: the next read starts at its first event. */
  forget(stream: string): void {
    this.cache.delete(stream);
  }

  private async read<State>(stream: string, initial: State, evolve: Evolve<State>): Promise<FoldedStream<State>> {
    let start = (this.cache.get(stream) as FoldedStream<State> | undefined) ?? empty(initial);
    let events: readonly StoredEvent[] = await this.store.readStream(stream, Math.max(start.revision, 0));
    if (start.revision > NO_STREAM) {
      if (events[0]?.metadata.hash === start.hash) events = events.slice(1);
      else {
        start = empty(initial);
        events = await this.store.readStream(stream);
      }
    }
    const folded = foldOnto(start, events, evolve);
    if (folded.revision > NO_STREAM) this.cache.set(stream, folded);
    return folded;
  }
}

/** The data of an event that holds the verifier of a new value. */
export type ValueEventData = Extract<ApplicationEvent, { type: 'SecretAdded' | 'SecretRenewed' }>['data'];

/** Returns what the reply to a command says of the value that it made, without the value. */
export const valueResult = (data: ValueEventData): CommandResult => ({
  secretId: data.secretId,
  version: data.version,
  expirySource: data.expirySource,
  ...(data.hint !== undefined && { hint: data.hint }),
  ...(data.expiresAt !== undefined && { expiresAt: data.expiresAt }),
  ...('previousValidUntil' in data &&
    data.previousValidUntil !== undefined && { previousValidUntil: data.previousValidUntil }),
});

const withCommandOf = (commands: readonly WrittenCommand[], event: FeedEvent): readonly WrittenCommand[] => {
  const { commandId, actor } = event.metadata;
  const makesValue = event.type === 'SecretAdded' || event.type === 'SecretRenewed';
  const last = commands.at(-1);
  const same = last?.commandId === commandId;
  const command: WrittenCommand = {
    ...(same ? last : { commandId, sender: senderOf({ type: actor.type, name: actor.id }) }),
    revision: event.revision,
    position: event.position,
    ...(makesValue && { valueEventId: event.eventId, result: valueResult(event.data) }),
  };
  return [...(same ? commands.slice(0, -1) : commands), command].slice(-COMMANDS_MAX);
};
