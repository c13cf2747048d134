import { setTimeout } from 'node:timers/promises';

const TIMEOUT_MS = 20_000;

/** Resolves when the condition is true; throws after 20 s. */
export const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  const startMs = performance.now();
  while (!(await condition())) {
    if (performance.now() - startMs > TIMEOUT_MS) throw new Error(`This never became true: ${condition}`);
    await setTimeout(2);
  }
};

/** Resolves with the error that the promise is rejected with. */
export const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => new Error('The call did not fail.'),
    (error: unknown) => error,
  );
