// A program for a test: appends by two clients of one process, whatever the server does, and ends by itself.
import { EngineUnavailable, NO_STREAM, START, SystemClock } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { EventStoreDbEventStore } from './eventstoredb-event-store';

const [, , connectionString = '', streams = '', appends = ''] = process.argv;
const clock = new SystemClock();
const limits = { callTimeoutMs: 1_000, appendRetryMs: 2_000 };
const stores = [0, 1].map(() => new EventStoreDbEventStore({ connectionString, clock, ...limits }));

const event = (number: number) => {
  const [commandId, hash] = [randomUUID(), 'a'.repeat(64)];
  const ids = { commandId, correlationId: commandId, causationId: commandId };
  const metadata = { ...ids, actor: { type: 'token' as const, id: 'test' }, occurredAt: clock.now(), schemaVersion: 1 };
  return {
    eventId: randomUUID(),
    type: 'SecretAdded',
    data: { number },
    metadata: { ...metadata, previousHash: hash, hash },
  };
};

const write = async (writer: number): Promise<void> => {
  const store = stores[writer % 2] as EventStoreDbEventStore;
  for (let revision = NO_STREAM; revision < Number(appends) - 1;) {
    const events = [event(revision + 1)];
    for (;;) {
      try {
        ({ revision } = await store.append(`application-${writer}`, revision, events));
        break;
      } catch (error) {
        if (!(error instanceof EngineUnavailable)) throw error;
      }
    }
    process.stdout.write('.');
  }
};

const follow = async (expected: number): Promise<number> => {
  const ending = new AbortController();
  let seen = 0;
  for await (const { events } of stores[0]?.subscribe({ after: START, batchSize: 50, signal: ending.signal }) ?? []) {
    seen += events.length;
    if (seen >= expected) ending.abort();
  }
  return seen;
};

void (async () => {
  // The clock's timers keep no process alive, nor does a connection that is gone.
  const alive = setInterval(() => undefined, 1_000);
  const writers = Array.from({ length: Number(streams) }, (_, writer) => write(writer));
  const seen = follow(Number(streams) * Number(appends));
  await Promise.all(writers);
  process.stdout.write(`\nseen ${await seen}\n`);
  await Promise.all(stores.map((store) => store.close()));
  clearInterval(alive);
})();
