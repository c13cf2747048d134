import { ROLES, type Role } from '@rekey/contracts';
import { base62 } from '@rekey/domain';
import { Option, type Command } from 'commander';
import { createHash, randomBytes } from 'node:crypto';
import { callerName, domainId, role, repeatableOf } from '../input';
import { action, type Io, type Session } from '../session';
import { valueOnly, type ValueOptions } from './values';

interface TokenOptions extends ValueOptions {
  readonly name: string;
  readonly role: readonly Role[];
  readonly onlyDomain?: readonly string[];
}

const TOKEN_BYTES = 32;
/** 256 bits in base62. */
const TOKEN_DIGITS = 43;

/** Adds `rekey token new`. The server never sees the token, only its SHA-256 in the configuration. */
export const addTokenCommands = (program: Command, io: Io): void => {
  const token = program.command('token').description('Create access tokens.');
  valueOnly(token.command('new'))
    .description('Create an access token. Prints it once, with the entry to add to rekey.yml.')
    .requiredOption('--name <name>', 'Name of the caller, recorded in the history.', callerName)
    .addOption(
      new Option('--role <role>', `Role of the caller: ${ROLES.join(', ')}. Repeatable.`)
        .argParser(repeatableOf(role))
        .makeOptionMandatory(),
    )
    .option('--only-domain <id>', 'Limit the token to this domain. Repeatable.', repeatableOf(domainId))
    .action(action<TokenOptions>(io, newToken));
};

/** `rka_` and 256 random bits in base62: no character needs escaping in a shell, a header or a URL. */
const newToken = async (session: Session, { name, role: roles, onlyDomain: domains = [], valueOnly }: TokenOptions) => {
  const value = `rka_${base62(BigInt(`0x${randomBytes(TOKEN_BYTES).toString('hex')}`), TOKEN_DIGITS)}`;
  const sha256 = createHash('sha256').update(value).digest('hex');
  const limits = domains.length > 0 ? `, domains: [${domains.join(', ')}]` : '';
  const entry = `    - { name: ${JSON.stringify(name)}, sha256: '${sha256}', roles: [${roles.join(', ')}]${limits} }`;
  if (session.json) return session.line(JSON.stringify({ token: value, name, sha256, roles, domains }));
  await session.line(valueOnly ? value : session.formatter.record([['Token', value]]));
  session.note('\nStore this token now; it cannot be shown again. Keep it in a file with mode 600.');
  session.note(`Add its hash to rekey.yml and restart the server:\n\naccess:\n  tokens:\n${entry}`);
};
