import { SystemClock } from '@rekey/ports';
import type { Command } from 'commander';
import path from 'node:path';
import { confirm } from '../prompts';
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

// The store and the configuration are imported on demand: they take longer to load than all other commands together.

/** Adds `rekey backup` and `rekey restore` for the data folder of a server on this machine. */
export const addStoreCommands = (program: Command, io: Io): void => {
  const onStore = (name: string): Command =>
    program
      .command(name)
      .option('--data <folder>', 'Data folder (default: storage.path of the server configuration, ./data).')
      .option('--server-config <file>', 'Server configuration (default: REKEY_CONFIG, then ./rekey.yml).');

  onStore('backup')
    .summary('Back up the event history of a local server.')
    .description('Back up the event history of the server on this machine. The server may keep running.')
    .argument('<file>', 'New file.')
    .action(
      action<StoreOptions>(io, async (session, options, file) => {
        const folder = await folderOf(options);
        const { backup } = await import('@rekey/adapters/embedded');
        const report = await backup(folder, file);
        await showReport(session, report, `Backed up ${counted(report.events, 'event')} from ${folder} to ${file}.`);
        session.note(
          `The backup contains no keys. Store sealing-key.json, command-seal-key.json, index-key and admin-token ` +
            `from ${folder} separately in a safe place.`,
        );
      }),
    );

  onStore('restore')
    .summary('Restore the event history of a local server.')
    .description('Replace the event history of the server on this machine with a backup. The server may keep running.')
    .argument('<file>', 'Backup created by `rekey backup`.')
    .option('-y, --yes', 'Skip the confirmation.')
    .option('--accept-broken-chains', 'Restore the backup even if its history was altered.')
    .action(
      action<RestoreOptions>(io, async (session, options, file) => {
        const folder = await folderOf(options);
        const { acceptBrokenChains = false } = options;
        const what = `This discards all changes in ${folder} since the backup. Secrets revoked since then become active again.`;
        await confirm(io, what, path.basename(file), options.yes);
        const { restore } = await import('@rekey/adapters/embedded');
        const report = await restore(folder, file, { clock: new SystemClock(), acceptBrokenChains });
        await showReport(session, report, `Restored ${counted(report.events, 'event')} from ${file} to ${folder}.`);
        session.note('A running server now rebuilds its views and answers 503 (unavailable) until they are ready.');
      }),
    );
};

const showReport = (session: Session, report: object, message: string): Promise<void> =>
  session.line(session.json ? JSON.stringify(report) : message);

const folderOf = async ({ data, serverConfig }: StoreOptions): Promise<string> => {
  if (data !== undefined) return data;
  const { loadConfig } = await import('@rekey/platform');
  return loadConfig({ file: serverConfig }).storage.path;
};
