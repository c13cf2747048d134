import { chain, type Instant } from '@rekey/domain';
import { sha256, type StoredEvent } from '@rekey/ports';
import type { HistoryStore } from './history';

export const APPLICATION = '11111111-1111-4111-8111-111111111111';
export const SECRET = '22222222-2222-4222-8222-222222222222';

/** A verifier that no value matches. */
export const VERIFIER = '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$bm8gdmFsdWUgaGFzIHRoaXM';

type Fact = Pick<StoredEvent, 'stream' | 'type' | 'data'> & { readonly at: Instant; readonly actor?: string };

/** An in-memory store with a valid hash chain, which tests can tamper with. */
export class MemoryHistory implements HistoryStore {
  events: StoredEvent[] = [];
  /** The largest number of events in one read. */
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

  /** Replaces one stored event. */
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

/** An event of an application, by default in the domain `shop`. */
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
