#!/usr/bin/env node
// Bundles apps into dist/apps/<app>/main.js. Usage: node tools/build.mjs [app ...] (default: all apps).
// Libs are inlined through the paths of tsconfig.base.json; packages stay in node_modules.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const always = ['package.json', 'tsconfig.base.json', 'tools/build.mjs'];

export const apps = () =>
  readdirSync(path.join(root, 'apps')).filter((app) => existsSync(path.join(root, 'apps', app, 'src/main.ts')));
export const outputOf = (app) => path.join(root, 'dist/apps', app, 'main.js');
const inputsOf = (app) => path.join(root, 'dist/apps', app, 'inputs.json');

const hash = (file) =>
  createHash('sha256')
    .update(readFileSync(path.join(root, file)))
    .digest('base64url');

/** Whether the bundle matches the current sources. Compares contents, because a checkout changes file times. */
export function isCurrent(app) {
  try {
    const inputs = JSON.parse(readFileSync(inputsOf(app), 'utf8'));
    return existsSync(outputOf(app)) && Object.entries(inputs).every(([file, digest]) => hash(file) === digest);
  } catch {
    return false;
  }
}

/** Writes by rename, so that a process that starts meanwhile reads a complete bundle. */
function replace(file, content) {
  mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, file);
}

export async function build(app) {
  const esbuild = await import('esbuild');
  const out = outputOf(app);
  const { outputFiles, metafile } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: [`apps/${app}/src/main.ts`],
    outfile: out,
    tsconfig: 'tsconfig.base.json',
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    packages: 'external',
    sourcemap: true,
    metafile: true,
    write: false,
    logLevel: 'warning',
  });
  const sources = Object.keys(metafile.inputs);
  // Worker threads are files of their own: copy every *-worker.mjs next to a bundled source to the bundle.
  const workers = [...new Set(sources.map((file) => path.dirname(file)))].flatMap((folder) =>
    readdirSync(path.join(root, folder))
      .filter((name) => name.endsWith('-worker.mjs'))
      .map((name) => path.posix.join(folder, name)),
  );
  for (const worker of workers) {
    replace(path.join(path.dirname(out), path.basename(worker)), readFileSync(path.join(root, worker)));
  }
  for (const file of outputFiles) replace(file.path, file.contents);
  const inputs = Object.fromEntries([...sources, ...workers, ...always].sort().map((file) => [file, hash(file)]));
  replace(inputsOf(app), JSON.stringify(inputs, null, 1));
}

export async function buildOutdated(names = apps()) {
  for (const app of names) if (!isCurrent(app)) await build(app);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  for (const app of names.length > 0 ? names : apps()) await build(app);
}
