import { setTimeout as sleep } from 'node:timers/promises';

type Look<T> = () => T | false | undefined | Promise<T | false | undefined>;

export interface Patience {
  /** Default: 20 seconds. */
  readonly timeoutMs?: number;
  /** Between two looks. Default: 10 ms. */
  readonly intervalMs?: number;
}

/** Polls `look` until it returns something truthy, and returns that. Throws an error that names `what` after a timeout. */
export const until = async <T>(
  what: string,
  look: Look<T>,
  { timeoutMs = 20_000, intervalMs = 10 }: Patience = {},
): Promise<T> => {
  for (const deadline = performance.now() + timeoutMs; ; await sleep(intervalMs)) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`Timed out after ${timeoutMs} ms waiting for ${what}.`);
  }
};

/** As `until`, for a condition whose source text says what it waits for. */
export const eventually = async (condition: Look<boolean>, patience?: Patience): Promise<void> =>
  void (await until(String(condition), condition, patience));

/** Resolves with the error that `work` rejects with; with an error that says so if it does not reject. */
export const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => new Error('The call did not fail.'),
    (error: unknown) => error,
  );
