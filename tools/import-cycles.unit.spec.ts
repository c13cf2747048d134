import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cyclesIn, importGraphOf } from './import-cycles.testing';

// The rule import-x/no-cycle does not follow imports of types and aliases; this check does.

describe('imports of the repository', () => {
  it('have no cycles', () => {
    const graph = importGraphOf(path.join(__dirname, '..'));
    expect(graph.get('libs/domain/src/index.ts')?.length).toBeGreaterThan(0);
    expect(cyclesIn(graph).map((cycle) => cycle.join(' -> '))).toEqual([]);
  });
});

describe('cyclesIn', () => {
  it('finds a cycle of any length, and a file that imports itself', () => {
    const graph = new Map([
      ['a', ['b', 'e']],
      ['b', ['c']],
      ['c', ['a']],
      ['d', ['d', 'a']],
      ['e', []],
    ]);
    expect(cyclesIn(graph)).toEqual([
      ['a', 'b', 'c', 'a'],
      ['d', 'd'],
    ]);
  });

  it('accepts a file that is imported twice', () => {
    const graph = new Map([
      ['a', ['b', 'c']],
      ['b', ['d']],
      ['c', ['d']],
      ['d', []],
    ]);
    expect(cyclesIn(graph)).toEqual([]);
  });
});

describe('importGraphOf', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'rekey-imports-'));
  const write = (file: string, text: string): void => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  };
  afterAll(() => rmSync(root, { recursive: true }));

  it('follows imports of values and types, exports, dynamic imports, folders and aliases', () => {
    execFileSync('git', ['init', '--quiet'], { cwd: root });
    const paths = { '@x/lib': ['./libs/lib/index.ts'] };
    write('tsconfig.base.json', JSON.stringify({ compilerOptions: { paths } }));
    write('libs/lib/index.ts', `export * from './value';\nexport type { T } from './type';`);
    write('libs/lib/value.ts', `import type { T } from './type';\nexport const load = () => import('../more');`);
    write('libs/lib/type.ts', `import 'node:fs';\nexport type T = import('./value').V;`);
    write('libs/more/index.ts', `import { load } from '@x/lib';`);
    expect(Object.fromEntries(importGraphOf(root))).toEqual({
      'libs/lib/index.ts': ['libs/lib/value.ts', 'libs/lib/type.ts'],
      'libs/lib/value.ts': ['libs/lib/type.ts', 'libs/more/index.ts'],
      'libs/lib/type.ts': ['libs/lib/value.ts'],
      'libs/more/index.ts': ['libs/lib/index.ts'],
    });
  });
});
