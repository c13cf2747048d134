#!/usr/bin/env node
// Lints texts as if they were at the given paths, for tools/lint-boundaries.int.spec.ts. Reads a JSON array of {file, text}
// and prints the violations of each. A separate process, because Jest cannot load ESLint's configuration. Works without
// type information, because the files do not exist.
import { text } from 'node:stream/consumers';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { refreshProjectGraph } from './project-graph.mjs';
import { root } from './build.mjs';

await refreshProjectGraph();
const eslint = new ESLint({ cwd: root, overrideConfig: [tseslint.configs.disableTypeChecked] });
const answers = [];
for (const { file, text: code } of JSON.parse(await text(process.stdin))) {
  const [result] = await eslint.lintText(code, { filePath: file });
  answers.push(result.messages.map(({ ruleId, message }) => ({ rule: ruleId, message })));
}
process.stdout.write(JSON.stringify(answers));
