/** One step of a shutdown; the name appears in the log when it fails. */
export interface ShutdownStep {
  readonly name: string;
  readonly run: () => void | Promise<void>;
}

export interface ShutdownFailure {
  readonly step: string;
  readonly error: unknown;
}

/** Thrown after the last step when at least one step failed. */
export class ShutdownError extends AggregateError {
  constructor(readonly failures: readonly ShutdownFailure[]) {
    super(
      failures.map(({ error }) => error),
      failures
        .map(({ step, error }) => `${step}: ${error instanceof Error ? error.message : String(error)}`)
        .join('; '),
    );
    this.name = 'ShutdownError';
  }
}

/**
 * Runs the steps one after the other. A step that throws does not keep the later ones from running.
 * Throws `ShutdownError` with all failures after the last step.
 */
export const runShutdown = async (steps: readonly ShutdownStep[]): Promise<void> => {
  const failures: ShutdownFailure[] = [];
  for (const { name, run } of steps) {
    try {
      await run();
    } catch (error) {
      failures.push({ step: name, error });
    }
  }
  if (failures.length > 0) throw new ShutdownError(failures);
};
