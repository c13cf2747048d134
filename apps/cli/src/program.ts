import { Command, InvalidArgumentError } from 'commander';
import { addApplicationCommands } from './commands/applications';
import { addCheckCommand } from './commands/check';
import { addDomainCommands } from './commands/domains';
import { addHistoryCommands } from './commands/history';
import { addInventoryCommand } from './commands/inventory';
import { addTokenCommands } from './commands/tokens';
import { addKeysCommand } from './commands/keys';
import { addNotificationCommands } from './commands/notifications';
import { addOperationCommands } from './commands/operations';
import { addPolicyCommands } from './commands/policies';
import { addProjectionCommands } from './commands/projections';
import { addSignCommand } from './commands/sign';
import { addStoreCommands } from './commands/store';
import { addTopicCommands } from './commands/topics';
import { addSecretCommands } from './commands/secrets';
import { withoutSecrets } from './failure';
import { duration } from './input';
import type { Io } from './session';

const TIMEOUT_MAX_MS = 24 * 3_600_000;
const MILLISECONDS: Readonly<Record<string, number>> = { seconds: 1_000, minutes: 60_000, hours: 3_600_000 };

const HELP = `
Server and token:
  Set --url and --token-file, or REKEY_URL and REKEY_TOKEN_FILE (or
  REKEY_TOKEN), or url and tokenFile in ~/.config/rekey/cli.yml. In the folder
  where \`npm start\` runs, the defaults work.

Exit codes:
  0  success
  1  refused
  2  wrong command line
  3  no response or a temporary error; retry later
  4  check: credentials not valid
  5  accepted, not in effect everywhere yet
  6  verify: history altered`;

/** Returns the program with all commands. Parsing throws commander's errors instead of exiting the process. */
export const programOf = (io: Io): Command => {
  const program = new Command('rekey');
  program
    .description(
      'Manage client secrets: several active secrets per application, rotation without downtime, expiry by policy.',
    )
    .version(io.version, '-V, --version', 'Show the version.')
    .helpOption('-h, --help', 'Show help.')
    .helpCommand('help [command]', 'Show help for a command.')
    .option('--url <address>', 'Server address (default: http://127.0.0.1:8080).')
    .option('--token-file <file>', 'File with your access token.')
    .option('--token <token>', 'Access token. Other processes on this machine can read it; prefer --token-file.')
    .option('--config <file>', 'Settings file (default: ~/.config/rekey/cli.yml).')
    .option('--json', "Print the server's response as JSON.")
    .option('--timeout <duration>', 'Time to wait for a response (default: 30s).', milliseconds)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(withoutSecrets(text)),
      getOutHasColors: () => io.stdout.isTTY && io.environment.colour,
    })
    .showHelpAfterError('(run with --help for usage)')
    .allowExcessArguments(false)
    .exitOverride()
    .addHelpText('after', HELP);

  addDomainCommands(program, io);
  addApplicationCommands(program, io);
  const secret = program.command('secret').description('Manage the secrets of applications.');
  addSecretCommands(secret, io);
  addInventoryCommand(secret, io);
  addPolicyCommands(program, io);
  addCheckCommand(program, io);
  addHistoryCommands(program, io);
  addNotificationCommands(program, io);
  addOperationCommands(program, io);
  addProjectionCommands(program, io);
  addTokenCommands(program, io);
  addKeysCommand(program, io);
  addSignCommand(program, io);
  addTopicCommands(program, io);
  addStoreCommands(program, io);
  return program;
};

const milliseconds = (text: string): number => {
  const { amount, unit } = duration(text);
  const length = amount * (MILLISECONDS[unit] ?? NaN);
  if (length <= TIMEOUT_MAX_MS) return length;
  throw new InvalidArgumentError('Expected at most 24h.');
};
