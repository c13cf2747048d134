import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const boundaries = '@nx/enforce-module-boundaries';
const noCycle = 'import-x/no-cycle';

/** [file, line, the rule that must refuse it, or null where it is fine] */
const cases: [file: string, line: string, rule: string | null][] = [
  // domain: nothing of ours, three pure packages, no clock, no chance, no machine
  ['libs/domain/src/x.ts', `import '@rekey/contracts';`, boundaries],
  ['libs/domain/src/x.ts', `import '@rekey/ports';`, boundaries],
  ['libs/domain/src/x.ts', `import '@rekey/platform';`, boundaries],
  ['libs/domain/src/x.ts', `import '../../contracts/src/index';`, boundaries],
  ['libs/domain/src/x.ts', `import 'zod';`, boundaries],
  ['libs/domain/src/x.ts', `import '@nestjs/common';`, boundaries],
  ['libs/domain/src/x.ts', `import 'fast-check';`, boundaries],
  ['libs/domain/src/x.ts', `import 'luxon'; import 'canonicalize'; import { v5 } from 'uuid'; v5('', '');`, null],
  ['libs/domain/src/x.unit.spec.ts', `import 'fast-check'; import 'node:fs';`, null],
  ['libs/domain/src/x.ts', `import { v4 } from 'uuid'; v4();`, 'no-restricted-imports'],
  ['libs/domain/src/x.ts', `import 'node:fs';`, 'no-restricted-imports'],
  ['libs/domain/src/x.ts', `import 'fs';`, 'no-restricted-imports'],
  ['libs/domain/src/x.ts', `import 'node:crypto';`, 'no-restricted-imports'],
  ['libs/domain/src/x.ts', `crypto.randomUUID();`, 'no-restricted-globals'],
  ['libs/domain/src/x.ts', `export const x = Date.now();`, 'no-restricted-properties'],
  ['libs/domain/src/x.ts', `export const x = Math.random();`, 'no-restricted-properties'],
  ['libs/domain/src/x.ts', `export const x = new Date();`, 'no-restricted-syntax'],
  ['libs/domain/src/x.ts', `import { DateTime } from 'luxon'; DateTime.utc();`, 'no-restricted-syntax'],
  ['libs/domain/src/x.ts', `export const x = new Date(0);`, null],
  // contracts and ports
  ['libs/contracts/src/x.ts', `import '@rekey/domain'; import 'zod'; import 'canonicalize';`, null],
  ['libs/contracts/src/x.ts', `import '@rekey/ports';`, boundaries],
  ['libs/contracts/src/x.ts', `import '@nestjs/common';`, boundaries],
  ['libs/ports/src/x.ts', `import '@rekey/domain'; import '@rekey/contracts';`, null],
  ['libs/ports/src/x.ts', `import '@rekey/platform';`, boundaries],
  ['libs/ports/src/conformance/x.ts', `import 'fast-check';`, null],
  // adapters
  ['libs/adapters/embedded/src/x.ts', `import '@rekey/ports'; import '@rekey/domain'; import 'libsql';`, null],
  ['libs/adapters/embedded/src/x.ts', `import '@rekey/adapters/hashing';`, boundaries],
  ['libs/adapters/embedded/src/x.ts', `import '@rekey/platform';`, boundaries],
  ['libs/adapters/embedded/src/x.ts', `import '@rekey/commands';`, boundaries],
  ['libs/adapters/embedded/src/x.ts', `import '@rekey/ports/conformance';`, 'no-restricted-imports'],
  ['libs/adapters/embedded/src/x.int.spec.ts', `import '@rekey/ports/conformance';`, null],
  // features: neither adapters nor each other, except in specs and their helpers
  ['libs/commands/src/x.ts', `import '@rekey/domain'; import '@rekey/ports'; import '@rekey/platform';`, null],
  ['libs/commands/src/x.ts', `import '@rekey/adapters/embedded';`, boundaries],
  ['libs/commands/src/x.int.spec.ts', `import '@rekey/adapters/embedded'; import '@rekey/read-models';`, null],
  ['libs/commands/src/x.testing.ts', `import '@rekey/adapters/embedded'; import 'mongodb';`, null],
  ['libs/commands/src/x.int.spec.ts', `import '@rekey/read-models/testing';`, null],
  ['libs/commands/src/x.ts', `import '@rekey/read-models/testing';`, boundaries],
  ['libs/commands/src/x.int.spec.ts', `import '@rekey/composition';`, boundaries],
  ['libs/commands/src/x.ts', `import '@rekey/read-models';`, boundaries],
  ['libs/commands/src/x.ts', `import '@rekey/gateway';`, boundaries],
  ['libs/commands/src/x.ts', `import 'libsql';`, boundaries],
  ['libs/platform/src/x.ts', `import '@rekey/commands';`, boundaries],
  // the edge: features, no adapters
  ['libs/gateway/src/x.ts', `import '@rekey/commands'; import '@rekey/audit'; import '@rekey/platform';`, null],
  ['libs/gateway/src/x.ts', `import '@rekey/adapters/notifiers';`, boundaries],
  // the client for other services: what sending a command needs, and nothing of handling one
  [
    'libs/client/src/x.ts',
    `import '@rekey/contracts'; import '@rekey/platform'; import '@rekey/adapters/kafka';`,
    null,
  ],
  ['libs/client/src/x.ts', `import '@rekey/commands';`, boundaries],
  ['libs/client/src/x.ts', `import '@rekey/composition';`, boundaries],
  ['libs/client/src/x.ts', `import 'kafkajs';`, boundaries],
  ['libs/client/src/x.ts', `export const x = process.env['HOME'];`, 'no-restricted-properties'],
  ['libs/platform/src/x.ts', `import '@rekey/client';`, boundaries],
  ['libs/gateway/src/x.ts', `import '@rekey/client';`, boundaries],
  // the parts of processes, and what only tests may use
  ['libs/platform/src/x.ts', `import '@rekey/composition';`, boundaries],
  ['libs/adapters/embedded/src/x.ts', `import '@rekey/testing';`, boundaries],
  ['libs/adapters/embedded/src/x.int.spec.ts', `import '@rekey/testing';`, null],
  ['libs/adapters/embedded/src/x.testing.ts', `import '@rekey/testing';`, null],
  ['libs/composition/src/x.ts', `import '@rekey/read-models/testing';`, 'no-restricted-imports'],
  ['libs/commands/src/x.int.spec.ts', `import '../../../tests/support/client.testing';`, boundaries],
  // tests of the whole system
  ['tests/http/x.int.spec.ts', `import '@rekey/composition'; import '@rekey/gateway'; import 'mongodb';`, null],
  ['tests/support/x.testing.ts', `import '@rekey/read-models/testing'; import '@rekey/testing';`, null],
  ['tests/http/x.int.spec.ts', `import '../../apps/cli/src/main';`, boundaries],
  // apps
  ['apps/standalone/src/x.ts', `import '@rekey/commands'; import '@rekey/adapters/embedded';`, null],
  ['apps/standalone/src/x.ts', `import '../../cli/src/main';`, boundaries],
  // nobody imports what package.json does not name
  ['apps/standalone/src/x.ts', `import 'semver';`, boundaries],
  // the environment
  ['libs/commands/src/x.ts', `export const x = process.env['HOME'];`, 'no-restricted-properties'],
  ['libs/commands/src/x.ts', `export const { env } = process;`, 'no-restricted-properties'],
  ['libs/commands/src/x.ts', `import { env } from 'node:process'; env;`, 'no-restricted-imports'],
  ['libs/adapters/embedded/src/x.ts', `export const x = process.env['HOME'];`, 'no-restricted-properties'],
  ['apps/standalone/src/x.ts', `export const x = process.env['HOME'];`, 'no-restricted-properties'],
  ['apps/standalone/src/config.ts', `export const x = process.env['HOME'];`, null],
  ['libs/platform/src/x.ts', `export const x = process.env['HOME'];`, null],
  ['libs/commands/src/x.int.spec.ts', `export const x = process.env['HOME'];`, null],
  // a test that no level would run
  ['libs/commands/src/x.spec.ts', `export {};`, 'no-restricted-syntax'],
  // the size of files and functions
  ['libs/commands/src/x.ts', `${'\n'.repeat(299)}export {};`, null],
  ['libs/commands/src/x.ts', `${'\n'.repeat(300)}export {};`, 'max-lines'],
  ['apps/cli/src/x.ts', `${'\n'.repeat(300)}export {};`, 'max-lines'],
  ['tools/x.mjs', `${'\n'.repeat(300)}export {};`, 'max-lines'],
  ['libs/commands/src/x.int.spec.ts', `${'\n'.repeat(300)}export {};`, null],
  ['libs/commands/src/x.ts', `export const x = () => {${'\n'.repeat(79)}};`, null],
  ['libs/commands/src/x.ts', `export const x = () => {${'\n'.repeat(80)}};`, 'max-lines-per-function'],
  ['bench/src/x.ts', `export const x = () => {${'\n'.repeat(80)}};`, 'max-lines-per-function'],
  ['libs/commands/src/x.unit.spec.ts', `export const x = () => {${'\n'.repeat(80)}};`, null],
  // import cycles: libs/domain/src/liveness.ts imports expiry-policy.ts
  ['libs/domain/src/expiry-policy.ts', `export * from './liveness';`, noCycle],
  ['libs/domain/src/x.ts', `export * from './liveness';`, null],
  // suppressions
  ['libs/commands/src/x.ts', `// eslint-disable-next-line no-var\nvar x; export { x };`, 'no-var'],
  ['libs/commands/src/x.ts', `// eslint-disable-next-line no-var\nexport {};`, 'no-warning-comments'],
  ['libs/commands/src/x.ts', `/* eslint-disable */\nexport {};`, 'no-warning-comments'],
  ['libs/commands/src/x.ts', `// prettier-ignore\nexport {};`, 'no-warning-comments'],
  ['libs/commands/src/x.ts', `// @ts-ignore\nexport {};`, 'no-warning-comments'],
  ['libs/commands/src/x.ts', `// @ts-expect-error: it is needed\nexport {};`, 'no-warning-comments'],
  ['tools/x.mjs', `// prettier-ignore\nexport {};`, 'no-warning-comments'],
  ['libs/commands/src/x.int.spec.ts', `// prettier-ignore\nexport {};`, null],
  // the rest of the rules
  ['libs/commands/src/x.ts', `export const x: any = 1;`, '@typescript-eslint/no-explicit-any'],
];

describe('the lint rules', () => {
  let answers: { rule: string | null; message: string }[][];

  beforeAll(() => {
    const input = JSON.stringify(cases.map(([file, text]) => ({ file, text: `${text}\n` })));
    const lint = spawnSync(process.execPath, [join(__dirname, 'lint-text.mjs')], { input, encoding: 'utf8' });
    if (lint.status !== 0) throw new Error(lint.stderr);
    answers = JSON.parse(lint.stdout);
  }, 120_000);

  it.each(cases.map((each, index) => [index, ...each] as const))('%i. in %s: %s', (index, _file, _line, rule) => {
    const found = answers[index]!.filter((each) => each.rule !== '@typescript-eslint/no-unused-expressions');
    if (rule === null) expect(found).toEqual([]);
    else expect(found.map((each) => each.rule)).toContain(rule);
  });
});
