// Sets the timeout of a test by its level. Jest ignores `testTimeout` in the configuration of a project.
const TIMEOUTS_MS = { unit: 15_000, int: 30_000, e2e: 120_000 };

const level = /\.(unit|int|e2e)\.spec\.ts$/.exec(expect.getState().testPath)?.[1];
if (level) jest.setTimeout(TIMEOUTS_MS[level]);
