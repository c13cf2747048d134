import { SERVICES, createProcess, type Process } from '@rekey/composition';
import type { Config } from '@rekey/platform';
import type { DestinationStream } from 'pino';

export type Standalone = Process;

/** Creates a process that runs all services on the folder of `storage.path`. Throws as `createProcess` does. */
export const createStandalone = (config: Config, logTo?: DestinationStream): Promise<Standalone> =>
  createProcess({ config, services: SERVICES, logTo });
