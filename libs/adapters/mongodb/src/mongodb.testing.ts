import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';

/** Returns the name of a database for one test alone. */
export const databaseName = (): string => `rekey-test-${randomUUID()}`;

export const dropDatabase = async (uri: string, name: string): Promise<void> => {
  const client = new MongoClient(uri);
  await client.db(name).dropDatabase();
  await client.close();
};
