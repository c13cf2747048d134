import {
  SCHEMA_VERSION,
  decodeEvent,
  senderOf,
  streamOf,
  type CommandEnvelope,
  type CommandResult,
  type FeedEvent,
} from '@rekey/contracts';
import {
  application,
  chain,
  domainStream,
  securityDomain,
  type ApplicationEvent,
  type ApplicationState,
  type EventShape,
  type Instant,
  type SecurityDomainState,
  type Sha256,
} from '@rekey/domain';
import { NO_STREAM, START, type EventStore, type NewEvent, type Position, type StoredEvent } from '@rekey/ports';
import { LRUCache } from 'lru-cache';

/** What an earlier command left in the stream: enough to tell its outcome again. */
export interface Trace {
  readonly commandId: string;
  /** Who sent it, as an outcome names its caller. */
  readonly sender: string;
  /** Of the command's last event. */
  readonly revision: number;
  readonly position: Position;
  readonly valueEventId?: string;
  readonly result?: CommandResult;
}

/** A stream, folded: the aggregate's state, and what the next event must know of the last one. */
export interface Folded<State> {
  readonly state: State;
  readonly revision: number;
  readonly position: Position;
  readonly occurredAt: Instant;
  readonly hash: string;
  /** The latest commands that wrote to the stream, oldest first. */
  readonly traces: readonly Trace[];
}

const TRACES_MAX = 500;

/** The data of an event that made a value. */
export type ValueData = Extract<ApplicationEvent, { type: 'SecretAdded' | 'SecretRenewed' }>['data'];

/** What the sender of a command is told of the value that it made: all but the value. */
export const valueResult = (data: ValueData): CommandResult => ({
  secretId: data.secretId,
  version: data.version,
  expirySource: data.expirySource,
  ...(data.hint !== undefined && { hint: data.hint }),
  ...(data.expiresAt !== undefined && { expiresAt: data.expiresAt }),
  ...('previousValidUntil' in data &&
    data.previousValidUntil !== undefined && { previousValidUntil: data.previousValidUntil }),
});

const empty = <State>(state: State): Folded<State> => ({
  state,
  revision: NO_STREAM,
  position: START,
  occurredAt: '',
  hash: '',
  traces: [],
});

const traced = (traces: readonly Trace[], event: FeedEvent): readonly Trace[] => {
  const { commandId, actor } = event.metadata;
  const made = event.type === 'SecretAdded' || event.type === 'SecretRenewed';
  const last = traces.at(-1);
  const same = last?.commandId === commandId;
  const trace: Trace = {
    ...(same ? last : { commandId, sender: senderOf({ type: actor.type, name: actor.id }) }),
    revision: event.revision,
    position: event.position,
    ...(made && { valueEventId: event.eventId, result: valueResult(event.data) }),
  };
  return [...(same ? traces.slice(0, -1) : traces), trace].slice(-TRACES_MAX);
};

/**
 * Reads and folds streams, and remembers the folded ones: a later read takes only what came since. The last known event
 * is read again and held against the memory, so that a store that was put back to an older copy is noticed.
 */
export class FoldedStreams {
  private readonly known = new LRUCache<string, Folded<unknown>>({ max: 20_000 });

  constructor(private readonly store: Pick<EventStore, 'readStream'>) {}

  application(stream: string): Promise<Folded<ApplicationState>> {
    return this.read(stream, application.initial, (state, event) =>
      event.aggregate === 'application' ? application.evolve(state, event) : state,
    );
  }

  domain(domainId: string): Promise<Folded<SecurityDomainState>> {
    return this.read(domainStream(domainId), securityDomain.initial, (state, event) =>
      event.aggregate === 'domain' ? securityDomain.evolve(state, event) : state,
    );
  }

  /** Forgets a stream, so that the next read begins at its first event. */
  forget(stream: string): void {
    this.known.delete(stream);
  }

  private async read<State>(
    stream: string,
    initial: State,
    evolve: (state: State, event: FeedEvent) => State,
  ): Promise<Folded<State>> {
    let folded = (this.known.get(stream) as Folded<State> | undefined) ?? empty(initial);
    let events: readonly StoredEvent[] = await this.store.readStream(stream, Math.max(folded.revision, 0));
    if (folded.revision > NO_STREAM) {
      if (events[0]?.metadata.hash === folded.hash) events = events.slice(1);
      else {
        folded = empty(initial);
        events = await this.store.readStream(stream);
      }
    }
    for (const stored of events) {
      const event = decodeEvent(stored);
      folded = {
        state: evolve(folded.state, event),
        revision: stored.revision,
        position: stored.position,
        occurredAt: stored.metadata.occurredAt,
        hash: stored.metadata.hash,
        traces: traced(folded.traces, event),
      };
    }
    if (folded.revision > NO_STREAM) this.known.set(stream, folded);
    return folded;
  }
}

/** Turns decided facts into events that continue their stream: ids, metadata and the hash chain. */
export const continued = (
  folded: Folded<unknown>,
  facts: readonly EventShape[],
  about: {
    readonly command: CommandEnvelope;
    readonly occurredAt: Instant;
    readonly correlationId: string;
    readonly actor: { readonly type: 'token' | 'user' | 'service' | 'system'; readonly id: string };
    readonly newId: () => string;
    readonly sha256: Sha256;
  },
): NewEvent[] => {
  const { command, occurredAt, correlationId, actor, newId, sha256 } = about;
  const stream = streamOf(command);
  let previousHash = folded.hash;
  return facts.map(({ type, data }, index) => {
    const event = {
      stream,
      revision: folded.revision + 1 + index,
      eventId: newId(),
      type,
      data: data as Record<string, unknown>,
    };
    const metadata = {
      commandId: command.id,
      correlationId,
      causationId: command.id,
      actor,
      occurredAt,
      schemaVersion: SCHEMA_VERSION,
    };
    const chained = chain(event, metadata, previousHash, sha256);
    previousHash = chained.metadata.hash;
    return { eventId: event.eventId, type, data: event.data, metadata: chained.metadata };
  });
};
