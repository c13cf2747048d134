import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/**
 * Returns the TypeScript files of a repository with the files that each imports: statically, dynamically, or only for
 * types. Packages are left out. Paths are relative to `root`.
 */
export const importGraphOf = (root: string): ImportGraph => {
  const list = ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts', '*.tsx'];
  const names = execFileSync('git', list, { cwd: root, encoding: 'utf8' }).split('\n');
  const files = names.filter((name) => name !== '' && existsSync(path.join(root, name)));
  const known = new Set(files);
  const aliases = aliasesOf(root);
  const resolve = (file: string, target: string): string | undefined => {
    const name = target.startsWith('.') ? path.posix.join(path.posix.dirname(file), target) : aliases.get(target);
    if (name === undefined) return undefined;
    return [name, `${name}.ts`, `${name}.tsx`, `${name}/index.ts`].find((candidate) => known.has(candidate));
  };
  const importsOf = (file: string): string[] => {
    const { importedFiles } = ts.preProcessFile(readFileSync(path.join(root, file), 'utf8'), true, true);
    return importedFiles.flatMap(({ fileName }) => resolve(file, fileName) ?? []);
  };
  return new Map(files.map((file) => [file, importsOf(file)]));
};

/** Returns the path aliases of tsconfig.base.json. */
const aliasesOf = (root: string): ReadonlyMap<string, string> => {
  const { paths } = JSON.parse(readFileSync(path.join(root, 'tsconfig.base.json'), 'utf8')).compilerOptions as {
    paths: Record<string, readonly [string]>;
  };
  return new Map(Object.entries(paths).map(([alias, [file]]) => [alias, path.posix.normalize(file)]));
};

/** Returns every import cycle as the path that leads from a file back to itself, each file in one cycle at most. */
export const cyclesIn = (graph: ImportGraph): string[][] => {
  const cycles: string[][] = [];
  const finished = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    const start = trail.indexOf(file);
    if (start >= 0) cycles.push([...trail.slice(start), file]);
    if (start >= 0 || finished.has(file)) return;
    trail.push(file);
    for (const imported of graph.get(file) ?? []) visit(imported);
    trail.pop();
    finished.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return cycles;
};
