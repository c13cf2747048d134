import type { Command } from 'commander';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { EXIT } from './failure';
import { programOf } from './program';
import type { Io } from './session';

const page = readFileSync(path.join(__dirname, '../../../docs/cli.md'), 'utf8');

const io = {
  stdout: { write: () => true },
  stderr: { write: () => true },
  environment: { colour: false },
  version: '0',
  now: () => '2026-01-01T00:00:00.000Z',
} as unknown as Io;

const leaves = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);

const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, text = '']) => text.trim().split('\n'));
const lines = blocks.filter((line) => line.startsWith('rekey ')).map((line) => line.replace(/ [|>] .*/, ''));

describe('docs/cli.md', () => {
  it.each(lines)('shows a command that exists: %s', async (line) => {
    const program = programOf(io);
    let ran = 0;
    for (const leaf of leaves(program)) leaf.action(() => void ran++);
    await program.parseAsync(line.split(' ').slice(1), { from: 'user' });
    expect(ran).toBe(1);
  });

  it('names every command', () => {
    const table = page.slice(page.indexOf('## Commands'), page.indexOf('### Durations and instants'));
    const missing = leaves(programOf(io)).filter(
      (leaf) => !new RegExp(`\`(rekey )?.*\\b${leaf.name()}\\b`).test(table),
    );
    expect(missing.map((leaf) => leaf.name())).toEqual([]);
  });

  it('names every exit code', () => {
    for (const code of Object.values(EXIT)) expect(page).toMatch(new RegExp(`^\\| ${code} \\|`, 'm'));
  });
});
