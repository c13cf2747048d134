import { secretAnswer, secretWithValueAnswer } from '@rekey/contracts';
import { REVOCATION_REASONS, type Duration, type Instant } from '@rekey/domain';
import { Option, type Command } from 'commander';
import type { z } from 'zod';
import { path, type Answer, type Call } from '../client';
import { EXIT, Failure } from '../failure';
import { duration, instant, isUuid, several, wholeNumber } from '../input';
import { applicationIn, changes, conditional, expiring, given, ofApplication, paged, statedExpiry } from '../options';
import type { ApplicationOptions, ExpiryOptions } from '../options';
import { status, when, words, type Paper } from '../output';
import { action, fits, pageIn, type Io, type PageOptions, type Session } from '../session';
import { noteAccepted, showReceipt } from './receipts';
import { showValue, valueOnly, type ValueOptions } from './values';

/** An answer of 202 does not hold all of it yet. */
const secretShown = secretAnswer.partial();
const madeShown = secretWithValueAnswer.partial();
type Secret = z.infer<typeof secretShown>;

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
  const one = (name: string): Command =>
    ofApplication(secret.command(name)).argument('<secret>', 'its id, or its description');

  valueOnly(expiring(conditional(ofApplication(secret.command('add')))))
    .description('add a secret, and show its value once')
    .argument('<description>', 'what it is for; unique in the application')
    .option('--not-before <instant>', 'it does not authenticate before this', instant)
    .option('--allow <network>', 'it authenticates only from this network, 10.0.0.0/8; several times', several)
    .action(
      action<AddOptions>(io, async (session, options, description) => {
        const { notBefore, allow } = options;
        const body = { ...given({ description, notBefore, allowedCidrs: allow }), ...statedExpiry(options) };
        const call = {
          method: 'POST',
          path: `${applicationUrl(session, options)}/secrets`,
          body,
          write: true,
        } as const;
        await showMade(session, options, await session.client.send(call));
      }),
    );

  paged(ofApplication(secret.command('list')))
    .description("list an application's secrets, never their values")
    .action(
      action<ApplicationOptions & PageOptions>(io, async (session, options) => {
        const call = { method: 'GET', path: `${applicationUrl(session, options)}/secrets` } as const;
        await session.list(call, options, secretAnswer, (items) => table(session.paper, items, io.now()));
      }),
    );

  one('get')
    .description('show a secret, never its value')
    .action(
      action<ApplicationOptions>(io, async (session, options, name) => {
        await show(session, await session.client.send({ method: 'GET', path: await urlOf(session, options, name) }));
      }),
    );

  valueOnly(expiring(conditional(one('renew'))))
    .description('give a secret a new value, and show it once; the old one ends now, or after an overlap')
    .option('--overlap <duration>', 'how long the old value still authenticates: 2d', duration)
    .option('--if-version <n>', 'only if this is the version that is replaced', wholeNumber(1, 1_000_000_000))
    .action(
      action<RenewOptions>(io, async (session, options, name) => {
        const { overlap, ifVersion } = options;
        const body = { ...given({ overlap, version: ifVersion }), ...statedExpiry(options) };
        await showMade(session, options, await session.client.send(await post(session, options, name, 'renew', body)));
      }),
    );

  conditional(one('end-overlap'))
    .description('end the older value of a renewed secret now')
    .action(
      action<ApplicationOptions>(io, async (session, options, name) => {
        const answer = await session.client.send(await post(session, options, name, 'end-overlap'));
        await showReceipt(session, answer, 'The older value is ended.');
      }),
    );

  conditional(one('revoke'))
    .description('revoke a secret for good')
    .addOption(new Option('--reason <reason>', 'why, in the words of RFC 5280').choices(REVOCATION_REASONS))
    .option('--force', 'even if it is the last one that authenticates')
    .action(
      action<EndOptions>(io, async (session, options, name) => {
        const { reason, force } = options;
        const answer = await session.client.send(
          await post(session, options, name, 'revoke', given({ reason, force })),
        );
        await showReceipt(session, answer, 'The secret is revoked.');
      }),
    );

  conditional(one('suspend'))
    .description('let a secret not authenticate until it is resumed')
    .option('--reason <text>', 'why, for the history')
    .option('--force', 'even if it is the last one that authenticates')
    .action(
      action<EndOptions>(io, async (session, options, name) => {
        const { reason, force } = options;
        const answer = await session.client.send(
          await post(session, options, name, 'suspend', given({ reason, force })),
        );
        await showReceipt(session, answer, 'The secret is suspended.');
      }),
    );

  conditional(one('resume'))
    .description('let a suspended secret authenticate again')
    .option('--reason <text>', 'why, for the history')
    .action(
      action<EndOptions>(io, async (session, options, name) => {
        const call = await post(session, options, name, 'resume', given({ reason: options.reason }));
        await showReceipt(session, await session.client.send(call), 'The secret is resumed.');
      }),
    );

  conditional(one('update'))
    .description("change a secret's description, networks or beginning")
    .option('--description <text>', 'a new description')
    .option('--allow <network>', 'the networks that it authenticates from, in place of those before', several)
    .addOption(new Option('--allow-any', 'it authenticates from everywhere').conflicts('allow'))
    .option('--not-before <instant>', 'it does not authenticate before this', instant)
    .addOption(new Option('--clear-not-before', 'it authenticates from now on').conflicts('notBefore'))
    .action(
      action<UpdateOptions>(io, async (session, options, name) => {
        const body = changes(
          {
            description: options.description,
            allowedCidrs: options.allowAny ? [] : options.allow,
            notBefore: options.clearNotBefore ? null : options.notBefore,
          },
          '--description or --allow',
        );
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

/** The path of a secret that is named by its id, or by the description that no other unrevoked one has. */
const urlOf = async (session: Session, options: ApplicationOptions, name: string): Promise<string> => {
  const secrets = `${applicationUrl(session, options)}/secrets`;
  if (isUuid(name)) return secrets + path`/${name.toLowerCase()}`;
  let after: string | undefined;
  do {
    const answer = await session.client.send({ method: 'GET', path: secrets, query: { limit: 200, after } });
    const page = pageIn(answer.body);
    const items = page.items.map((item) => fits(secretAnswer, item));
    const found = items.find((item) => item.description === name && item.status !== 'revoked');
    if (found) return secrets + path`/${found.id}`;
    after = page.next;
  } while (after !== undefined);
  throw new Failure(EXIT.refused, 'This application has no secret with that id or description that is not revoked.');
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
  settle: ['revoke', 'suspend', 'end-overlap'].includes(verb),
});

const showMade = async (session: Session, options: ValueOptions, answer: Answer): Promise<void> => {
  noteAccepted(session, answer);
  await showValue(
    session,
    options,
    answer,
    madeShown,
    (made) => made.secret,
    ({ paper, io }, made) => record(paper, made, io.now(), answer.etag),
  );
};

const show = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, secretShown, (found) => record(session.paper, found, session.io.now(), answer.etag));

const record = (paper: Paper, secret: Secret, now: Instant, etag: string | undefined): string => {
  const by = (at: string | undefined, who: { id: string } | undefined): string | undefined =>
    at && `${when(at, now)}${who ? ` by ${who.id}` : ''}`;
  const { expirySource, lastNotice } = secret;
  const source = expirySource === undefined ? '' : `, by ${SOURCES[expirySource] ?? expirySource}`;
  return paper.record([
    ['Secret', secret.id],
    ['Description', secret.description],
    ['Application', secret.clientId],
    ['Domain', secret.domainId],
    ['Status', secret.status && status(secret.status)],
    ['Version', secret.version?.toString()],
    ['Ends with', secret.hint],
    ['Expires', secret.expiresAt ? when(secret.expiresAt, now) + source : expirySource && `never${source}`],
    ['Own lifetime', secret.ownExpiresIn && words(secret.ownExpiresIn)],
    ['Not before', secret.notBefore && when(secret.notBefore, now)],
    ['Old value until', secret.previousValidUntil && when(secret.previousValidUntil, now)],
    ['Networks', secret.allowedCidrs?.join(', ') || undefined],
    ['Created', by(secret.createdAt, secret.createdBy)],
    ['Renewed', by(secret.renewedAt, secret.renewedBy)],
    ['Suspended', by(secret.suspendedAt, secret.suspendedBy)],
    ['Revoked', by(secret.revokedAt, secret.revokedBy)],
    ['Reason', secret.revocationReason],
    ['Expiry recorded', secret.expiredAt],
    ['Last notice', lastNotice && `${lastNotice.outcome} by ${lastNotice.channel}, ${when(lastNotice.at, now)}`],
    [
      'Last used',
      secret.lastUsedAt &&
        `${when(secret.lastUsedAt, now)}${secret.lastUsedFrom ? ` from ${secret.lastUsedFrom}` : ''}`,
    ],
    ['Uses', secret.uses?.toString()],
    ['Revision', etag?.replaceAll('"', '')],
  ]);
};

const SOURCES: Readonly<Record<string, string>> = {
  command: 'request',
  secret: "the secret's own lifetime",
  application: "the application's policy",
  domain: "the domain's policy",
  none: 'no rule',
  'domain-bound': "the domain's bound",
};

/** Secrets as rows; `wide`: of several applications. */
export const table = (paper: Paper, secrets: Secret[], now: Instant, wide = false): string =>
  paper.table(
    ['SECRET', ...(wide ? ['DOMAIN', 'CLIENT ID'] : []), 'DESCRIPTION', 'STATUS', 'VERSION', 'EXPIRES', 'LAST USED'],
    secrets.map((secret) => [
      secret.id,
      ...(wide ? [secret.domainId, secret.clientId] : []),
      secret.description,
      secret.status && status(secret.status),
      secret.version?.toString(),
      secret.expiresAt ? when(secret.expiresAt, now) : 'never',
      secret.lastUsedAt ? when(secret.lastUsedAt, now) : 'never',
    ]),
  );
