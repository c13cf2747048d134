import type { CommandReply } from '@rekey/contracts';
import type { Instant } from '@rekey/domain';

/** What became of a command: accepted, rejected or nothing to do. Never holds a value, sealed or not. */
export interface Outcome {
  readonly commandId: string;
  /** Hash of type, target and data: the same id with other content is a mistake of the sender. */
  readonly fingerprint: string;
  /** Who sent it, `<type>:<name>`: only they may ask for it. */
  readonly caller: string;
  readonly recordedAt: Instant;
  readonly reply: CommandReply;
  /** The event whose verifier belongs to the value that the command made, where it made one. */
  readonly valueEventId?: string;
}

/** A value sealed for its recipient (compact JWE), kept until the reply is sure to have been built. */
export interface SealedValue {
  /** The event whose verifier belongs to it. */
  readonly eventId: string;
  readonly sealedSecret: string;
  readonly expiresAt: Instant;
}

/** First outcomes by command id; durable, shared by the replicas. Throws `EngineUnavailable` where the store is away. */
export abstract class Outcomes {
  abstract find(commandId: string): Promise<Outcome | null>;

  /** Stores an outcome where none is stored under its id, durably, and answers the one that then is stored. */
  abstract record(outcome: Outcome): Promise<Outcome>;

  /** Keeps a sealed value, durably. */
  abstract seal(sealed: SealedValue): Promise<void>;

  /** The sealed value of an event, or null: none, or its time is over. */
  abstract sealed(eventId: string, now: Instant): Promise<string | null>;

  /** Forgets outcomes recorded before an instant, and sealed values whose time is over. */
  abstract purge(recordedBefore: Instant, now: Instant): Promise<void>;

  abstract close(): Promise<void>;
}
