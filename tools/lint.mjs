#!/usr/bin/env node
// ESLint over the tree, or over the paths and options given.
// The boundary rule reads Nx's project graph from a cache and *skips itself* where there is none: so make it first.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { refreshProjectGraph } from './project-graph.mjs';
import { root } from './build.mjs';

await refreshProjectGraph();
const given = process.argv.slice(2);
const paths = given.some((argument) => !argument.startsWith('-')) ? given : ['.', ...given];
const eslint = path.join(root, 'node_modules/eslint/bin/eslint.js');
const { status } = spawnSync(process.execPath, [eslint, '--max-warnings', '0', ...paths], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);
