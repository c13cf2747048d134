import type { Decider, EventShape, Recorded } from './decider';
import { fold } from './decider';
import { DomainError, type DomainErrorCode, type ErrorDetails } from './errors';
import type { Instant } from './expiry-policy';

/** Events, with instants between them: an instant is the time of the events after it. */
export type History<Event extends EventShape> = readonly (Event | Instant)[];

const START: Instant = '2026-01-01T00:00:00.000Z';

const frozen = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(frozen);
  }
  return value;
};

/** Returns the events of a history with revisions and metadata, and the last instant. */
export const recorded = <Event extends EventShape>(
  history: History<Event>,
): { events: Recorded<Event>[]; now: Instant } => {
  let now = START;
  const events: Recorded<Event>[] = [];
  for (const entry of history)
    if (typeof entry === 'string') now = entry;
    else {
      const metadata = { occurredAt: now, actor: { type: 'token', id: 'tester' }, commandId: 'command' } as const;
      events.push({ ...entry, revision: events.length, metadata });
    }
  return { events, now };
};

/**
 * Tests a decider: given a history, when a command is decided, then … `now` is the last instant of the history unless the
 * context has one. State, events and command are frozen, so a decider that changes its arguments fails.
 */
export const specification = <State, Command, Event extends EventShape, Context extends { readonly now: Instant }>(
  decider: Decider<State, Command, Event, Context>,
  context: Omit<Context, 'now'>,
) => ({
  given: (...history: History<Event>) => ({
    state: (): State => fold(decider, frozen(recorded(history).events)),
    when: (command: Command, more: Partial<Context> = {}) => {
      const decide = (after: readonly Event[]): Event[] => {
        const { events, now } = recorded([...history, ...after]);
        const state = frozen(fold(decider, frozen(events)));
        return decider.decide(frozen(command), state, { now, ...context, ...more } as Context);
      };
      return {
        events: () => decide([]),
        then: (...expected: Event[]) => expect(decide([])).toEqual(expected),
        /** Expects these events, and none when the same command is decided again. */
        thenOnce: (...expected: Event[]) => {
          const events = decide([]);
          expect(events).toEqual(expected);
          expect(decide(events)).toEqual([]);
        },
        thenNothing: () => expect(decide([])).toEqual([]),
        thenRefused: (code: DomainErrorCode, details?: ErrorDetails) => {
          const refusal = refusalOf(() => decide([]));
          expect(refusal).toBeInstanceOf(DomainError);
          expect(refusal).toMatchObject({ code, ...(details && { details }) });
        },
      };
    },
  }),
});

/** Returns what a call throws; undefined if it does not throw. */
export const refusalOf = (call: () => unknown): unknown => {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
};
