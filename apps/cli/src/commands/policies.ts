import { applicationAnswer, domainAnswer, policyAnswer } from '@rekey/contracts';
import type { ApplicationPolicy, Duration } from '@rekey/domain';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { z } from 'zod';
import { path, type Call } from '../client';
import { usage } from '../failure';
import { duration } from '../input';
import { applicationIn, requireChange, conditional, ofApplication, type ApplicationOptions } from '../options';
import { durationText } from '../output';
import { action, parseBody, type Io, type Session } from '../session';
import { noteAccepted } from './receipts';

interface SetOptions extends ApplicationOptions {
  readonly expireAfter?: Duration;
  readonly neverExpire?: boolean;
  readonly inherit?: boolean;
  readonly minLifetime?: Duration | 'none';
  readonly maxLifetime?: Duration | 'none';
  readonly preview?: boolean;
  readonly after?: string;
}

type Policy = z.infer<typeof domainAnswer>['policy'];

/** `after 90 days, at most 1 year` */
export const policyWords = ({ expiry, minLifetime, maxLifetime }: Policy): string => {
  const rule =
    expiry === undefined ? 'none' : expiry.mode === 'never' ? 'never' : `after ${durationText(expiry.after)}`;
  const least = minLifetime ? `, at least ${durationText(minLifetime)}` : '';
  return `${rule}${least}${maxLifetime ? `, at most ${durationText(maxLifetime)}` : ''}`;
};

export const applicationPolicyWords = (policy: ApplicationPolicy): string =>
  policy.mode === 'inherit' ? 'inherited' : policyWords({ expiry: policy });

const bound = (text: string): Duration | 'none' => (text === 'none' ? 'none' : duration(text));

export const addPolicyCommands = (program: Command, io: Io): void => {
  const policy = program.command('policy').description('Show and set expiry policies of domains and applications.');

  ofApplication(policy.command('get'))
    .description('Show the policy of a domain, or with --client-id or --app of an application.')
    .action(action<ApplicationOptions>(io, get));

  conditional(ofApplication(policy.command('set')))
    .description(
      'Set the policy of a domain, or with --client-id or --app of an application. Existing secrets keep their expiry.',
    )
    .addOption(
      new Option('--expire-after <duration>', 'New values expire after this long, e.g. 90d, 3months.')
        .argParser(duration)
        .conflicts(['neverExpire', 'inherit']),
    )
    .addOption(new Option('--never-expire', 'New values do not expire.').conflicts(['expireAfter', 'inherit']))
    .addOption(
      new Option('--inherit', 'Application only: use the rule of the domain.').conflicts([
        'expireAfter',
        'neverExpire',
      ]),
    )
    .option('--min-lifetime <duration>', 'Domain only: shortest allowed lifetime; none removes it.', bound)
    .option('--max-lifetime <duration>', 'Domain only: longest allowed lifetime; none removes it.', bound)
    .option('--preview', 'Change nothing; list existing secrets that would expire at another time under this policy.')
    .option('--after <cursor>', 'Continue the preview after this cursor.', (text) => {
      if (text !== '') return text;
      throw new InvalidArgumentError('Expected a cursor.');
    })
    .action(action<SetOptions>(io, set));
};

const namesApplication = ({ app, clientId }: ApplicationOptions): boolean =>
  app !== undefined || clientId !== undefined;

const get = async (session: Session, options: ApplicationOptions): Promise<void> => {
  const { url, formatter } = { url: urlOf(session, options), formatter: session.formatter };
  const answer = await session.client.send({ method: 'GET', path: url });
  const revision = answer.etag?.replaceAll('"', '');
  if (namesApplication(options)) {
    const { clientId, policy } = parseBody(applicationAnswer, answer.body);
    if (session.json) return session.line(JSON.stringify(policy));
    const rule = applicationPolicyWords(policy.expiry);
    return session.line(
      formatter.record([
        ['Application', clientId],
        ['Secrets expire', rule],
        ['Revision', revision],
      ]),
    );
  }
  const { id, policy } = parseBody(domainAnswer, answer.body);
  if (session.json) return session.line(JSON.stringify(policy));
  await session.line(
    formatter.record([
      ['Domain', id],
      ['Secrets expire', policyWords(policy)],
      ['Revision', revision],
    ]),
  );
};

const set = async (session: Session, options: SetOptions): Promise<void> => {
  const url = urlOf(session, options);
  const { body, etag } = namesApplication(options)
    ? { body: applicationRule(options), etag: undefined }
    : await domainRule(session, options, url);
  const call: Call = {
    method: 'PUT',
    path: `${url}/policy`,
    query: { preview: options.preview ? true : undefined, after: options.after },
    body,
    write: !options.preview,
    // The body repeats parts of the policy just read; If-Match makes the server refuse it if the policy changed since.
    ...(etag !== undefined && !options.preview && { ifMatch: etag }),
  };
  const answer = await session.client.send(call);
  noteAccepted(session, answer);
  await session.show(answer, policyAnswer.partial(), ({ affected }) => affectedWords(session, options, affected));
};

const urlOf = (session: Session, options: ApplicationOptions): string => {
  if (!namesApplication(options)) return path`/api/v1/domains/${session.domain(options)}`;
  const { domain, application } = applicationIn(session, options);
  return path`/api/v1/domains/${domain}/applications/${application}`;
};

const applicationRule = (options: SetOptions): object => {
  if (options.minLifetime !== undefined || options.maxLifetime !== undefined)
    throw usage(
      'Applications have no lifetime bounds. Omit --min-lifetime and --max-lifetime, or set them on the domain.',
    );
  const { expiry } = requireChange({ expiry: ruleOf(options) }, '--expire-after 90d, --never-expire or --inherit');
  return { expiry };
};

const ruleOf = ({ expireAfter, neverExpire, inherit }: SetOptions): object | undefined =>
  expireAfter
    ? { mode: 'after', after: expireAfter }
    : neverExpire
      ? { mode: 'never' }
      : inherit
        ? { mode: 'inherit' }
        : undefined;

/** Returns the complete new policy of a domain: the options, and the current policy for what they leave out. */
const domainRule = async (
  session: Session,
  options: SetOptions,
  url: string,
): Promise<{ body: object; etag: string | undefined }> => {
  if (options.inherit) throw usage('--inherit applies to applications only: pass --client-id or --app.');
  const requested = { expiry: ruleOf(options), minLifetime: options.minLifetime, maxLifetime: options.maxLifetime };
  requireChange(requested, '--expire-after 90d or --max-lifetime 1y');
  const answer = await session.client.send({ method: 'GET', path: url });
  const current = parseBody(domainAnswer, answer.body).policy;
  const expiry = requested.expiry ?? current.expiry;
  if (expiry === undefined)
    throw usage('This domain has no expiry rule yet: also pass --expire-after or --never-expire.');
  const bounds = Object.entries({
    minLifetime: requested.minLifetime ?? current.minLifetime,
    maxLifetime: requested.maxLifetime ?? current.maxLifetime,
  }).filter(([, length]) => length !== undefined && length !== 'none');
  return { body: { expiry, ...Object.fromEntries(bounds) }, etag: answer.etag };
};

type Affected = NonNullable<ReturnType<typeof policyAnswer.parse>['affected']>;

const affectedWords = ({ formatter }: Session, options: SetOptions, affected: Affected | undefined): string => {
  const head = options.preview ? 'Preview only; nothing was changed.' : 'Policy set. It applies to new values only.';
  if (!affected || affected.count === 0) return `${head} Every existing secret already matches it.`;
  const rows = affected.items.map((item) => [
    item.secretId,
    item.description,
    item.expiresAt ?? 'never',
    item.wouldExpireAt ?? 'never',
    item.wouldSource,
  ]);
  const secrets =
    affected.count === 1
      ? 'One existing secret keeps its expiry; it'
      : `${affected.count} existing secrets keep their expiry; they`;
  const more =
    affected.next === undefined ? '' : `\n\nMore secrets: pass --preview --after ${formatter.write(affected.next)}`;
  return `${head} ${secrets} would expire at another time under this policy:\n\n${formatter.table(['SECRET', 'DESCRIPTION', 'EXPIRES', 'WOULD EXPIRE', 'BY'], rows)}${more}`;
};
