import { setTimeout } from 'node:timers/promises';

const PATIENCE_MS = 20_000;

/** Waits for something to become true. */
export const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  const begun = performance.now();
  while (!(await isSo())) {
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`It never became so: ${isSo}`);
    await setTimeout(2);
  }
};

/** What a promise is rejected with; an error where it is not. */
export const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => new Error('It did not fail.'),
    (error: unknown) => error,
  );
