import { applicationIdOf, type Duration, type Instant } from '@rekey/domain';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { usage } from './failure';
import { applicationId, clientId, domainId, duration, instant, wholeNumber } from './input';
import type { Session } from './session';

// Options that several commands share.

export interface DomainOptions {
  readonly domain?: string;
}

export interface ApplicationOptions extends DomainOptions {
  readonly app?: string;
  readonly clientId?: string;
}

export const inDomain = (command: Command): Command =>
  command.option('-d, --domain <id>', 'Domain id (default: REKEY_DOMAIN, then the settings file).', domainId);

/** Adds `--client-id`. It needs no lookup: the application id is derived from domain and client id. */
export const byClientId = (command: Command): Command =>
  command.option('--client-id <id>', 'Client id of the application.', clientId);

export const ofApplication = (command: Command): Command =>
  byClientId(inDomain(command)).addOption(
    new Option('--app <id>', 'Id of the application.').argParser(applicationId).conflicts('clientId'),
  );

/** Returns the domain and the application that the options or the argument name. Throws a usage `Failure`. */
export const applicationIn = (
  session: Session,
  options: ApplicationOptions,
  argument?: string,
): { readonly domain: string; readonly application: string } => {
  const domain = session.domain(options);
  const given = argument ?? options.app;
  if (given !== undefined && options.clientId !== undefined)
    throw usage('Pass the application id or --client-id, not both.');
  if (given !== undefined) return { domain, application: given };
  if (options.clientId !== undefined) return { domain, application: applicationIdOf(domain, options.clientId) };
  throw usage('Missing application: pass --client-id or the application id.');
};

export const paged = (command: Command): Command =>
  command
    .option('--limit <n>', 'Maximum number of items, up to 200 (default: 50).', wholeNumber(1, 200))
    .option('--after <cursor>', 'Continue after this cursor.')
    .option('--all', 'Fetch all pages.');

export const writes = (command: Command): Command =>
  command.option(
    '--idempotency-key <key>',
    'Makes retries safe: a request that is repeated with the same key is executed once.',
    (key) => {
      if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
      throw new InvalidArgumentError('Expected a key: 1 to 255 visible ASCII characters.');
    },
  );

/** Adds the options of a write that can be limited to a known revision. */
export const conditional = (command: Command): Command =>
  writes(command).option('--if-match <revision>', 'Fail unless this is still the current revision.', (text) => {
    const digits = /^"?(\d{1,15})"?$/.exec(text)?.[1];
    if (digits !== undefined) return `"${digits}"`;
    throw new InvalidArgumentError('Expected a whole number, as shown by `get`.');
  });

export interface ExpiryOptions {
  readonly expiresIn?: Duration;
  readonly expiresAt?: Instant;
  readonly never?: boolean;
}

export const expiring = (command: Command): Command =>
  command
    .addOption(
      new Option('--expires-in <duration>', 'Lifetime, e.g. 90d, 3months, 1y.')
        .argParser(duration)
        .conflicts(['expiresAt', 'never']),
    )
    .addOption(
      new Option('--expires-at <instant>', 'Expiry time, e.g. 2027-01-31T00:00:00Z.')
        .argParser(instant)
        .conflicts(['expiresIn', 'never']),
    )
    .addOption(new Option('--never', 'No expiry.').conflicts(['expiresIn', 'expiresAt']));

export const statedExpiry = ({ expiresIn, expiresAt, never }: ExpiryOptions): object => ({
  ...(expiresIn && { expiresIn }),
  ...(expiresAt !== undefined && { expiresAt }),
  ...(never && { expiresAt: null }),
});

/** Returns the body without undefined fields. */
export const defined = (body: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));

/** Returns the body without undefined fields. Throws a usage `Failure` if none is left. */
export const requireChange = (body: Readonly<Record<string, unknown>>, example: string): Record<string, unknown> => {
  const change = defined(body);
  if (Object.keys(change).length === 0) throw usage(`Nothing to change. Pass an option, e.g. ${example}.`);
  return change;
};
