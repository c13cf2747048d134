import type { Instant } from './expiry-policy';

/** Who caused an event: a person or machine with a token, a sending service, or Rekey itself. */
export interface Actor {
  readonly type: 'token' | 'user' | 'service' | 'system';
  readonly id: string;
}

/** What every event carries beside its data. `hash` chains the events of a stream (see hash-chain.ts). */
export interface EventMetadata {
  readonly commandId: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly actor: Actor;
  /** Never runs backwards in a stream. */
  readonly occurredAt: Instant;
  readonly schemaVersion: number;
  /** Hash of the event before it in its stream; the empty string for the first. */
  readonly previousHash: string;
  readonly hash: string;
}

/** A fact: a literal type in the past tense, and plain JSON data. */
export interface EventShape {
  readonly type: string;
  readonly data: object;
}

/** An event as `evolve` sees it: the fact, and where and when in its stream it stands. */
export type Recorded<E extends EventShape> = E & {
  /** Zero-based place in the stream. */
  readonly revision: number;
  readonly metadata: Pick<EventMetadata, 'occurredAt' | 'actor' | 'commandId'>;
};

/** The pure heart of an aggregate: what may happen, and what has happened. */
export interface Decider<State, Command, Event extends EventShape, Context> {
  readonly initial: State;
  /** The events that the command leads to; `[]` where all is done already. Throws DomainError, before any event is built. */
  readonly decide: (command: Command, state: State, context: Context) => Event[];
  readonly evolve: (state: State, event: Recorded<Event>) => State;
}

/** Folds the events of one stream, in order, into the aggregate's state. */
export const fold = <State, Event extends EventShape>(
  decider: Pick<Decider<State, never, Event, never>, 'initial' | 'evolve'>,
  events: Iterable<Recorded<Event>>,
  from: State = decider.initial,
): State => {
  let state = from;
  for (const event of events) state = decider.evolve(state, event);
  return state;
};

/** For the end of an exhaustive switch: compiles only where every case is handled. */
export const unreachable = (value: never): never => {
  throw new Error(`Not handled: ${JSON.stringify(value)}`);
};
