import { secretAnswer, secretWithValueAnswer } from '@rekey/contracts';
import { REVOCATION_REASONS, type Duration, type Instant } from '@rekey/domain';
import { Option, type Command } from 'commander';
import { path, type Answer, type Call } from '../client';
import { EXIT, Failure } from '../failure';
import { duration, instant, isUuid, repeatable, wholeNumber } from '../input';
import { applicationIn, conditional, defined, expiring, ofApplication, paged } from '../options';
import { requireChange, statedExpiry, type ApplicationOptions, type ExpiryOptions } from '../options';
import { action, parseBody, parsePage, type Io, type PageOptions, type Session } from '../session';
import { noteAccepted, showReceipt } from './receipts';
import { partialSecret, secretRecord, secretTable } from './secret-output';
import { showValue, valueOnly, type ValueOptions } from './values';

const partialCreated = secretWithValueAnswer.partial();

interface AddOptions extends ApplicationOptions, ExpiryOptions, ValueOptions {
  readonly notBefore?: Instant;
  readonly allow?: readonly string[];
}

interface RenewOptions extends ApplicationOptions, ExpiryOptions, ValueOptions {
  readonly overlap?: Duration;
  readonly ifVersion?: number;
}

interface EndOptions extends ApplicationOptions {
  readonly reason?: string;
  readonly force?: boolean;
}

interface UpdateOptions extends ApplicationOptions {
  readonly description?: string;
  readonly allow?: readonly string[];
  readonly allowAny?: boolean;
  readonly notBefore?: Instant;
  readonly clearNotBefore?: boolean;
}

export const addSecretCommands = (secret: Command, io: Io): void => {
  addCreateCommand(secret, io);
  addReadCommands(secret, io);
  addRenewCommands(secret, io);
  addEndCommands(secret, io);
  addUpdateCommand(secret, io);
};

const one = (secret: Command, name: string): Command =>
  ofApplication(secret.command(name)).argument('<secret>', 'Secret id or description.');

const addCreateCommand = (secret: Command, io: Io): void => {
  valueOnly(expiring(conditional(ofApplication(secret.command('add')))))
    .description('Create a secret and show its value once.')
    .argument('<description>', 'What the secret is for. Unique in the application.')
    .option('--not-before <instant>', 'Refuse the secret before this time.', instant)
    .option('--allow <network>', 'Accept the secret only from this network, e.g. 10.0.0.0/8. Repeatable.', repeatable)
    .action(
      action<AddOptions>(io, async (session, options, description) => {
        const { notBefore, allow } = options;
        const body = { ...defined({ description, notBefore, allowedCidrs: allow }), ...statedExpiry(options) };
        const url = `${applicationUrl(session, options)}/secrets`;
        await showCreated(
          session,
          options,
          await session.client.send({ method: 'POST', path: url, body, write: true }),
        );
      }),
    );
};

const addReadCommands = (secret: Command, io: Io): void => {
  paged(ofApplication(secret.command('list')))
    .description('List the secrets of an application, without their values.')
    .action(
      action<ApplicationOptions & PageOptions>(io, async (session, options) => {
        const call = { method: 'GET', path: `${applicationUrl(session, options)}/secrets` } as const;
        await session.list(call, options, secretAnswer, (items) => secretTable(session.formatter, items, io.now()));
      }),
    );

  one(secret, 'get')
    .description('Show a secret, without its value.')
    .action(
      action<ApplicationOptions>(io, async (session, options, name) => {
        await show(session, await session.client.send({ method: 'GET', path: await urlOf(session, options, name) }));
      }),
    );
};

const addRenewCommands = (secret: Command, io: Io): void => {
  valueOnly(expiring(conditional(one(secret, 'renew'))))
    .description('Give a secret a new value and show it once. The old value stops working at once, or after --overlap.')
    .option('--overlap <duration>', 'Accept the old value for this long, e.g. 2d.', duration)
    .option('--if-version <n>', 'Fail unless this is the current version.', wholeNumber(1, 1_000_000_000))
    .action(
      action<RenewOptions>(io, async (session, options, name) => {
        const { overlap, ifVersion } = options;
        const body = { ...defined({ overlap, version: ifVersion }), ...statedExpiry(options) };
        const call = await post(session, options, name, 'renew', body);
        await showCreated(session, options, await session.client.send(call));
      }),
    );

  conditional(one(secret, 'end-overlap'))
    .description('Stop accepting the old value of a renewed secret now.')
    .action(
      action<ApplicationOptions>(io, async (session, options, name) => {
        const answer = await session.client.send(await post(session, options, name, 'end-overlap'));
        await showReceipt(session, answer, 'The old value no longer works.');
      }),
    );
};

const addEndCommands = (secret: Command, io: Io): void => {
  const sendReason = (verb: string, done: string) =>
    action<EndOptions>(io, async (session, options, name) => {
      const { reason, force } = options;
      const call = await post(session, options, name, verb, defined({ reason, force }));
      await showReceipt(session, await session.client.send(call), done);
    });

  conditional(one(secret, 'revoke'))
    .description('Revoke a secret permanently.')
    .addOption(new Option('--reason <reason>', 'Reason as defined by RFC 5280.').choices(REVOCATION_REASONS))
    .option('--force', 'Revoke it even if it is the last one that authenticates.')
    .action(sendReason('revoke', 'Secret revoked.'));

  conditional(one(secret, 'suspend'))
    .description('Disable a secret until it is resumed.')
    .option('--reason <text>', 'Reason, recorded in the history.')
    .option('--force', 'Suspend it even if it is the last one that authenticates.')
    .action(sendReason('suspend', 'Secret suspended.'));

  conditional(one(secret, 'resume'))
    .description('Enable a suspended secret again.')
    .option('--reason <text>', 'Reason, recorded in the history.')
    .action(sendReason('resume', 'Secret resumed.'));
};

const addUpdateCommand = (secret: Command, io: Io): void => {
  conditional(one(secret, 'update'))
    .description('Change the description, networks or start time of a secret.')
    .option('--description <text>', 'New description.')
    .option(
      '--allow <network>',
      'Accept the secret only from this network, instead of the current ones. Repeatable.',
      repeatable,
    )
    .addOption(new Option('--allow-any', 'Accept the secret from any network.').conflicts('allow'))
    .option('--not-before <instant>', 'Refuse the secret before this time.', instant)
    .addOption(new Option('--clear-not-before', 'Remove the start time.').conflicts('notBefore'))
    .action(
      action<UpdateOptions>(io, async (session, options, name) => {
        const change = {
          description: options.description,
          allowedCidrs: options.allowAny ? [] : options.allow,
          notBefore: options.clearNotBefore ? null : options.notBefore,
        };
        const body = requireChange(change, '--description or --allow');
        const url = await urlOf(session, options, name);
        const answer = await session.client.send({ method: 'PATCH', path: url, body, write: true });
        noteAccepted(session, answer);
        await show(session, answer);
      }),
    );
};

const applicationUrl = (session: Session, options: ApplicationOptions): string => {
  const { domain, application } = applicationIn(session, options);
  return path`/api/v1/domains/${domain}/applications/${application}`;
};

/** Returns the path of a secret, named by its id or by its description, which is unique among unrevoked secrets. */
const urlOf = async (session: Session, options: ApplicationOptions, name: string): Promise<string> => {
  const secrets = `${applicationUrl(session, options)}/secrets`;
  if (isUuid(name)) return secrets + path`/${name.toLowerCase()}`;
  let after: string | undefined;
  do {
    const answer = await session.client.send({ method: 'GET', path: secrets, query: { limit: 200, after } });
    const page = parsePage(answer.body);
    const items = page.items.map((item) => parseBody(secretAnswer, item));
    const found = items.find((item) => item.description === name && item.status !== 'revoked');
    if (found) return secrets + path`/${found.id}`;
    after = page.next;
  } while (after !== undefined);
  const application = options.clientId ?? `application ${options.app ?? ''}`;
  throw new Failure(
    EXIT.refused,
    `No active secret "${name}" in ${application}. To name a revoked secret, use its id.`,
  );
};

const post = async (
  session: Session,
  options: ApplicationOptions,
  name: string,
  verb: string,
  body?: object,
): Promise<Call> => ({
  method: 'POST',
  path: `${await urlOf(session, options, name)}/${verb}`,
  ...(body && { body }),
  write: true,
  untilEffective: ['revoke', 'suspend', 'end-overlap'].includes(verb),
});

const showCreated = async (session: Session, options: ValueOptions, answer: Answer): Promise<void> => {
  noteAccepted(session, answer);
  await showValue(
    session,
    options,
    answer,
    partialCreated,
    ({ secret }) => secret,
    ({ formatter, io }, created) => secretRecord(formatter, created, io.now(), answer.etag),
  );
};

const show = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, partialSecret, (found) => secretRecord(session.formatter, found, session.io.now(), answer.etag));
