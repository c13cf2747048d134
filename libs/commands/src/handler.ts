import {
  RekeyError,
  SCHEMA_VERSION,
  commandEnvelopeSchema,
  isApplicationCommand,
  publicErrorOf,
  restricts,
  senderOf,
  streamOf,
  type Caller,
  type CommandEnvelope,
  type CommandReply,
} from '@rekey/contracts';
import {
  application,
  chain,
  later,
  securityDomain,
  type ApplicationEvent,
  type Instant,
  type SecurityDomainEvent,
} from '@rekey/domain';
import {
  FoldedStreams,
  authoriseCommand,
  valueResult,
  type FoldedStream,
  type ValueEventData,
  type WrittenCommand,
} from '@rekey/platform';
import {
  WrongRevision,
  sha256,
  type Clock,
  type CommandRequest,
  type EventStore,
  type NewEvent,
  type Outcome,
  type Outcomes,
  type Position,
  type SecretHasher,
} from '@rekey/ports';
import type { JWK } from 'jose';
import { randomUUID } from 'node:crypto';
import { acceptedReply, busy, idReused, orTimeout, orUnavailable, rejectedReply, stale, withResult } from './replies';
import { SecretValues, type SecretValue } from './secret-values';

export interface CommandHandlerOptions {
  readonly store: Pick<EventStore, 'append' | 'readStream'>;
  readonly outcomes: Outcomes;
  readonly hasher: SecretHasher;
  readonly clock: Clock;
  /** `applications.secretsMax`. */
  readonly secretsMax: number;
  /** Private key that opens the values that callers import. */
  readonly openingKey: JWK;
  /** Resolves true once every check has applied a stream's events up to a position, false when the wait times out. */
  readonly effective: (stream: string, position: Position) => Promise<boolean>;
  /** Called once per outcome, for log and metrics: `accepted`, `unchanged`, `replayed` or an error code. */
  readonly observe?: (command: CommandEnvelope, caller: Caller, outcome: string) => void;
}

const CONFLICT_RETRIES = 5;
const SEALED_VALUE_KEPT_MS = 15 * 60 * 1000;

type Fact = ApplicationEvent | SecurityDomainEvent;

/** A command under way, with the fingerprint that a retry must match. */
interface Attempt extends CommandRequest {
  readonly fingerprint: string;
}

/** The stream that a command goes to, and the decision on the command. */
interface Target {
  readonly folded: FoldedStream<unknown>;
  readonly decide: (now: Instant, value: SecretValue) => Promise<Fact[]> | Fact[];
}

/** Result of a handled command. `sealedSecret`: null where the value is no longer kept. */
interface Handled {
  readonly outcome: Outcome;
  readonly sealedSecret?: string | null;
  readonly replayed: boolean;
}

/**
 * Handles every command: known outcome → fold → decide → append → record the outcome → reply. A rejection by the domain
 * is a reply. Throws `RekeyError`: `invalid_request`; `forbidden` or `domain_not_found` without permission;
 * `idempotency_key_reused`; `unauthenticated` for a new command with an expired token; `unavailable` if the command was
 * not executed; `timeout` if its outcome is unknown.
 */
export class CommandHandler {
  private readonly streams: FoldedStreams;
  private readonly values: SecretValues;

  constructor(private readonly options: CommandHandlerOptions) {
    this.streams = new FoldedStreams(options.store);
    this.values = new SecretValues(options.hasher, options.openingKey);
  }

  readonly handle = async (request: CommandRequest): Promise<CommandReply> => {
    const command = parse(request.command);
    authoriseCommand(request.caller, command);
    const handled = await this.execute({ ...request, command });
    const { outcome, replayed } = handled;
    const name = outcome.reply.error?.code ?? outcome.reply.status;
    this.options.observe?.(command, request.caller, replayed ? 'replayed' : name);
    return this.reply(command, handled);
  };

  private async execute(request: CommandRequest): Promise<Handled> {
    const { command, caller } = request;
    const imported = await this.values.openImported(command);
    const attempt = { ...request, fingerprint: this.values.fingerprint(command, imported) };
    const known = await orUnavailable(this.options.outcomes.find(command.id));
    if (known) {
      if (known.fingerprint !== attempt.fingerprint || known.caller !== senderOf(caller)) throw idReused();
      return this.replay(known);
    }
    let value: SecretValue | undefined;
    for (let conflicts = 0; ; conflicts++) {
      const target = await this.target(command);
      const written = target.folded.commands.find(({ commandId }) => commandId === command.id);
      if (written) {
        if (written.sender !== senderOf(caller)) throw idReused();
        return this.record(attempt, acceptedReply(command, written, written.result), written);
      }
      if (request.stale) throw stale();
      try {
        value ??= await this.values.make(command, imported);
        return await this.decideAndAppend(attempt, target, value);
      } catch (error) {
        if (!(error instanceof WrongRevision)) throw error;
        this.streams.forget(streamOf(command));
        if (conflicts === CONFLICT_RETRIES) throw busy();
      }
    }
  }

  private async target(command: CommandEnvelope): Promise<Target> {
    const { streams } = this;
    const { secretsMax } = this.options;
    const ifMatch = command.expectedRevision;
    if (!isApplicationCommand(command)) {
      const folded = await orUnavailable(streams.domain(command.data.domainId));
      return { folded, decide: (now) => securityDomain.decide(command, folded.state, { now, ifMatch }) };
    }
    const folded = await orUnavailable(streams.application(command.data.applicationId));
    return {
      folded,
      decide: async (now, { verifier }) => {
        const { state: domain } = await orUnavailable(streams.domain(command.data.domainId));
        return application.decide(command, folded.state, { now, ifMatch, domain, secretsMax, verifier });
      },
    };
  }

  private async decideAndAppend(attempt: Attempt, { folded, decide }: Target, value: SecretValue): Promise<Handled> {
    const { command, caller } = attempt;
    const { store, clock } = this.options;
    const occurredAt = later(clock.now(), folded.occurredAt || undefined);
    let facts: Fact[];
    try {
      facts = await decide(occurredAt, value);
    } catch (error) {
      const rejection = publicErrorOf(error);
      if (!rejection || rejection.code === 'unavailable') throw error;
      return this.record(attempt, rejectedReply(command, folded, rejection));
    }
    if (facts.length === 0) return this.record(attempt, acceptedReply(command, folded));
    const events = newEvents(attempt, folded, facts, occurredAt);
    const valueEvent = events.find(({ type }) => type === 'SecretAdded' || type === 'SecretRenewed');
    // Before the append: a retry after a crash finds the value that its event belongs to.
    if (valueEvent) await this.keepSealed(valueEvent.eventId, value);
    const appended = await orTimeout(store.append(streamOf(command), folded.revision, events));
    const written: WrittenCommand = {
      commandId: command.id,
      sender: senderOf(caller),
      ...appended,
      ...(valueEvent && {
        valueEventId: valueEvent.eventId,
        result: valueResult(valueEvent.data as unknown as ValueEventData),
      }),
    };
    const { outcome } = await this.record(attempt, acceptedReply(command, written, written.result), written);
    const { sealedSecret } = value;
    return { outcome, replayed: false, ...(sealedSecret !== undefined && { sealedSecret }) };
  }

  private async keepSealed(eventId: string, { sealedSecret }: SecretValue): Promise<void> {
    if (sealedSecret === undefined) return;
    const { outcomes, clock } = this.options;
    const expiresAt = new Date(clock.nowMs() + SEALED_VALUE_KEPT_MS).toISOString();
    await orUnavailable(outcomes.seal({ eventId, sealedSecret, expiresAt }));
  }

  /** Stores the outcome. If one is stored already, that one counts. */
  private async record(attempt: Attempt, reply: CommandReply, written?: WrittenCommand): Promise<Handled> {
    const stored = await orTimeout(
      this.options.outcomes.record({
        commandId: attempt.command.id,
        fingerprint: attempt.fingerprint,
        caller: senderOf(attempt.caller),
        recordedAt: this.options.clock.now(),
        reply,
        ...(written?.valueEventId !== undefined && { valueEventId: written.valueEventId }),
      }),
    );
    return written ? this.replay(stored) : { outcome: stored, replayed: false };
  }

  private async replay(outcome: Outcome): Promise<Handled> {
    if (outcome.valueEventId === undefined) return { outcome, replayed: true };
    const sealedSecret = await this.options.outcomes.sealed(outcome.valueEventId, this.options.clock.now());
    return { outcome, sealedSecret, replayed: true };
  }

  private async reply(command: CommandEnvelope, { outcome, sealedSecret, replayed }: Handled): Promise<CommandReply> {
    const { reply } = outcome;
    if (reply.status === 'rejected') return { ...reply, replayed };
    const value = sealedSecret === undefined ? {} : { sealedSecret };
    if (!restricts(command.type)) return withResult(reply, value, replayed);
    const effective = await this.options.effective(streamOf(command), reply.position);
    const effect = effective ? { effectiveAt: this.options.clock.now(), effective: true } : { effective: false };
    return withResult(reply, { ...value, ...effect }, replayed);
  }
}

const parse = (input: unknown): CommandEnvelope => {
  const parsed = commandEnvelopeSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const unknownKey = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  throw new RekeyError('invalid_request', issue?.message ?? 'This is not a command.', {
    field: [...(issue?.path ?? []), ...unknownKey].join('.'),
  });
};

/** Makes the events of a command's facts: ids, metadata, and the hash chain continued from the stream's last event. */
const newEvents = (
  { command, caller, correlationId }: CommandRequest,
  folded: FoldedStream<unknown>,
  facts: readonly Fact[],
  occurredAt: Instant,
): NewEvent[] => {
  const stream = streamOf(command);
  const metadata = {
    commandId: command.id,
    correlationId,
    causationId: command.id,
    actor: { type: caller.type, id: caller.name },
    occurredAt,
    schemaVersion: SCHEMA_VERSION,
  };
  let previousHash = folded.hash;
  return facts.map(({ type, data }, index) => {
    const event = { stream, revision: folded.revision + 1 + index, eventId: randomUUID(), type, data: { ...data } };
    const chained = chain(event, metadata, previousHash, sha256);
    previousHash = chained.metadata.hash;
    return { eventId: event.eventId, type, data: event.data, metadata: chained.metadata };
  });
};
