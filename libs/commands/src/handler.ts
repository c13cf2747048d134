import {
  RekeyError,
  commandEnvelopeSchema,
  isApplicationCommand,
  makesValue,
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
  hintOf,
  later,
  lookupIdFrom,
  composeSecret,
  parseSecret,
  securityDomain,
  LOOKUP_BYTES,
  RANDOM_BYTES,
  type ApplicationEvent,
  type Instant,
  type SecurityDomainEvent,
  type Verifier,
} from '@rekey/domain';
import { authoriseCommand, open, seal } from '@rekey/platform';
import {
  EngineUnavailable,
  WrongRevision,
  type Clock,
  type CommandRequest,
  type EventStore,
  type Outcome,
  type Outcomes,
  type Position,
  type SecretHasher,
} from '@rekey/ports';
import canonicalize from 'canonicalize';
import { createHash, randomUUID } from 'node:crypto';
import type { JWK } from 'jose';
import { FoldedStreams, continued, valueResult, type Folded, type Trace, type ValueData } from './folded';

export interface CommandHandlerOptions {
  readonly store: Pick<EventStore, 'append' | 'readStream'>;
  readonly outcomes: Outcomes;
  readonly hasher: SecretHasher;
  readonly clock: Clock;
  /** `applications.secretsMax`. */
  readonly secretsMax: number;
  /** Private key that callers seal their own values to. */
  readonly openingKey: JWK;
  /** Resolves true when every check knows a stream's events up to a position, false when the wait ran out. */
  readonly effective: (stream: string, position: Position) => Promise<boolean>;
  /** Told of every command that got its outcome, `accepted`, `unchanged`, `replayed` or an error code, for log and metric. */
  readonly observe?: (command: CommandEnvelope, caller: Caller, outcome: string) => void;
}

const CONFLICT_RETRIES = 5;
const SEALED_FOR_MS = 15 * 60 * 1000;
const IMPORTED_LENGTH_MAX = 1024;
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** A value that was made or brought for a command; lives as long as the command's handling. */
interface MadeValue {
  readonly verifier?: Verifier;
  readonly sealed?: string;
}

/** What is to be told of a command once its events are stored. */
interface Settled {
  readonly outcome: Outcome;
  readonly sealed?: string | null;
  readonly replayed: boolean;
}

/**
 * The one handler for all commands: known outcome → fold → decide → append → outcome → reply (design §5). Refusals are
 * replies. Throws `RekeyError` `invalid_request`, `forbidden` or a 404 where the command may not be looked at,
 * `unauthenticated` where it is stale and new, `unavailable` where it was certainly not taken, and `timeout` where its outcome is unknown.
 */
export class CommandHandler {
  private readonly streams: FoldedStreams;

  constructor(private readonly options: CommandHandlerOptions) {
    this.streams = new FoldedStreams(options.store);
  }

  readonly handle = async (request: CommandRequest): Promise<CommandReply> => {
    const parsed = commandEnvelopeSchema.safeParse(request.command);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const unknownKey = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
      throw new RekeyError('invalid_request', issue?.message ?? 'Not a command.', {
        field: [...(issue?.path ?? []), ...unknownKey].join('.'),
      });
    }
    const command = parsed.data;
    authoriseCommand(request.caller, command);
    const settled = await this.settle({ ...request, command });
    const { outcome, replayed } = settled;
    const name = outcome.reply.error?.code ?? (outcome.reply.status as string);
    this.options.observe?.(command, request.caller, replayed ? 'replayed' : name);
    return this.reply(command, settled);
  };

  private async settle(request: CommandRequest): Promise<Settled> {
    const brought = await this.broughtValue(request.command);
    const fingerprint = this.fingerprint(request.command, brought);
    const known = await untaken(this.options.outcomes.find(request.command.id));
    if (known) return this.known(known, fingerprint, request.caller);
    let made: MadeValue | undefined;
    for (let attempt = 0; ; attempt++) {
      const folded = await untaken(this.folded(request.command));
      const trace = folded.traces.find((each) => each.commandId === request.command.id);
      if (trace) {
        if (trace.sender !== senderOf(request.caller)) throw reused();
        return this.record(request, fingerprint, accepted(request.command, trace, trace), trace);
      }
      if (request.stale) throw stale();
      try {
        made ??= await this.makeValue(request.command, brought);
        return await this.decideAndAppend(request, fingerprint, folded, made);
      } catch (error) {
        if (!(error instanceof WrongRevision)) throw error;
        this.streams.forget(streamOf(request.command));
        if (attempt === CONFLICT_RETRIES) throw busy();
      }
    }
  }

  private known(outcome: Outcome, fingerprint: string, caller: Caller): Promise<Settled> | Settled {
    if (outcome.fingerprint !== fingerprint || outcome.caller !== senderOf(caller)) throw reused();
    return this.replayed(outcome);
  }

  private async replayed(outcome: Outcome): Promise<Settled> {
    if (outcome.valueEventId === undefined) return { outcome, replayed: true };
    const sealed = await this.options.outcomes.sealed(outcome.valueEventId, this.options.clock.now());
    return { outcome, sealed, replayed: true };
  }

  private async decideAndAppend(
    request: CommandRequest,
    fingerprint: string,
    folded: Folded<unknown>,
    made: MadeValue,
  ): Promise<Settled> {
    const { command } = request;
    const { store, outcomes, clock } = this.options;
    const occurredAt = later(clock.now(), folded.occurredAt || undefined);
    let facts: (ApplicationEvent | SecurityDomainEvent)[];
    try {
      facts = await this.decide(command, folded, occurredAt, made);
    } catch (error) {
      const refusal = publicErrorOf(error);
      if (!refusal || refusal.code === 'unavailable') throw error;
      return this.record(request, fingerprint, rejected(command, folded, refusal));
    }
    if (facts.length === 0) return this.record(request, fingerprint, accepted(command, folded));
    const { type, name } = request.caller;
    const events = continued(folded, facts, {
      command,
      occurredAt,
      correlationId: request.correlationId,
      actor: { type, id: name },
      newId: randomUUID,
      sha256,
    });
    const valueEvent = events.find((event) => event.type === 'SecretAdded' || event.type === 'SecretRenewed');
    if (valueEvent && made.sealed !== undefined) {
      const expiresAt = new Date(clock.nowMs() + SEALED_FOR_MS).toISOString();
      await untaken(outcomes.seal({ eventId: valueEvent.eventId, sealedSecret: made.sealed, expiresAt }));
    }
    const appended = await unknown(store.append(streamOf(command), folded.revision, events));
    const trace: Trace = {
      commandId: command.id,
      sender: senderOf(request.caller),
      ...appended,
      ...(valueEvent && {
        valueEventId: valueEvent.eventId,
        result: valueResult(valueEvent.data as unknown as ValueData),
      }),
    };
    const settled = await this.record(request, fingerprint, accepted(command, trace, trace), trace);
    return { ...settled, replayed: false, ...(made.sealed !== undefined && { sealed: made.sealed }) };
  }

  private async decide(
    command: CommandEnvelope,
    folded: Folded<unknown>,
    now: Instant,
    made: MadeValue,
  ): Promise<(ApplicationEvent | SecurityDomainEvent)[]> {
    const ifMatch = command.expectedRevision;
    if (!isApplicationCommand(command)) return securityDomain.decide(command, folded.state as never, { now, ifMatch });
    const domain = await untaken(this.streams.domain(command.data.domainId));
    return application.decide(command, folded.state as never, {
      now,
      ifMatch,
      domain: domain.state,
      secretsMax: this.options.secretsMax,
      verifier: made.verifier,
    });
  }

  private folded(command: CommandEnvelope): Promise<Folded<unknown>> {
    if (isApplicationCommand(command)) return this.streams.application(streamOf(command));
    return this.streams.domain(command.data.domainId);
  }

  /** Stores the outcome, unless one is stored: then that one counts. */
  private async record(
    request: CommandRequest,
    fingerprint: string,
    reply: CommandReply,
    trace?: Trace,
  ): Promise<Settled> {
    const outcome: Outcome = {
      commandId: request.command.id,
      fingerprint,
      caller: senderOf(request.caller),
      recordedAt: this.options.clock.now(),
      reply,
      ...(trace?.valueEventId !== undefined && { valueEventId: trace.valueEventId }),
    };
    const stored = await unknown(this.options.outcomes.record(outcome));
    return trace ? this.replayed(stored) : { outcome: stored, replayed: false };
  }

  private async reply(command: CommandEnvelope, { outcome, sealed, replayed }: Settled): Promise<CommandReply> {
    const { reply } = outcome;
    if (reply.status === 'rejected') return { ...reply, replayed };
    const value = sealed === undefined ? {} : { sealedSecret: sealed };
    if (!restricts(command.type)) return withResult(reply, value, replayed);
    const effective = await this.options.effective(streamOf(command), reply.position);
    const effect = effective ? { effectiveAt: this.options.clock.now(), effective: true } : { effective: false };
    return withResult(reply, { ...value, ...effect }, replayed);
  }

  // ── Values ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The value that a caller brings along, opened; never one with our prefix. */
  private async broughtValue(command: CommandEnvelope): Promise<string | undefined> {
    if (command.type !== 'RegisterApplication') return undefined;
    const sealedValue = command.data.firstSecret?.sealedValue;
    if (sealedValue === undefined) return undefined;
    const value = await open(sealedValue, this.options.openingKey);
    const field = 'firstSecret.value';
    if (!/^[\x20-\x7e]+$/.test(value) || value.length > IMPORTED_LENGTH_MAX)
      throw new RekeyError('invalid_request', `A value has 1 to ${IMPORTED_LENGTH_MAX} visible ASCII characters.`, {
        field,
      });
    if (parseSecret(value).kind !== 'foreign')
      throw new RekeyError('invalid_request', 'A value of your own cannot begin with rky_.', { field });
    return value;
  }

  /** Hash of type, target and data; a value that is brought counts by its keyed digest, not by its sealed form. */
  private fingerprint(command: CommandEnvelope, brought: string | undefined): string {
    const { type, data, expectedRevision } = command;
    if (command.type !== 'RegisterApplication' || brought === undefined)
      return sha256(canonicalize({ type, data, expectedRevision: expectedRevision ?? null }) ?? '');
    const { domainId, clientId, firstSecret } = command.data;
    const sealedValue = this.options.hasher.importedLookupId(domainId, clientId, brought);
    return sha256(canonicalize({ type, data: { ...data, firstSecret: { ...firstSecret, sealedValue } } }) ?? '');
  }

  /** The one function in which a generated value exists in clear. */
  private async makeValue(command: CommandEnvelope, brought: string | undefined): Promise<MadeValue> {
    const { hasher } = this.options;
    if (brought !== undefined && command.type === 'RegisterApplication') {
      const { domainId, clientId } = command.data;
      const lookupId = hasher.importedLookupId(domainId, clientId, brought);
      return { verifier: { verifier: await hasher.hash(brought, 'imported'), lookupId } };
    }
    if (!makesValue(command)) return NOTHING_MADE;
    const { recipientKey } = command;
    if (!recipientKey)
      throw new RekeyError('recipient_key_required', 'Give recipientKey, the public key that the value is sealed to.', {
        field: 'recipientKey',
      });
    const lookupId = lookupIdFrom(hasher.random(LOOKUP_BYTES));
    const value = composeSecret(lookupId, hasher.random(RANDOM_BYTES));
    const [verifier, sealed] = await Promise.all([hasher.hash(value, 'generated'), seal(value, recipientKey as JWK)]);
    return { verifier: { verifier, lookupId, hint: hintOf(value) }, sealed };
  }
}

const NOTHING_MADE: MadeValue = {};

const accepted = (
  command: CommandEnvelope,
  place: { readonly revision: number; readonly position: Position },
  trace?: Trace,
): CommandReply => ({
  id: command.id,
  status: 'accepted',
  replayed: false,
  revision: place.revision,
  position: place.position,
  ...(trace?.result && { result: trace.result }),
});

const rejected = (
  command: CommandEnvelope,
  place: { readonly revision: number; readonly position: Position },
  error: NonNullable<CommandReply['error']>,
): CommandReply => ({
  id: command.id,
  status: 'rejected',
  replayed: false,
  revision: place.revision,
  position: place.position,
  error,
});

const reused = (): RekeyError =>
  new RekeyError('idempotency_key_reused', 'This command id was used for another command.');

/** Not recorded, for nothing was decided: the same command id may be tried again. */
const busy = (): RekeyError =>
  new RekeyError('revision_conflict', 'Others change this all the time; send the command again.');

/** Not recorded either: what is sent again with a new proof of its sender is a new command. */
const stale = (): RekeyError =>
  new RekeyError('unauthenticated', 'The token of the command is too old, or not valid yet. Sign the command again.');

const withResult = (
  reply: CommandReply,
  more: NonNullable<CommandReply['result']>,
  replayed: boolean,
): CommandReply => {
  const result = { ...reply.result, ...more };
  return { ...reply, replayed, ...(Object.keys(result).length > 0 && { result }) };
};

/** Before the append: where an engine is away, the command was certainly not taken. */
const untaken = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof EngineUnavailable)) throw cause;
    throw new RekeyError('unavailable', 'The command was not taken: a store is away. Try again.', {}, { cause });
  }
};

/** From the append on: where an engine is away, nobody knows; the same command id brings the outcome to light. */
const unknown = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof EngineUnavailable)) throw cause;
    throw new RekeyError('timeout', 'The outcome is unknown. Send the command again under the same id.', {}, { cause });
  }
};
