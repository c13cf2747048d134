export { eventually as until } from '@rekey/testing';

/** Resolves with the error that the promise is rejected with. */
export const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => new Error('The call did not fail.'),
    (error: unknown) => error,
  );
