// Creates the folder of the engines that the test files of a run share. Workers read it from their environment.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export default () => {
  process.env.REKEY_TEST_RUN_FOLDER ??= mkdtempSync(path.join(tmpdir(), 'rekey-engines-'));
};
