import { ROLES, type Role } from '@rekey/contracts';
import { base62 } from '@rekey/domain';
import { Option, type Command } from 'commander';
import { createHash, randomBytes } from 'node:crypto';
import { callerName, domainId, role, severalOf } from '../input';
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

/** Tokens are made here and made known to the server by its configuration: it never sees one before it is shown. */
export const addTokenCommands = (program: Command, io: Io): void => {
  const token = program.command('token').description('access tokens of callers');
  valueOnly(token.command('new'))
    .description('make an access token: shows it once, and the lines that make it known to the server in rekey.yml')
    .requiredOption('--name <name>', 'whom it is for; stands in the history', callerName)
    .addOption(
      new Option('--role <role>', `what its holder may do, several times: ${ROLES.join(', ')}`)
        .argParser(severalOf(role))
        .makeOptionMandatory(),
    )
    .option('--only-domain <id>', 'only in this domain; several times', severalOf(domainId))
    .action(action<TokenOptions>(io, newToken));
};

/** `rka_` and 256 random bits: no character that a shell, a header or a URL would escape. */
const newToken = async (session: Session, { name, role: roles, onlyDomain: domains = [], valueOnly }: TokenOptions) => {
  const value = `rka_${base62(BigInt(`0x${randomBytes(TOKEN_BYTES).toString('hex')}`), TOKEN_DIGITS)}`;
  const sha256 = createHash('sha256').update(value).digest('hex');
  const limits = domains.length > 0 ? `, domains: [${domains.join(', ')}]` : '';
  const entry = `    - { name: ${JSON.stringify(name)}, sha256: '${sha256}', roles: [${roles.join(', ')}]${limits} }`;
  if (session.json) return session.line(JSON.stringify({ token: value, name, sha256, roles, domains }));
  await session.line(valueOnly ? value : session.paper.record([['Token', value]]));
  session.note('\nThis token is shown this once; keep it in a file that only its user can read (chmod 600).');
  session.note(`Make it known to the server in rekey.yml, and start the server again:\n\naccess:\n  tokens:\n${entry}`);
};
