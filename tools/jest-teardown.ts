import { stopSharedEngines } from '../libs/testing/src/engines';

/** After all tests of a run: the engines that they shared are stopped. */
export default (): void => {
  const folder = process.env['REKEY_TEST_RUN_FOLDER'];
  if (folder !== undefined) stopSharedEngines(folder);
};
