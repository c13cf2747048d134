import type { CommandReply } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';

/** The recorded outcome of a command: accepted or rejected. Never contains a value, sealed or not. */
export interface Outcome {
  readonly commandId: string;
  /** Hash of the command's content. Another command under the same id has another one, and is refused. */
  readonly fingerprint: string;
  /** The caller, `<type>:<name>`. No other caller may read the outcome. */
  readonly caller: string;
  readonly recordedAt: Instant;
  readonly reply: CommandReply;
  /** The event with the verifier of the value that the command made, if it made one. */
  readonly valueEventId?: string;
}

/** A value sealed to its recipient (compact JWE), kept for a while so that a retry gets it too. */
export interface SealedValue {
  /** The event with the value's verifier. */
  readonly eventId: string;
  readonly sealedSecret: string;
  readonly expiresAt: Instant;
}

/** First outcomes by command id; durable, shared by all replicas. Every method throws `EngineUnavailable`. */
export abstract class Outcomes {
  abstract find(commandId: string): Promise<Outcome | null>;

  /** Stores an outcome durably, unless one is stored under its id. Returns the stored one. */
  abstract record(outcome: Outcome): Promise<Outcome>;

  /** Stores a sealed value durably. */
  abstract seal(sealed: SealedValue): Promise<void>;

  /** Returns the sealed value of an event; null if there is none, or it has expired. */
  abstract sealed(eventId: string, now: Instant): Promise<string | null>;

  /** Deletes outcomes recorded before an instant, and expired sealed values. */
  abstract purge(recordedBefore: Instant, now: Instant): Promise<void>;

  abstract close(): Promise<void>;
}
