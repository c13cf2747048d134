// A folder for the engines that the test files of this run share; workers find it in their environment.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export default () => {
  process.env.REKEY_TEST_RUN_FOLDER ??= mkdtempSync(path.join(tmpdir(), 'rekey-engines-'));
};
