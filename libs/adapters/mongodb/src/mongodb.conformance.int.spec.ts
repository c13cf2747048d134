import { outcomesConformance, readModelsConformance } from '@rekey/ports/conformance';
import { describeOn } from '@rekey/testing';
import { MongoDatabase } from './mongo-database';
import { MongoOutcomes } from './mongo-outcomes';
import { MongoReadModels } from './mongo-read-models';
import { databaseName, dropDatabase } from './mongodb.testing';

/** Generous, for the machine may be busy with other tests. */
const TIMEOUT_MS = 25_000;

describeOn(['mongodb'], ({ mongodb: uri }) => {
  readModelsConformance('MongoReadModels', async () => {
    const database = databaseName();
    let open: { connection: MongoDatabase; models: MongoReadModels }[] = [];
    const restart = async (): Promise<void> => {
      for (const { connection, models } of open) await models.close().then(() => connection.close());
      open = [];
    };
    return {
      open: async () => {
        const connection = new MongoDatabase({ uri, database, timeoutMs: TIMEOUT_MS });
        const models = new MongoReadModels(connection);
        open.push({ connection, models });
        return models;
      },
      restart,
      remove: () => restart().then(() => dropDatabase(uri, database)),
    };
  });

  outcomesConformance('MongoOutcomes', async () => {
    const database = databaseName();
    const connections: MongoDatabase[] = [];
    const connect = async (): Promise<MongoOutcomes> => {
      const connection = new MongoDatabase({ uri, database, timeoutMs: TIMEOUT_MS });
      connections.push(connection);
      return new MongoOutcomes(connection);
    };
    return {
      outcomes: await connect(),
      another: connect,
      reopen: connect,
      close: async () => {
        await Promise.all(connections.map((connection) => connection.close()));
        await dropDatabase(uri, database);
      },
    };
  });
});
