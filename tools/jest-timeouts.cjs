/* global expect, jest */
// How long a test may take, by its level. Jest looks at `testTimeout` of the command line alone, not of a project.
const TIMEOUTS_MS = { unit: 15_000, int: 30_000, e2e: 120_000 };

const level = /\.(unit|int|e2e)\.spec\.ts$/.exec(expect.getState().testPath)?.[1];
if (level) jest.setTimeout(TIMEOUTS_MS[level]);
