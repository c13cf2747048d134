import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MongoClient } from 'mongodb';

/** A server for the tests of one file, or why there is none. */
export type TestServer =
  { readonly uri: string; readonly stop: () => void } | { readonly uri?: never; readonly notRun: string };

const SCRIPTS = path.join(__dirname, '../../../../deploy/native/mongodb');
/** The first start on a machine fetches and compiles. */
const START_TIMEOUT_MS = 180_000;

/** Starts the emulator on a data folder, and answers how to connect; see `deploy/native`. */
export const startEmulator = (folder: string): string =>
  execFileSync(path.join(SCRIPTS, 'start.sh'), [folder, '0'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: START_TIMEOUT_MS,
  }).trim();

export const stopEmulator = (folder: string): void => {
  execFileSync(path.join(SCRIPTS, 'stop.sh'), [folder]);
};

/**
 * The server that `REKEY_TEST_MONGODB_URL` names, else the emulator started by the scripts of `deploy/native`. Throws
 * where neither is to be had and `REKEY_REQUIRE` names `mongodb`.
 */
const startMongo = (environment: NodeJS.ProcessEnv): TestServer => {
  const uri = environment['REKEY_TEST_MONGODB_URL'];
  if (uri) return { uri, stop: () => undefined };
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-mongodb-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const started = startEmulator(folder);
    const stop = (): void => {
      stopEmulator(folder);
      remove();
    };
    return { uri: started, stop };
  } catch (error) {
    remove();
    const cause = String((error as { stderr?: unknown }).stderr || error).trim();
    const notRun = `No MongoDB server: REKEY_TEST_MONGODB_URL is not set, and none could be started (${cause}).`;
    if (environment['REKEY_REQUIRE']?.split(',').includes('mongodb')) throw new Error(notRun, { cause: error });
    return { notRun };
  }
};

/** The tests of a file against a server of its own; where there is none, the report says that they were not run. */
export const describeOnMongo = (environment: NodeJS.ProcessEnv, tests: (uri: string) => void): void => {
  const server = startMongo(environment);
  if (server.uri === undefined) {
    process.stderr.write(`Not run: the tests on MongoDB. ${server.notRun}\n`);
    describe('on MongoDB', () => {
      it.skip(`not run: ${server.notRun}`, () => undefined);
    });
    return;
  }
  describe('on MongoDB', () => {
    afterAll(() => server.stop());
    tests(server.uri);
  });
};

/** Name of a database that no other test has. */
export const databaseName = (): string => `rekey-test-${randomUUID()}`;

export const dropDatabase = async (uri: string, name: string): Promise<void> => {
  const client = new MongoClient(uri);
  await client.db(name).dropDatabase();
  await client.close();
};
