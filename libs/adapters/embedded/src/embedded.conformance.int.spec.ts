import { type EventStore, type Outcomes, SystemClock } from '@rekey/ports';
import { commandBusConformance, eventStoreConformance, outcomesConformance } from '@rekey/ports/conformance';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LocalCommandBus } from './local-command-bus';
import { SqliteDatabase } from './sqlite-database';
import { SqliteEventStore } from './sqlite-event-store';
import { SqliteOutcomes } from './sqlite-outcomes';

/** One folder that is opened several times, each with its own database and write thread. */
const inFolder = <Port extends { close(): Promise<void> }>(open: (database: SqliteDatabase) => Promise<Port>) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-embedded-'));
  const opened: (() => Promise<void>)[] = [];
  const another = async (): Promise<Port> => {
    const database = await SqliteDatabase.open(folder);
    const port = await open(database);
    opened.push(async () => {
      await port.close();
      await database.close();
    });
    return port;
  };
  const closeAll = async () => void (await Promise.all(opened.splice(0).map((close) => close())));
  return {
    another,
    reopen: async () => {
      await closeAll();
      return another();
    },
    close: async () => {
      await closeAll();
      rmSync(folder, { recursive: true });
    },
  };
};

const clock = new SystemClock();

eventStoreConformance('SqliteEventStore', async () => {
  const opening = inFolder<EventStore>((database) => SqliteEventStore.open(database, clock));
  return { ...opening, store: await opening.another() };
});

outcomesConformance('SqliteOutcomes', async () => {
  const opening = inFolder<Outcomes>((database) => SqliteOutcomes.open(database));
  return { ...opening, outcomes: await opening.another() };
});

commandBusConformance('LocalCommandBus', async () => {
  const bus = new LocalCommandBus(clock);
  return { bus, server: bus, close: () => bus.close() };
});
