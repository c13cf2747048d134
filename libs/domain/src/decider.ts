import type { Instant } from './expiry-policy';

/** Who caused an event: the holder of a token, an OIDC user, a service, or Rekey itself. */
export interface Actor {
  readonly type: 'token' | 'user' | 'service' | 'system';
  readonly id: string;
}

/** Metadata of every event. `hash` chains the events of a stream (see hash-chain.ts). */
export interface EventMetadata {
  readonly commandId: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly actor: Actor;
  /** Never decreases within a stream. */
  readonly occurredAt: Instant;
  readonly schemaVersion: number;
  /** Hash of the previous event of the stream; empty for the first one. */
  readonly previousHash: string;
  readonly hash: string;
}

/** An event: a type in the past tense and plain JSON data. */
export interface EventShape {
  readonly type: string;
  readonly data: object;
}

/** A stored event with its revision and the metadata that `evolve` uses. */
export type Recorded<E extends EventShape> = E & {
  /** Zero-based position in the stream. */
  readonly revision: number;
  readonly metadata: Pick<EventMetadata, 'occurredAt' | 'actor' | 'commandId'>;
};

/** The rules of an aggregate, as pure functions. */
export interface Decider<State, Command, Event extends EventShape, Context> {
  readonly initial: State;
  /** Returns the events of a command; `[]` if the state is already as requested. Throws `DomainError`. */
  readonly decide: (command: Command, state: State, context: Context) => Event[];
  /** Returns the state after an event. Must not change its arguments. */
  readonly evolve: (state: State, event: Recorded<Event>) => State;
}

/** Folds the events of one stream, in order, into the state of the aggregate. */
export const fold = <State, Event extends EventShape>(
  decider: Pick<Decider<State, never, Event, never>, 'initial' | 'evolve'>,
  events: Iterable<Recorded<Event>>,
  from: State = decider.initial,
): State => {
  let state = from;
  for (const event of events) state = decider.evolve(state, event);
  return state;
};

/** For the `default` of an exhaustive switch: does not compile if a case is missing. Throws at run time. */
export const unreachable = (value: never): never => {
  throw new Error(`Not handled: ${JSON.stringify(value)}`);
};
