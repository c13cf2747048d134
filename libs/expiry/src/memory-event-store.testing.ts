import {
  EventStore,
  type Appended,
  type EventBatch,
  type HistoryQuery,
  type NewEvent,
  type StoredEvent,
  type SubscriptionOptions,
} from '@rekey/ports';

/** An event store in memory. */
export class MemoryEventStore extends EventStore {
  readonly events: StoredEvent[] = [];
  private waiting: (() => void)[] = [];

  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    for (const [index, event] of events.entries()) {
      const position = String(this.events.length + 1).padStart(20, '0');
      this.events.push({ ...event, stream, revision: expectedRevision + 1 + index, position });
    }
    for (const wake of this.waiting.splice(0)) wake();
    return { revision: expectedRevision + events.length, position: await this.head() };
  }

  async readStream(stream: string): Promise<StoredEvent[]> {
    return this.events.filter((event) => event.stream === stream);
  }

  async readFeed({ after = '', limit }: HistoryQuery): Promise<StoredEvent[]> {
    return this.events.filter(({ position }) => position > after).slice(0, limit);
  }

  async *subscribe({ after, batchSize, signal }: SubscriptionOptions): AsyncGenerator<EventBatch> {
    const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    for (let place = after; !signal.aborted;) {
      const more = new Promise<void>((resolve) => this.waiting.push(resolve));
      const events = await this.readFeed({ after: place, limit: batchSize });
      place = events.at(-1)?.position ?? place;
      yield { events, caughtUp: events.length < batchSize };
      if (events.length === 0) await Promise.race([more, ended]);
    }
  }

  async head(): Promise<string> {
    return this.events.at(-1)?.position ?? '';
  }

  async identity(): Promise<string> {
    return 'memory';
  }

  async close(): Promise<void> {}
}
