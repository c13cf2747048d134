import { SqliteDatabase, SqliteEventStore, SqliteReadModels } from '@rekey/adapters/embedded';
import { EventStoreDbEventStore } from '@rekey/adapters/eventstoredb';
import { MongoDatabase, MongoReadModels } from '@rekey/adapters/mongodb';
import { SystemClock, type EventStore, type ReadModels } from '@rekey/ports';

/** Connections of the test to the stores that the processes use. */
export class ChaosStores {
  private constructor(
    readonly store: EventStore,
    readonly readModels: ReadModels,
    private readonly engines: readonly { close(): Promise<void> }[],
  ) {}

  static async open(env: Readonly<Record<string, string>>): Promise<ChaosStores> {
    const clock = new SystemClock();
    const { REKEY_EVENTSTORE_CONNECTIONSTRING: connectionString, REKEY_MONGODB_URI: uri } = env;
    const sqlite = await SqliteDatabase.open(env['REKEY_STORAGE_PATH'] ?? '');
    const store =
      connectionString === undefined
        ? await SqliteEventStore.open(sqlite, clock)
        : new EventStoreDbEventStore({
            connectionString,
            streamPrefix: env['REKEY_EVENTSTORE_STREAMPREFIX'] ?? '',
            clock,
          });
    if (uri === undefined) return new ChaosStores(store, await SqliteReadModels.open(sqlite), [sqlite]);
    const mongo = new MongoDatabase({ uri, database: env['REKEY_MONGODB_DATABASE'] ?? '' });
    return new ChaosStores(store, new MongoReadModels(mongo), [mongo, sqlite]);
  }

  async close(): Promise<void> {
    await this.readModels.close();
    await this.store.close();
    for (const engine of this.engines) await engine.close();
  }
}
