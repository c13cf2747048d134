import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Package {
  version?: string;
  resolved?: string;
  hasInstallScript?: boolean;
  optionalDependencies?: Record<string, string>;
}

const read = (file: string): unknown => JSON.parse(readFileSync(join(__dirname, '..', file), 'utf8'));
const { packages } = read('package-lock.json') as { packages: Record<string, Package> };
const { allowScripts } = read('package.json') as { allowScripts: Record<string, boolean> };

/** Whether Node resolves `name` from a package at `from`: next to it, then in its parents. */
function found(from: string, name: string): boolean {
  const prefix = from === '' ? '' : `${from}/`;
  if (packages[`${prefix}node_modules/${name}`]) return true;
  return from !== '' && found(from.slice(0, Math.max(0, from.lastIndexOf('/node_modules/'))), name);
}

describe('package-lock.json', () => {
  // `npm ci` refuses a lock file without them, but npm writes one if a registry lacks some.
  it('lists the prebuilt binaries of every platform', () => {
    const missing = Object.entries(packages).flatMap(([at, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !found(at, name)),
    );
    expect(missing).toEqual([]);
  });

  it('does not name a registry', () => {
    expect(Object.values(packages).filter((each) => each.resolved)).toEqual([]);
  });

  it('allows or denies every install script', () => {
    const scripts = Object.entries(packages).filter(([, each]) => each.hasInstallScript);
    const names = scripts.map(([at]) => at.slice(at.lastIndexOf('node_modules/') + 'node_modules/'.length));
    expect(names.filter((name) => !(name in allowScripts))).toEqual([]);
  });
});
