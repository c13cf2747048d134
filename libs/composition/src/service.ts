import type { ShutdownStep } from './shutdown';

/** One of the services of a process. Starts while an engine is unavailable; its parts retry on their own. */
export abstract class Service {
  /** Starts the service. Its routes must be registered when this resolves, because the port opens next. */
  abstract start(): Promise<void>;

  /** Called before the port closes: refuse new work and end open streams. */
  drain(): void {}

  /** Steps that finish work in progress and release what the service holds, in order. */
  abstract stopSteps(): readonly ShutdownStep[];
}
