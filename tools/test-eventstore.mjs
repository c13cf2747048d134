#!/usr/bin/env node
// `npm run test:eventstore`: runs all EventStoreDB tests (conformance suite and faults of the adapter, whole system, chaos)
// on the server in REKEY_TEST_EVENTSTORE_URL, or in a container if Docker is available. Events stay on the server, under
// a prefix per test.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { root } from './build.mjs';

const REQUIRED = [...(process.env.REKEY_REQUIRE ?? '').split(',').filter(Boolean), 'eventstore'];
const jest = path.join(root, 'node_modules/jest/bin/jest.js');
const runs = [
  ['--selectProjects', 'unit', 'int', '--', 'libs/adapters/eventstoredb'],
  ['--selectProjects', 'e2e', '--testNamePattern', 'EventStoreDB', '--', 'tests/(journeys/whole-system|chaos/)'],
];
let failed = 0;
for (const args of runs) {
  const env = { ...process.env, REKEY_REQUIRE: REQUIRED.join(',') };
  const { status } = spawnSync(process.execPath, [jest, '--ci', '--maxWorkers=1', ...args, ...process.argv.slice(2)], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  failed ||= status ?? 1;
}
process.exitCode = failed;
