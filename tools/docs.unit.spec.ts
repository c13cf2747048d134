import { ERRORS } from '@rekey/contracts';
import { SECRET_PATTERN } from '@rekey/domain';
import { Metrics } from '@rekey/platform';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '..');
const TOP_FOLDERS = ['libs', 'apps', 'tests', 'tools', 'bench', 'deploy', 'docs'];
const textOf = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');

const filesUnder = (folder: string): string[] =>
  readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.posix.join(folder, entry.name);
    if (!entry.isDirectory()) return [file];
    return entry.name === 'node_modules' || entry.name === 'dist' ? [] : filesUnder(file);
  });
const files = TOP_FOLDERS.flatMap(filesUnder);
const fileNames = new Set([...readdirSync(ROOT), ...files.map((file) => path.posix.basename(file))]);
const pages = ['README.md', ...files.filter((file) => file.endsWith('.md'))];

/** Files that a build or a run creates. */
const GENERATED = /^(bench\/results\b|index\.mjs$)/;

/** Paths of this repository that a text names, in prose, tables or code: `libs/domain/src/index.ts`. */
const pathsIn = (text: string): string[] => {
  const named = new RegExp(String.raw`(?<![\w./@:-])(?:\./)?((?:${TOP_FOLDERS.join('|')})/[\w./-]*\w)`, 'g');
  return [...text.matchAll(named)].map(([, file = '']) => file).filter((file) => !GENERATED.test(file));
};
/** Names of source files without their folder: `active-view.ts`. */
const sourceFilesIn = (text: string): string[] =>
  [...text.matchAll(/`([\w.-]+\.(?:ts|mjs))`/g)].map(([, file = '']) => file).filter((file) => !GENERATED.test(file));

/** Names of classes, events and commands in a text: `ActiveView`. */
const codeNamesIn = (text: string): string[] =>
  [...text.matchAll(/`((?:[A-Z][a-z]+){2,})(?:\.\w+)?`/g)].map(([, name = '']) => name);
const sources = files
  .filter((file) => /^(libs|apps)\/.*\.ts$/.test(file) && !file.endsWith('.spec.ts'))
  .map(textOf)
  .join('\n');

/** GitHub's anchor for a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
const anchorsOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));

describe.each(pages)('%s', (page) => {
  const text = textOf(page);

  it('has no broken links', () => {
    const links = [...text.matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)].map(([, link = '']) => link);
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : path.posix.join(path.posix.dirname(page), file);
      if (!existsSync(path.join(ROOT, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names files that exist', () => {
    expect(pathsIn(text).filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
    expect(sourceFilesIn(text).filter((file) => !fileNames.has(file))).toEqual([]);
  });

  it('names code that exists', () => {
    expect(codeNamesIn(text).filter((name) => !sources.includes(name))).toEqual([]);
  });

  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const named = [...text.matchAll(/\bnpm (?:run (?:-s )?([\w:-]+)|(start|test)\b)/g)].map(
      ([, run, short]) => run ?? short,
    );
    expect(named.filter((name) => !(name! in scripts))).toEqual([]);
  });
});

it('publishes the pattern of a secret for scanners', () => {
  const [, published] = /```regex\n(.*)\n```/.exec(textOf('docs/security.md')) ?? [];
  expect(published).toBe(SECRET_PATTERN.source);
});

it('lists every error code with its status', () => {
  const chapter = /## Errors\n([\s\S]*?)\n## /.exec(textOf('docs/api.md'))?.[1] ?? '';
  const rows = [...chapter.matchAll(/^\| ([\d, ]+) \| (.*) \|$/gm)];
  const listed = rows.flatMap(([, statuses = '', codes = '']) =>
    [...codes.matchAll(/`([a-z]+(?:_[a-z]+)*)`(?! and| or)/g)]
      .map(([, code = '']) => code)
      .filter((code) => code !== 'field')
      .map((code, index, all) => {
        const each = statuses.split(', ').map(Number);
        return [code, each.length === all.length ? each[index] : each[0]];
      }),
  );
  expect(Object.fromEntries(listed)).toEqual(
    Object.fromEntries(Object.entries(ERRORS).map(([code, { status }]) => [code, status])),
  );
});

it('lists every metric', async () => {
  const names = (text: string, pattern: RegExp): string[] => [
    ...new Set([...text.matchAll(pattern)].map(([, name = '']) => name)),
  ];
  const actual = names(await new Metrics({ processMetrics: false }).text(), /^# HELP (\w+)/gm);
  expect(names(textOf('docs/operations.md'), /^\| `(rekey_\w+)`/gm).sort()).toEqual(actual.sort());
});

it('lists log messages that exist', () => {
  const chapter = /## Logs\n([\s\S]*?)\n## /.exec(textOf('docs/operations.md'))?.[1] ?? '';
  const messages = [...chapter.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell = '']) =>
    cell.match(/[^`]+(?=`(?:, `|$))/g),
  );
  expect(messages.length).toBeGreaterThan(5);
  // An ellipsis stands for values.
  const parts = messages.flatMap((message) => message?.split('…') ?? []).map((part) => part.trim());
  expect(parts.filter((part) => part !== 'msg' && !sources.includes(part))).toEqual([]);
});

it('numbers each decision by its file, once, and lists it in the index', () => {
  const records = readdirSync(path.join(ROOT, 'docs/adr')).filter((file) => /^\d/.test(file));
  const numbers = records.map((file) => Number(file.slice(0, 4)));
  expect(new Set(numbers).size).toBe(records.length);
  expect(records.map((file) => Number(/^# (\d+)\. /.exec(textOf(`docs/adr/${file}`))?.[1]))).toEqual(numbers);
  for (const file of records) expect(textOf('docs/adr/README.md')).toContain(`](${file})`);
});
