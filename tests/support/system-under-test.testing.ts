import { FakeServer } from '@rekey/adapters/eventstoredb/testing';
import { describeOn, temporaryFolder } from '@rekey/testing';
import { ServiceProcesses, createTopics, environmentOf, type EngineUrls } from './services.testing';
import { StandaloneProcess } from './standalone.testing';

/** A running system, known to a test only by its base URL and an admin token. */
export interface SystemUnderTest {
  readonly url: string;
  readonly token: string;
  /** Stops it with SIGTERM. Resolves with the exit codes of its processes. */
  stop(): Promise<readonly (number | null)[]>;
  /** Starts it again on the same data. Its URL may change. */
  restart(): Promise<SystemUnderTest>;
  /** Stops it and deletes its data. */
  remove(): Promise<void>;
}

export type StartSystem = () => Promise<SystemUnderTest>;

const EVERY_SECOND = { REKEY_NOTIFICATIONS_CRONEXPRESSION: '* * * * * *' };

/** Starts standalone as a process, with notices every second. */
const startStandalone = async (urls: EngineUrls = {}): Promise<SystemUnderTest> => {
  const folder = temporaryFolder();
  const env = { ...environmentOf(folder.path, urls), ...EVERY_SECOND };
  const start = async (): Promise<SystemUnderTest> => {
    const standalone = await StandaloneProcess.start(folder.path, { env });
    return {
      url: standalone.url,
      token: standalone.token,
      stop: async () => [await standalone.stop()],
      restart: start,
      remove: async () => {
        await standalone.stop();
        folder.remove();
      },
    };
  };
  return start();
};

/** Starts the four services as processes, with notices every second. */
const startServices = async (urls: EngineUrls): Promise<SystemUnderTest> => {
  const folder = temporaryFolder();
  const env = { ...environmentOf(folder.path, urls), ...EVERY_SECOND };
  await createTopics(env);
  const start = async (): Promise<SystemUnderTest> => {
    const services = await ServiceProcesses.start(folder.path, env);
    return {
      url: services.url,
      token: services.token,
      stop: () => services.stop(),
      restart: start,
      remove: async () => {
        await services.stop();
        folder.remove();
      },
    };
  };
  return start();
};

/** Standalone with its events in the scripted server of the adapter's tests, which lives in this process. */
const startOnFakeServer = async (): Promise<SystemUnderTest> => {
  const server = await FakeServer.start();
  const started = await startStandalone({ eventstore: server.url });
  const withServer = (system: SystemUnderTest): SystemUnderTest => ({
    ...system,
    restart: async () => withServer(await system.restart()),
    remove: async () => {
      await system.remove();
      await server.stop();
    },
  });
  return withServer(started);
};

/**
 * The same tests on each composition: standalone, the four services on Kafka, MongoDB and Redis with the events in
 * SQLite, and both with EventStoreDB. Where an engine is missing, the report says so.
 */
export const describeSystems = (name: string, tests: (start: StartSystem) => void): void => {
  describe(name, () => {
    describe('as standalone', () => tests(() => startStandalone()));
    describe('as four services', () =>
      describeOn(['kafka', 'mongodb', 'redis'], (urls) => tests(() => startServices(urls))));
    describe('as four services that share one SQLite file', () =>
      describeOn(['kafka'], (urls) => tests(() => startServices(urls))));
    describe('as standalone on a scripted EventStoreDB', () => tests(startOnFakeServer));
    describe('as standalone on a real EventStoreDB', () =>
      describeOn(['eventstore'], (urls) => tests(() => startStandalone(urls))));
    describe('as four services on a real EventStoreDB', () =>
      describeOn(['eventstore', 'kafka', 'mongodb', 'redis'], (urls) => tests(() => startServices(urls))));
  });
};
