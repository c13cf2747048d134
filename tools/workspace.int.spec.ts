import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Graph {
  nodes: Record<string, { data: { root: string; tags: string[] } }>;
  dependencies: Record<string, { target: string }[]>;
}

const root = join(__dirname, '..');
const layers = [
  ...['domain', 'contracts', 'ports', 'adapter', 'platform', 'feature', 'feature-edge', 'composition', 'client'],
  ...['app', 'bench', 'testing', 'tests'],
];

describe('Nx workspace', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-graph-'));
  let graph: Graph;

  beforeAll(() => {
    const file = join(folder, 'graph.json');
    const env = { ...process.env, NX_DAEMON: 'false' };
    execFileSync(join(root, 'node_modules/.bin/nx'), ['graph', `--file=${file}`], { cwd: root, env, stdio: 'pipe' });
    graph = (JSON.parse(readFileSync(file, 'utf8')) as { graph: Graph }).graph;
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('puts each project in exactly one layer', () => {
    const odd = Object.values(graph.nodes).filter(({ data: { tags } }) => {
      const own = tags.filter((tag) => !tag.startsWith('npm:'));
      return own.length !== 1 || !layers.includes(own[0]!);
    });
    expect(odd).toEqual([]);
  });

  // Cached builds depend on these edges, which Nx reads from imports only if nx.json enables it.
  it('finds the imports between projects', () => {
    expect(graph.dependencies['contracts']!.map(({ target }) => target)).toContain('domain');
  });

  it('has an alias for every lib', () => {
    const { paths } = JSON.parse(readFileSync(join(root, 'tsconfig.base.json'), 'utf8')).compilerOptions as {
      paths: Record<string, string[]>;
    };
    const files = Object.values(paths).flat();
    const libs = Object.values(graph.nodes).map(({ data }) => data.root);
    const without = libs.filter((lib) => lib.startsWith('libs/') && !files.includes(`./${lib}/src/index.ts`));
    expect(without).toEqual([]);
  });
});
