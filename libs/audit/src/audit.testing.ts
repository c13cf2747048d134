import { chain, type Instant } from '@rekey/domain';
import { sha256, type StoredEvent } from '@rekey/ports';
import type { HistoryStore } from './history';

export const APPLICATION = '11111111-1111-4111-8111-111111111111';
export const SECRET = '22222222-2222-4222-8222-222222222222';

/** A verifier that belongs to no value. */
export const VERIFIER = '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$bm8gdmFsdWUgaGFzIHRoaXM';

type Fact = Pick<StoredEvent, 'stream' | 'type' | 'data'> & { readonly at: Instant; readonly actor?: string };

/** A store in memory whose events are chained as those of real commands are; tests may tamper with them. */
export class MemoryHistory implements HistoryStore {
  events: StoredEvent[] = [];
  /** The most events that were read in one go. */
  largestRead = 0;

  write(...facts: Fact[]): this {
    for (const { stream, type, data, at, actor = 'alice' } of facts) {
      const before = this.events.filter((event) => event.stream === stream);
      const number = this.events.length + 1;
      const id = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
      const trace = { commandId: id, correlationId: id, causationId: id, actor: { type: 'token', id: actor } as const };
      const fact = { stream, type, data, eventId: id, revision: before.length };
      const metadata = { ...trace, occurredAt: at, schemaVersion: 1 };
      const event = chain(fact, metadata, before.at(-1)?.metadata.hash ?? '', sha256);
      this.events.push({ ...event, position: String(number).padStart(20, '0') });
    }
    return this;
  }

  /** Changes one event where it stands. */
  alter(index: number, change: (event: StoredEvent) => StoredEvent): void {
    this.events = this.events.map((event, at) => (at === index ? change(event) : event));
  }

  async readFeed({ after = '', limit }: { after?: string; limit: number }): Promise<StoredEvent[]> {
    if (after !== '' && !/^\d{20}$/.test(after)) throw new RangeError('Not a position of this store.');
    return this.counted(this.events.filter(({ position }) => position > after).slice(0, limit));
  }

  async readStream(stream: string, fromRevision = 0, limit = Infinity): Promise<StoredEvent[]> {
    const events = this.events.filter((event) => event.stream === stream && event.revision >= fromRevision);
    return this.counted(events.slice(0, limit));
  }

  private counted(events: StoredEvent[]): StoredEvent[] {
    this.largestRead = Math.max(this.largestRead, events.length);
    return events;
  }
}

export const domainCreated = (domainId: string, at: Instant): Fact => ({
  stream: `domain-${domainId}`,
  type: 'DomainCreated',
  at,
  data: { domainId, name: domainId, contacts: [] },
});

/** An event of an application, of the domain `shop` where nothing else is said. */
export const ofApplication = (type: string, at: Instant, data: object = {}, applicationId = APPLICATION): Fact => ({
  stream: `application-${applicationId}`,
  type,
  at,
  data: { applicationId, domainId: 'shop', ...data },
});

export const registered = (at: Instant, applicationId = APPLICATION): Fact =>
  ofApplication(
    'ApplicationRegistered',
    at,
    { clientId: 'web', name: 'Web', contacts: ['a@example.org'] },
    applicationId,
  );

export const secretAdded = (at: Instant, data: object = {}): Fact =>
  ofApplication('SecretAdded', at, {
    secretId: SECRET,
    version: 1,
    description: 'first',
    verifier: VERIFIER,
    lookupId: '0000000000',
    expirySource: 'none',
    ...data,
  });
