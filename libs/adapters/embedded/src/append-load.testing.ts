import { NO_STREAM, SystemClock, type NewEvent } from '@rekey/ports';
import { randomUUID } from 'node:crypto';
import { SqliteDatabase } from './sqlite-database';
import { SqliteEventStore } from './sqlite-event-store';

/** An acknowledged append, printed as one JSON line. */
export interface Acknowledged {
  readonly stream: string;
  readonly eventIds: readonly string[];
  readonly revision: number;
  readonly position: string;
}

const WRITERS = 16;

const someEvent = (number: number): NewEvent => {
  const id = randomUUID();
  return {
    eventId: id,
    type: 'ApplicationRenamed',
    data: { number, text: 'x'.repeat(number % 700) },
    metadata: {
      commandId: id,
      correlationId: id,
      causationId: id,
      actor: { type: 'system', id: 'load' },
      occurredAt: '2026-01-02T03:04:05.678Z',
      schemaVersion: 1,
      previousHash: '',
      hash: '',
    },
  };
};

/** Appends to the store of a folder forever, with many writers, and prints every append once it is acknowledged. */
const load = async (folder: string): Promise<void> => {
  const store = await SqliteEventStore.open(await SqliteDatabase.open(folder), new SystemClock());
  const write = async (): Promise<void> => {
    const stream = `application-${randomUUID()}`;
    for (let revision = NO_STREAM; ;) {
      const events = Array.from({ length: 1 + ((revision + 1) % 5) }, (_, index) => someEvent(revision + 1 + index));
      const appended = await store.append(stream, revision, events);
      revision = appended.revision;
      const told: Acknowledged = { stream, eventIds: events.map(({ eventId }) => eventId), ...appended };
      // Writes to a pipe are synchronous, so the line survives the process.
      process.stdout.write(`${JSON.stringify(told)}\n`);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, write));
};

void load(process.argv[2] as string);
