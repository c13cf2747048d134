import { applicationIdOf, type Duration, type Instant } from '@rekey/domain';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { usage } from './failure';
import { applicationId, clientId, domainId, duration, instant, wholeNumber } from './input';
import type { Session } from './session';

// Options that several commands share, and what they mean.

export interface DomainOptions {
  readonly domain?: string;
}

export interface ApplicationOptions extends DomainOptions {
  readonly app?: string;
  readonly clientId?: string;
}

export const inDomain = (command: Command): Command =>
  command.option('-d, --domain <id>', 'the domain; else REKEY_DOMAIN, or the settings file', domainId);

/** `--client-id` finds an application without its id: the id follows from domain and client id. */
export const byClientId = (command: Command): Command =>
  command.option('--client-id <id>', 'the application, by its client id', clientId);

export const ofApplication = (command: Command): Command =>
  byClientId(inDomain(command)).addOption(
    new Option('--app <id>', 'the application, by its id').argParser(applicationId).conflicts('clientId'),
  );

/** The path of an application: its domain and its own id. */
export const applicationIn = (
  session: Session,
  options: ApplicationOptions,
  argument?: string,
): { readonly domain: string; readonly application: string } => {
  const domain = session.domain(options);
  const given = argument ?? options.app;
  if (given !== undefined && options.clientId !== undefined)
    throw usage('Name the application by its id or by --client-id, not by both.');
  if (given !== undefined) return { domain, application: given };
  if (options.clientId !== undefined) return { domain, application: applicationIdOf(domain, options.clientId) };
  throw usage('Which application? Name it by --client-id, or by its id.');
};

export const paged = (command: Command): Command =>
  command
    .option('--limit <n>', 'at most so many (50 by default, 200 at most)', wholeNumber(1, 200))
    .option('--after <cursor>', 'go on after a page before')
    .option('--all', 'all pages');

export const writes = (command: Command): Command =>
  command.option('--idempotency-key <key>', 'repeat a write of before: it is done once', (key) => {
    if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
    throw new InvalidArgumentError('A key has 1 to 255 visible ASCII characters.');
  });

/** A write that can be made to depend on what its caller has seen. */
export const conditional = (command: Command): Command =>
  writes(command).option('--if-match <revision>', 'only if nobody has changed it since this revision', (text) => {
    const digits = /^"?(\d{1,15})"?$/.exec(text)?.[1];
    if (digits !== undefined) return `"${digits}"`;
    throw new InvalidArgumentError('A revision is a whole number; `get` shows it.');
  });

export interface ExpiryOptions {
  readonly expiresIn?: Duration;
  readonly expiresAt?: Instant;
  readonly never?: boolean;
}

export const expiring = (command: Command): Command =>
  command
    .addOption(
      new Option('--expires-in <duration>', 'how long it lives: 90d, 3months, 1y')
        .argParser(duration)
        .conflicts(['expiresAt', 'never']),
    )
    .addOption(
      new Option('--expires-at <instant>', 'when it expires: 2027-01-31T00:00:00Z')
        .argParser(instant)
        .conflicts(['expiresIn', 'never']),
    )
    .addOption(new Option('--never', 'it does not expire').conflicts(['expiresIn', 'expiresAt']));

export const statedExpiry = ({ expiresIn, expiresAt, never }: ExpiryOptions): object => ({
  ...(expiresIn && { expiresIn }),
  ...(expiresAt !== undefined && { expiresAt }),
  ...(never && { expiresAt: null }),
});

/** A body without what nobody said. */
export const given = (body: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));

/** A change must change something. */
export const changes = (body: Readonly<Record<string, unknown>>, how: string): Record<string, unknown> => {
  const change = given(body);
  if (Object.keys(change).length === 0) throw usage(`Nothing to change. Say what, for example ${how}.`);
  return change;
};
