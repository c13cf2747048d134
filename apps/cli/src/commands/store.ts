import { SystemClock } from '@rekey/ports';
import type { Command } from 'commander';
import path from 'node:path';
import { confirm } from '../asking';
import { counted } from '../output';
import { action, type Io, type Session } from '../session';

interface StoreOptions {
  readonly data?: string;
  readonly serverConfig?: string;
}

interface RestoreOptions extends StoreOptions {
  readonly yes?: boolean;
  readonly acceptBrokenChains?: boolean;
}

// The store and the configuration are loaded when they are needed: they take longer to load than all other commands.

/** Backup and restore of the store of a server on this machine, in its folder; the server may go on working. */
export const addStoreCommands = (program: Command, io: Io): void => {
  const onStore = (name: string): Command =>
    program
      .command(name)
      .option('--data <folder>', "the server's folder; else storage.path of its configuration, ./data by default")
      .option('--server-config <file>', "the server's configuration; else REKEY_CONFIG, or rekey.yml here");

  onStore('backup')
    .description('copy the history of the server on this machine into a new file, while it runs')
    .argument('<file>', 'a file that is not there yet')
    .action(
      action<StoreOptions>(io, async (session, options, file) => {
        const folder = await folderOf(options);
        const { backup } = await import('@rekey/adapters/embedded');
        const report = await backup(folder, file);
        await told(session, report, `${file} holds ${counted(report.events, 'event')} of ${folder}.`);
        session.note(
          `The keys in ${folder} are not in it: keep sealing-key.json, command-seal-key.json, index-key and ` +
            'admin-token in a safe place of their own.',
        );
      }),
    );

  onStore('restore')
    .description('put a backup in the place of the history of the server on this machine, also while it runs')
    .argument('<file>', 'a file that `rekey backup` made')
    .option('-y, --yes', 'do not ask')
    .option('--accept-broken-chains', 'also one whose history was altered: to save what is left')
    .action(
      action<RestoreOptions>(io, async (session, options, file) => {
        const folder = await folderOf(options);
        const { acceptBrokenChains = false } = options;
        const what = `All that happened in ${folder} after this backup goes, and secrets revoked since then live again.`;
        await confirm(io, what, path.basename(file), options.yes);
        const { restore } = await import('@rekey/adapters/embedded');
        const report = await restore(folder, file, { clock: new SystemClock(), acceptBrokenChains });
        await told(session, report, `${folder} holds what ${file} holds: ${counted(report.events, 'event')}.`);
        session.note('A server that runs makes its views again from them, and says "unavailable" until then.');
      }),
    );
};

const told = (session: Session, report: object, words: string): Promise<void> =>
  session.line(session.json ? JSON.stringify(report) : words);

const folderOf = async ({ data, serverConfig }: StoreOptions): Promise<string> => {
  if (data !== undefined) return data;
  const { loadConfig } = await import('@rekey/platform');
  return loadConfig({ file: serverConfig }).storage.path;
};
