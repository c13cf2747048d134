#!/usr/bin/env node
// Runs ESLint on the repository, or on the given paths and options. Refreshes Nx's cached project graph first, because
// without it the boundary rule silently skips itself.
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
