import { ROLES, type Role } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { EXIT, Failure, usage } from '../failure';
import { callerName, domainId, role, severalOf } from '../input';
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

/** Keys are made here, and only their public halves go to the configuration of others. */
export const addKeysCommand = (program: Command, io: Io): void => {
  program
    .command('keys')
    .description('make a key pair that signs commands over Kafka: the private half in a file, the public one to print')
    .addOption(new Option('--alg <algorithm>', 'what it signs with').choices(['EdDSA', 'ES256']).default('EdDSA'))
    .option('--out <file>', 'a file that is not there yet, for the private key')
    .option('--name <name>', 'the sender; stands in the history', callerName, 'my-service')
    .addOption(
      new Option(
        '--role <role>',
        `what the sender may do, several times: ${ROLES.join(', ')} (default: manager)`,
      ).argParser(severalOf(role)),
    )
    .option('--only-domain <id>', 'only in this domain; several times', severalOf(domainId))
    .addOption(
      new Option(
        '--folder <folder>',
        "instead: all keys of an installation's own that are missing in this folder",
      ).conflicts(['out', 'alg', 'name', 'role', 'onlyDomain']),
    )
    .option('--value-key', 'with --folder: print the public key that senders seal the values to which they bring')
    .action(
      action<KeysOptions>(io, async (session, options) => {
        if (options.folder !== undefined) return installationKeys(session, options.folder, options.valueKey ?? false);
        if (options.valueKey) throw usage('Of which installation? --folder names the folder of its keys.');
        if (options.out === undefined) throw usage('Where to? --out names the file of the private key.');
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
    if (code === 'EEXIST') throw new Failure(EXIT.refused, `${file} is there already; a key is never written over.`);
    throw new Failure(EXIT.refused, `${file} cannot be written (${code}).`);
  }
  const { name, role: roles = ['manager'], onlyDomain: domains = [] } = options;
  const service = { name, publicJwks: { keys: [publicKey] }, roles, domains, mayActFor: false };
  if (session.json) return session.line(JSON.stringify({ file, publicKey, service }));
  await session.line(JSON.stringify(publicKey));
  session.note(`\n${file} holds the private key: it belongs to the sender, and to nobody else.`);
  session.note('Make the public one known to Rekey in rekey.yml, and start its services again:\n');
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

/** What the services of an installation make for themselves at their first start, where it must be there before. */
const installationKeys = async (session: Session, folder: string, wantsValueKey: boolean): Promise<void> => {
  const { ensureKeys } = await import('@rekey/platform');
  const { signing, commandSeal, adminToken } = await ensureKeys(folder);
  const { publicKey } = signing;
  const valueKey = commandSeal.publicKey;
  if (session.json)
    return session.line(JSON.stringify({ folder, publicKey, valueKey, adminToken: { sha256: adminToken.sha256 } }));
  if (wantsValueKey) return session.line(JSON.stringify(valueKey));
  await session.line(JSON.stringify(publicKey));
  session.note(`\n${folder} holds all keys of an installation, and this is the public half of its signing key.`);
};
