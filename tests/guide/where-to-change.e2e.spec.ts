import { TestProcess, freePort, temporaryFolder, until } from '@rekey/testing';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { request, type Answer } from '../support/request.testing';
import { SourceCopy } from './copy.testing';
import { RECIPES } from './recipes.testing';

const PAGE = readFileSync(path.resolve(__dirname, '../../docs/architecture.md'), 'utf8');
const START_TIMEOUT_MS = 60_000;

interface Row {
  /** Matches the files of the row: `<name>` in a path stands for any name. */
  readonly files: readonly RegExp[];
  /** Whether every such change takes these files. */
  readonly always: boolean;
}

const patternOf = (file: string): RegExp =>
  new RegExp(`^${file.replaceAll(/[.+?^$()|[\]\\]/g, String.raw`\$&`).replaceAll(/<\w+>/g, '[^/]+')}$`);

/** The rows of the table under a heading of the page. A folder in a row is that of the new files behind it. */
const rowsUnder = (title: string): Row[] => {
  const [, rest = ''] = PAGE.split(`### ${title}\n`);
  const [section = ''] = rest.split(/^##/m);
  return [...section.matchAll(/^\| (`.*?) \| (.*) \|$/gm)].map(([, names = '', change = '']) => {
    const paths = [...names.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file);
    const folder = paths[0]?.endsWith('/') ? paths.shift() : '';
    return { files: paths.map((file) => patternOf(folder + file)), always: !change.startsWith('if needed: ') };
  });
};

describe.each(RECIPES)('docs/architecture.md: $title', ({ title, edits, newFiles }) => {
  const rows = rowsUnder(title);
  const changed = [...new Set([...edits, ...newFiles].map(({ file }) => file))];

  it('lists every file that the change takes', () => {
    const listed = rows.flatMap(({ files }) => files);
    expect(changed.filter((file) => !listed.some((pattern) => pattern.test(file)))).toEqual([]);
  });

  it('lists no other files, except those that only some changes need', () => {
    const needless = rows
      .filter(({ always }) => always)
      .flatMap(({ files }) => files)
      .filter((pattern) => !changed.some((file) => pattern.test(file)));
    expect(needless.map(String)).toEqual([]);
  });
});

describe('a copy of the sources with all of these changes', () => {
  const copy = new SourceCopy();
  const folder = temporaryFolder();
  const notices = path.join(folder.path, 'notices.ndjson');
  let server: TestProcess;
  let api: (method: string, target: string, body?: unknown) => Promise<Answer>;
  const secrets = '/domains/acme/applications';

  beforeAll(async () => {
    for (const { edits, newFiles } of RECIPES) {
      for (const newFile of newFiles) copy.add(newFile);
      for (const edit of edits) copy.edit(edit);
    }
    copy.run('tools/build.mjs', 'standalone');
    server = new TestProcess(copy.path('dist/apps/standalone/main.js'), {
      folder: folder.path,
      env: {
        HOME: folder.path,
        REKEY_HTTP_PORT: String(await freePort()),
        REKEY_STORAGE_PATH: path.join(folder.path, 'data'),
        REKEY_ADAPTERS_BUS: 'chained',
        REKEY_NOTIFIERS_FILE_PATH: notices,
      },
    });
    const [, url = ''] = await server.printed(/is running at (\S+)/, START_TIMEOUT_MS);
    const token = readFileSync(path.join(folder.path, 'data/admin-token'), 'utf8').trim();
    api = (method, target, body) => request({ url, token }, method, target, body);
    await api('POST', '/domains', { id: 'acme', name: 'Acme' });
  });
  afterAll(async () => {
    await server.stop();
    copy.remove();
    folder.remove();
  });

  it('has no type errors', () => {
    copy.run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json', '--noEmit', '--incremental', 'false');
  });

  it('passes the tests of what was changed', () => {
    const specs = ['libs/domain', 'libs/contracts', 'chained', 'file-notifier', 'config.int', 'openapi.unit'];
    copy.run('node_modules/jest/bin/jest.js', '--selectProjects', 'unit', 'int', '--', ...specs);
  });

  it('runs on the new adapter, with the new command, view, channel and route', async () => {
    const registered = await api('POST', secrets, {
      clientId: 'billing',
      name: 'Billing',
      contacts: ['ops@acme.example'],
    });
    expect(registered.status).toBe(201);
    const added = await api('POST', `${secrets}/${registered.body.id}/secrets`, {
      description: 'First',
      expiresIn: { amount: 1, unit: 'seconds' },
    });
    const renamed = await api('POST', `${secrets}/${registered.body.id}/secrets/${added.body.id}/rename`, {
      description: 'Renamed',
    });
    expect(renamed).toMatchObject({ status: 200, body: { description: 'Renamed' } });
    expect((await api('GET', '/time')).body.now).toMatch(/^\d{4}-/);
    const projections = await api('GET', '/projections');
    expect(projections.body.items).toContainEqual(expect.objectContaining({ view: 'contacts', ready: true }));
    const notice = await until('a notice', () => existsSync(notices) && readFileSync(notices, 'utf8').split('\n')[0]);
    expect(JSON.parse(notice)).toMatchObject({ clientId: 'billing', description: 'Renamed' });
  });
});
