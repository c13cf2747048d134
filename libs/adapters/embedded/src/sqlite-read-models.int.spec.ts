import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ReadModelsUnderTest, readModelsConformance } from '@rekey/ports/conformance';
import { SqliteDatabase } from './sqlite-database';
import { SqliteReadModels } from './sqlite-read-models';

const store = async (): Promise<ReadModelsUnderTest> => {
  const folder = await mkdtemp(path.join(tmpdir(), 'rekey-read-models-'));
  let open: { database: SqliteDatabase; models: SqliteReadModels }[] = [];
  const restart = async (): Promise<void> => {
    for (const { database, models } of open) await models.close().then(() => database.close());
    open = [];
  };
  return {
    open: async () => {
      const database = await SqliteDatabase.open(folder);
      const models = await SqliteReadModels.open(database);
      open.push({ database, models });
      return models;
    },
    restart,
    remove: () => restart().then(() => rm(folder, { recursive: true })),
  };
};

readModelsConformance('SqliteReadModels', store);
