import { ERRORS } from '@rekey/contracts';
import { SECRET_PATTERN } from '@rekey/domain';
import { Metrics } from '@rekey/platform';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(__dirname, '..');
const textOf = (file: string): string => readFileSync(path.join(root, file), 'utf8');

const pagesUnder = (folder: string): string[] =>
  readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : pagesUnder(file);
    return file.endsWith('.md') ? [file] : [];
  });
const pages = ['README.md', ...['docs', 'deploy', 'bench'].flatMap(pagesUnder)];

/** Where a heading is linked to, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
const anchorsOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));

describe.each(pages)('%s', (page) => {
  const text = textOf(page);

  it('links to what is there', () => {
    const links = [...text.matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)].map(([, link = '']) => link);
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : path.posix.join(path.posix.dirname(page), file);
      if (!existsSync(path.join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names files that are there', () => {
    const files = [...text.matchAll(/`((?:libs|apps|tools|docs|deploy)\/[\w./-]+)`/g)].map(([, file = '']) => file);
    expect(files.filter((file) => !existsSync(path.join(root, file)))).toEqual([]);
  });

  it('names scripts that there are', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const named = [...text.matchAll(/\bnpm (?:run (?:-s )?([\w:-]+)|(start|test)\b)/g)].map(
      ([, run, short]) => run ?? short,
    );
    expect(named.filter((name) => !(name! in scripts))).toEqual([]);
  });
});

it('gives secret scanners the pattern that secrets are held to', () => {
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
  const there = names(await new Metrics({ processMetrics: false }).text(), /^# HELP (\w+)/gm);
  expect(names(textOf('docs/operations.md'), /^\| `(rekey_\w+)`/gm).sort()).toEqual(there.sort());
});

it('numbers decisions by their files, each number once', () => {
  const files = readdirSync(path.join(root, 'docs/adr')).filter((file) => /^\d/.test(file));
  const numbers = files.map((file) => Number(file.slice(0, 4)));
  expect(new Set(numbers).size).toBe(files.length);
  expect(files.map((file) => Number(/^# (\d+)\. /.exec(textOf(`docs/adr/${file}`))?.[1]))).toEqual(numbers);
});
