import { StandaloneProcess, temporaryFolder } from './standalone.testing';

/** What a test of the whole system talks to: a base URL and a token with all rights. Nothing else of it is known. */
export interface SystemUnderTest {
  readonly url: string;
  readonly token: string;
  /** Ends it as an operator would; resolves with the exit codes of its processes. */
  stop(): Promise<readonly (number | null)[]>;
  /** Starts it again on the same data, wherever it then listens. */
  restart(): Promise<SystemUnderTest>;
  /** Ends it, and takes its data away. */
  remove(): Promise<void>;
}

/** Standalone in a process of its own, with notices every second. The place to put another composition in. */
export const startSystem = async (): Promise<SystemUnderTest> => {
  const folder = temporaryFolder();
  const start = async (): Promise<SystemUnderTest> => {
    const env = { REKEY_NOTIFICATIONS_CRONEXPRESSION: '* * * * * *' };
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
