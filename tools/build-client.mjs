#!/usr/bin/env node
// Builds the package of libs/client in dist/libs/client or the given folder: ES module, CommonJS and one file of type
// declarations. Libs are inlined; packages become dependencies with the versions of the root package.json.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './build.mjs';
import { declarationsOf } from './declarations.mjs';

const SOURCE = 'libs/client';

/** Marks all modules as free of side effects, so that unused modules are dropped together with their packages. */
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

/** Bundles the client as CommonJS. Returns the packages that it imports. */
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
  // Not a second bundle: import and require must load the same classes.
  writeFileSync(path.join(folder, 'index.mjs'), "export * from './index.cjs';\n");
  writeFileSync(path.join(folder, 'index.d.ts'), declarationsOf(`${SOURCE}/src/index.ts`));
  for (const file of ['package.json', 'README.md']) cpSync(path.join(root, SOURCE, file), path.join(folder, file));
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await buildClient(path.resolve(process.argv[2] ?? path.join(root, 'dist', SOURCE)));
