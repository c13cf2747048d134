#!/usr/bin/env node
// Builds and runs the benchmarks. Usage: npm run bench -- --help
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const node = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

const built = node('tools/build.mjs', 'standalone', 'command-service', 'expiry-watcher', 'gateway', 'projector');
if (built.status !== 0) process.exit(1);
const outdir = path.join(root, 'dist/bench');
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['bench/src/main.ts', 'bench/src/bare-fastify.ts', 'bench/src/bare-mongo.ts'],
  outdir,
  tsconfig: 'tsconfig.base.json',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  packages: 'external',
  sourcemap: true,
  keepNames: true,
  metafile: true,
  logLevel: 'warning',
});
// Worker threads are files of their own; copy them next to the bundle, as tools/build.mjs does.
for (const folder of new Set(Object.keys(metafile.inputs).map((file) => path.dirname(path.join(root, file)))))
  for (const name of readdirSync(folder).filter((name) => name.endsWith('-worker.mjs')))
    cpSync(path.join(folder, name), path.join(outdir, name));
const { status } = node('--enable-source-maps', path.join(outdir, 'main.js'), ...process.argv.slice(2));
process.exitCode = status ?? 1;
