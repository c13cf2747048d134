import {
  RekeyError,
  decodeEvent,
  publicErrorOf,
  streamOf,
  type CommandEnvelope,
  type CommandReply,
} from '@rekey/contracts';
import { application, fold, later, securityDomain, type Instant } from '@rekey/domain';
import { CommandBus, type CommandRequest, type ManualClock, type StoredEvent } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import type { MemoryEventStore } from './memory-event-store.testing';

/** Handles commands in memory by the rules of the domain, without keys and hashes. */
export class MemoryCommandBus extends CommandBus {
  unavailable = false;
  /** How far the clock of the command-service lags, in milliseconds. */
  behindMs = 0;
  private readonly outcomes = new Map<string, CommandReply>();

  constructor(
    private readonly store: MemoryEventStore,
    private readonly clock: ManualClock,
  ) {
    super();
  }

  async send({ command }: CommandRequest): Promise<CommandReply> {
    if (this.unavailable) throw new RekeyError('unavailable', 'The bus is unavailable.');
    const known = this.outcomes.get(command.id);
    if (known) return { ...known, replayed: true };
    const reply = await this.handle(command);
    this.outcomes.set(command.id, reply);
    return reply;
  }

  private async handle(command: CommandEnvelope): Promise<CommandReply> {
    const stream = streamOf(command);
    const events = await this.store.readStream(stream);
    const now = later(new Date(this.clock.nowMs() - this.behindMs).toISOString(), events.at(-1)?.metadata.occurredAt);
    const base = { id: command.id, replayed: false, revision: 0, position: '' };
    try {
      const facts = await this.decide(command, events, now);
      const metadata = {
        commandId: command.id,
        correlationId: command.id,
        causationId: command.id,
        actor: { type: 'token', id: 'test' },
        occurredAt: now,
        schemaVersion: 1,
        previousHash: '',
        hash: '',
      } as const;
      const made = facts.map(({ type, data }) => ({ eventId: randomUUID(), type, data: { ...data }, metadata }));
      if (made.length > 0) await this.store.append(stream, events.length - 1, made);
      return { ...base, status: 'accepted' };
    } catch (error) {
      const refusal = publicErrorOf(error);
      if (!refusal) throw error;
      return { ...base, status: 'rejected', error: refusal };
    }
  }

  private async decide(command: CommandEnvelope, events: readonly StoredEvent[], now: Instant) {
    const recorded = events.map(decodeEvent) as never[];
    const ofDomain = await this.store.readStream(`domain-${command.data.domainId}`);
    const domain = fold(securityDomain, ofDomain.map(decodeEvent) as never[]);
    if (!('applicationId' in command.data)) return securityDomain.decide(command as never, domain, { now });
    const verifier = { verifier: '$argon2id$none', lookupId: '0000000000' };
    return application.decide(command as never, fold(application, recorded), { now, domain, secretsMax: 10, verifier });
  }

  async serve(): Promise<void> {}
  async close(): Promise<void> {}
}
