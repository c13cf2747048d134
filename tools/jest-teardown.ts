import { stopSharedEngines } from '../libs/testing/src/engines';

/** Stops the shared engines after all tests of a run. */
export default (): void => {
  const folder = process.env['REKEY_TEST_RUN_FOLDER'];
  if (folder !== undefined) stopSharedEngines(folder);
};
