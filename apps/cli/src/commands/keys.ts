import { ROLES, type Role } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { EXIT, Failure, usage } from '../failure';
import { callerName, domainId, role, repeatableOf } from '../input';
import { action, type Io, type Session } from '../session';

type Algorithm = 'EdDSA' | 'ES256';

interface KeysOptions {
  readonly alg: Algorithm;
  readonly out?: string;
  readonly folder?: string;
  readonly valueKey?: boolean;
  readonly name: string;
  readonly role?: readonly Role[];
  readonly onlyDomain?: readonly string[];
}

const OWNER_ONLY = 0o600;

/** Adds `rekey keys`. Private keys stay on this machine; only public keys go into the server configuration. */
export const addKeysCommand = (program: Command, io: Io): void => {
  program
    .command('keys')
    .summary('Create a signing key for commands over Kafka.')
    .description(
      'Create a signing key for commands over Kafka. Writes the private key to a file and prints the public key.',
    )
    .addOption(new Option('--alg <algorithm>', 'Signature algorithm.').choices(['EdDSA', 'ES256']).default('EdDSA'))
    .option('--out <file>', 'New file for the private key.')
    .option('--name <name>', 'Name of the sender, recorded in the history.', callerName, 'my-service')
    .addOption(
      new Option('--role <role>', `Role of the sender: ${ROLES.join(', ')} (default: manager). Repeatable.`).argParser(
        repeatableOf(role),
      ),
    )
    .option('--only-domain <id>', 'Limit the sender to this domain. Repeatable.', repeatableOf(domainId))
    .addOption(
      new Option(
        '--folder <folder>',
        'Instead, create the missing keys of a Rekey installation in this folder.',
      ).conflicts(['out', 'alg', 'name', 'role', 'onlyDomain']),
    )
    .option('--value-key', 'With --folder: print the public key with which senders encrypt secret values.')
    .action(
      action<KeysOptions>(io, async (session, options) => {
        if (options.folder !== undefined) return installationKeys(session, options.folder, options.valueKey ?? false);
        if (options.valueKey) throw usage('--value-key needs --folder.');
        if (options.out === undefined) throw usage('Missing file for the private key: pass --out.');
        return senderKey(session, options, options.out);
      }),
    );
};

const senderKey = async (session: Session, options: KeysOptions, file: string): Promise<void> => {
  const { parseSigningKey } = await import('@rekey/platform');
  const { publicKey, privateKey } = await parseSigningKey(newKey(options.alg), file);
  try {
    writeFileSync(file, `${JSON.stringify(privateKey)}\n`, { flag: 'wx', mode: OWNER_ONLY });
  } catch (error) {
    const { code = 'unknown cause' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Failure(EXIT.refused, `${file} already exists; keys are never overwritten.`);
    throw new Failure(EXIT.refused, `Cannot write ${file} (${code}).`);
  }
  const { name, role: roles = ['manager'], onlyDomain: domains = [] } = options;
  const service = { name, publicJwks: { keys: [publicKey] }, roles, domains, mayActFor: false };
  if (session.json) return session.line(JSON.stringify({ file, publicKey, service }));
  await session.line(JSON.stringify(publicKey));
  session.note(`\n${file} contains the private key. Give it to the sender only.`);
  session.note('Add the public key to rekey.yml and restart the services:\n');
  session.note(`access:\n  services:\n    - ${JSON.stringify(service)}`);
};

const newKey = (alg: Algorithm): string => {
  switch (alg) {
    case 'EdDSA':
      return JSON.stringify(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }));
    case 'ES256':
      return JSON.stringify(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }));
  }
};

/** Creates the keys that an installation would create on its first start, for services on several machines. */
const installationKeys = async (session: Session, folder: string, wantsValueKey: boolean): Promise<void> => {
  const { ensureKeys } = await import('@rekey/platform');
  const { signing, commandSeal, adminToken } = await ensureKeys(folder);
  const { publicKey } = signing;
  const valueKey = commandSeal.publicKey;
  if (session.json)
    return session.line(JSON.stringify({ folder, publicKey, valueKey, adminToken: { sha256: adminToken.sha256 } }));
  if (wantsValueKey) return session.line(JSON.stringify(valueKey));
  await session.line(JSON.stringify(publicKey));
  session.note(`\n${folder} contains all keys of the installation. The key above is its public signing key.`);
};
