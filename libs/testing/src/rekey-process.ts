import { readFileSync } from 'node:fs';
import path from 'node:path';
import { TestProcess } from './test-process';

const DIST = path.resolve(__dirname, '../../../dist/apps');
const START_TIMEOUT_MS = 90_000;

export type AppName = 'standalone' | 'command-service' | 'projector' | 'expiry-watcher' | 'gateway';

export interface RekeyOptions {
  /** Environment in addition to `HOME` and the port. */
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

/** Variable of the port on which each app serves the API or its health. */
const PORTS: Readonly<Record<AppName, string>> = {
  standalone: 'REKEY_HTTP_PORT',
  gateway: 'REKEY_HTTP_PORT',
  'command-service': 'REKEY_OPERATIONS_PORTS_COMMANDSERVICE',
  projector: 'REKEY_OPERATIONS_PORTS_PROJECTOR',
  'expiry-watcher': 'REKEY_OPERATIONS_PORTS_EXPIRYWATCHER',
};

/**
 * A built app as a process, in a folder that is its working directory and `HOME`, with its data in `data` of that
 * folder unless `env` sets REKEY_STORAGE_PATH. Needs a current `dist`: the set-up of the e2e tests builds it.
 */
export class RekeyProcess extends TestProcess {
  private readonly storage: string;
  /** Resolves with the URL once the app is running. Rejects, with the output, if it exits first or takes too long. */
  readonly started: Promise<string>;

  /** Launches the app on `port`; 0: any free port. */
  constructor(
    readonly app: AppName,
    readonly folder: string,
    { env, args = [] }: RekeyOptions = {},
    port = 0,
  ) {
    const storage = env?.['REKEY_STORAGE_PATH'] ?? path.join(folder, 'data');
    const variables = { HOME: folder, REKEY_STORAGE_PATH: storage, [PORTS[app]]: String(port), ...env };
    super(path.join(DIST, app, 'main.js'), { args, folder, env: variables });
    this.storage = storage;
    this.started = this.printed(/is running at (\S+)/, START_TIMEOUT_MS).then(([, url = '']) => url);
    // A test that kills the process while it starts does not await this.
    this.started.catch(() => undefined);
  }

  /** The token with the admin role that the first process on a storage folder generates. */
  get token(): string {
    return readFileSync(path.join(this.storage, 'admin-token'), 'utf8').trim();
  }
}
