import { temporaryFolder } from '@rekey/testing';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../..');
const NEW_FILES = path.join(__dirname, 'new-files');
/** What the types, the build and the start of an app need. */
const COPIED = [
  'apps',
  'libs',
  'tools',
  'tests',
  'bench',
  'package.json',
  'rekey.example.yml',
  'tsconfig.base.json',
  'tsconfig.json',
  'jest.config.mjs',
];
const TIMEOUT_MS = 300_000;

/** Inserts `text` behind `after`, which occurs exactly once in the file. */
export interface Edit {
  readonly file: string;
  readonly after: string;
  readonly text: string;
}

/** A file that the change adds: `content`, or the file of that name and `.txt` in `new-files`. */
export interface NewFile {
  readonly file: string;
  readonly content?: string;
  /** Texts to replace in a file of `new-files`: its imports change with its place. */
  readonly replace?: Readonly<Record<string, string>>;
}

/** A copy of the sources that a test may change, with the same packages. */
export class SourceCopy {
  private readonly folder = temporaryFolder();

  constructor() {
    const ignored = /(^|\/)(node_modules|dist)(\/|$)/;
    for (const name of COPIED)
      cpSync(path.join(ROOT, name), this.path(name), {
        recursive: true,
        filter: (source) => !ignored.test(path.relative(ROOT, source)),
      });
    symlinkSync(path.join(ROOT, 'node_modules'), this.path('node_modules'));
  }

  path(file: string): string {
    return path.join(this.folder.path, file);
  }

  edit({ file, after, text }: Edit): void {
    const parts = readFileSync(this.path(file), 'utf8').split(after);
    if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} places instead of one with: ${after}`);
    writeFileSync(this.path(file), parts.join(after + text));
  }

  add({ file, content, replace = {} }: NewFile): void {
    if (existsSync(this.path(file))) throw new Error(`${file} exists.`);
    let text = content ?? readFileSync(path.join(NEW_FILES, `${path.basename(file)}.txt`), 'utf8');
    for (const [from, to] of Object.entries(replace)) text = text.replaceAll(from, to);
    mkdirSync(path.dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), text);
  }

  /** Runs a Node program in the copy. Throws with its output if it fails. */
  run(program: string, ...args: string[]): void {
    // A nested Jest with the variables of this run would stop its engines and overwrite its summary.
    const { PATH, HOME } = process.env;
    const env = { PATH, HOME };
    const options = { cwd: this.folder.path, env, encoding: 'utf8', timeout: TIMEOUT_MS } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], options);
    if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}:\n${stdout}\n${stderr}`);
  }

  remove(): void {
    this.folder.remove();
  }
}
