#!/usr/bin/env node
// Builds what is measured and what measures, and runs it: `npm run bench -- --help`.
import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const node = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

const built = node('tools/build.mjs', 'standalone');
if (built.status !== 0) process.exit(1);
const outdir = path.join(root, 'dist/bench');
await build({
  absWorkingDir: root,
  entryPoints: ['bench/src/main.ts', 'bench/src/bare-fastify.ts'],
  outdir,
  tsconfig: 'tsconfig.base.json',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  packages: 'external',
  sourcemap: true,
  keepNames: true,
  logLevel: 'warning',
});
// The embedded store starts its writing thread from a file beside the bundle.
cpSync(path.join(root, 'libs/adapters/embedded/src/sqlite-worker.mjs'), path.join(outdir, 'sqlite-worker.mjs'));
const { status } = node('--enable-source-maps', path.join(outdir, 'main.js'), ...process.argv.slice(2));
process.exitCode = status ?? 1;
