#!/usr/bin/env node
// Makes the package of libs/client in dist/libs/client, or in the folder given: for import, for require, and one file of
// declarations. Our own libs are inlined, packages stay outside: each with the version of the root's package.json.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './build.mjs';
import { declarationsOf } from './declarations.mjs';

const SOURCE = 'libs/client';

/** Nothing of ours does anything by being imported: what of it is not used is left out, with the packages that it needs. */
const withoutSideEffects = {
  name: 'without-side-effects',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^/ }, async ({ path: name, pluginData, ...from }) => {
      if (pluginData?.resolved || from.kind === 'entry-point') return undefined;
      const { importer, namespace, resolveDir, kind } = from;
      const found = await resolve(name, { importer, namespace, resolveDir, kind, pluginData: { resolved: true } });
      return { ...found, sideEffects: false };
    });
  },
};

/** Bundles all of it as CommonJS; answers the packages that it imports. */
async function bundle(file) {
  const esbuild = await import('esbuild');
  const { metafile } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: [`${SOURCE}/src/index.ts`],
    outfile: file,
    tsconfig: 'tsconfig.base.json',
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    packages: 'external',
    plugins: [withoutSideEffects],
    metafile: true,
    logLevel: 'warning',
  });
  const names = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path: name }) => name));
  return new Set(names.filter((name) => !isBuiltin(name)));
}

const read = (file) => JSON.parse(readFileSync(path.join(root, file), 'utf8'));

export async function buildClient(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const imported = await bundle(path.join(folder, 'index.cjs'));
  const versions = read('package.json').dependencies;
  const dependencies = Object.fromEntries([...imported].sort().map((name) => [name, versions[name]]));
  const stated = read(`${SOURCE}/package.json`).dependencies;
  if (JSON.stringify(stated) !== JSON.stringify(dependencies))
    throw new Error(`The dependencies in ${SOURCE}/package.json must be ${JSON.stringify(dependencies)}`);
  // Not a bundle of its own: whoever imports it and whoever requires it have the same classes.
  writeFileSync(path.join(folder, 'index.mjs'), "export * from './index.cjs';\n");
  writeFileSync(path.join(folder, 'index.d.ts'), declarationsOf(`${SOURCE}/src/index.ts`));
  for (const file of ['package.json', 'README.md']) cpSync(path.join(root, SOURCE, file), path.join(folder, file));
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await buildClient(path.resolve(process.argv[2] ?? path.join(root, 'dist', SOURCE)));
