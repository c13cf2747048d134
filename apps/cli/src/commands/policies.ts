import { applicationAnswer, domainAnswer, policyAnswer } from '@rekey/contracts';
import type { ApplicationPolicy, Duration } from '@rekey/domain';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { z } from 'zod';
import { path, type Call } from '../client';
import { usage } from '../failure';
import { duration } from '../input';
import { applicationIn, changes, conditional, ofApplication, type ApplicationOptions } from '../options';
import { words } from '../output';
import { action, fits, type Io, type Session } from '../session';
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
  const rule = expiry === undefined ? 'none' : expiry.mode === 'never' ? 'never' : `after ${words(expiry.after)}`;
  const least = minLifetime ? `, at least ${words(minLifetime)}` : '';
  return `${rule}${least}${maxLifetime ? `, at most ${words(maxLifetime)}` : ''}`;
};

export const applicationPolicyWords = (policy: ApplicationPolicy): string =>
  policy.mode === 'inherit' ? "the domain's" : policyWords({ expiry: policy });

const bound = (text: string): Duration | 'none' => (text === 'none' ? 'none' : duration(text));

export const addPolicyCommands = (program: Command, io: Io): void => {
  const policy = program
    .command('policy')
    .description("when secrets expire: a domain's rule and bounds, or an application's own rule");

  ofApplication(policy.command('get'))
    .description("show a domain's policy, or with --client-id or --app an application's own")
    .action(action<ApplicationOptions>(io, get));

  conditional(ofApplication(policy.command('set')))
    .description(
      "set a domain's policy, or with --client-id or --app an application's own; existing secrets keep theirs",
    )
    .addOption(
      new Option('--expire-after <duration>', 'new secrets expire after this long: 90d, 3months')
        .argParser(duration)
        .conflicts(['neverExpire', 'inherit']),
    )
    .addOption(new Option('--never-expire', 'new secrets do not expire').conflicts(['expireAfter', 'inherit']))
    .addOption(
      new Option('--inherit', "an application's: do as the domain says").conflicts(['expireAfter', 'neverExpire']),
    )
    .option('--min-lifetime <duration>', "a domain's: no secret may live shorter; none: no such bound", bound)
    .option('--max-lifetime <duration>', "a domain's: no secret may live longer; none: no such bound", bound)
    .option('--preview', 'change nothing, show which existing secrets it would have treated otherwise')
    .option('--after <cursor>', 'go on after a page of these secrets', (text) => {
      if (text !== '') return text;
      throw new InvalidArgumentError('A cursor is not empty.');
    })
    .action(action<SetOptions>(io, set));
};

const ofAnApplication = ({ app, clientId }: ApplicationOptions): boolean => app !== undefined || clientId !== undefined;

const get = async (session: Session, options: ApplicationOptions): Promise<void> => {
  const { url, paper } = { url: urlOf(session, options), paper: session.paper };
  const answer = await session.client.send({ method: 'GET', path: url });
  const revision = answer.etag?.replaceAll('"', '');
  if (ofAnApplication(options)) {
    const { clientId, policy } = fits(applicationAnswer, answer.body);
    if (session.json) return session.line(JSON.stringify(policy));
    const rule = applicationPolicyWords(policy.expiry);
    return session.line(
      paper.record([
        ['Application', clientId],
        ['Secrets expire', rule],
        ['Revision', revision],
      ]),
    );
  }
  const { id, policy } = fits(domainAnswer, answer.body);
  if (session.json) return session.line(JSON.stringify(policy));
  await session.line(
    paper.record([
      ['Domain', id],
      ['Secrets expire', policyWords(policy)],
      ['Revision', revision],
    ]),
  );
};

const set = async (session: Session, options: SetOptions): Promise<void> => {
  const url = urlOf(session, options);
  const { body, seen } = ofAnApplication(options)
    ? { body: applicationRule(options), seen: undefined }
    : await domainRule(session, options, url);
  const call: Call = {
    method: 'PUT',
    path: `${url}/policy`,
    query: { preview: options.preview ? true : undefined, after: options.after },
    body,
    write: !options.preview,
    // What was not said is taken from what was read: nobody may have changed it in between.
    ...(seen !== undefined && !options.preview && { ifMatch: seen }),
  };
  const answer = await session.client.send(call);
  noteAccepted(session, answer);
  await session.show(answer, policyAnswer.partial(), ({ affected }) => affectedWords(session, options, affected));
};

const urlOf = (session: Session, options: ApplicationOptions): string => {
  if (!ofAnApplication(options)) return path`/api/v1/domains/${session.domain(options)}`;
  const { domain, application } = applicationIn(session, options);
  return path`/api/v1/domains/${domain}/applications/${application}`;
};

const applicationRule = (options: SetOptions): object => {
  if (options.minLifetime !== undefined || options.maxLifetime !== undefined)
    throw usage("Bounds are the domain's: leave --client-id or --app away, or the bounds.");
  const { expiry } = changes({ expiry: ruleOf(options) }, '--expire-after 90d, --never-expire or --inherit');
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

/** The whole policy that a domain is to have: what is said now, and for the rest what it has. */
const domainRule = async (
  session: Session,
  options: SetOptions,
  url: string,
): Promise<{ body: object; seen: string | undefined }> => {
  if (options.inherit) throw usage("--inherit is for an application's own policy: name it by --client-id or --app.");
  const said = { expiry: ruleOf(options), minLifetime: options.minLifetime, maxLifetime: options.maxLifetime };
  changes(said, '--expire-after 90d or --max-lifetime 1y');
  const answer = await session.client.send({ method: 'GET', path: url });
  const before = fits(domainAnswer, answer.body).policy;
  const expiry = said.expiry ?? before.expiry;
  if (expiry === undefined)
    throw usage('This domain has no rule yet: say --expire-after or --never-expire beside the bounds.');
  const bounds = Object.entries({
    minLifetime: said.minLifetime ?? before.minLifetime,
    maxLifetime: said.maxLifetime ?? before.maxLifetime,
  }).filter(([, length]) => length !== undefined && length !== 'none');
  return { body: { expiry, ...Object.fromEntries(bounds) }, seen: answer.etag };
};

type Affected = NonNullable<ReturnType<typeof policyAnswer.parse>['affected']>;

const affectedWords = ({ paper }: Session, options: SetOptions, affected: Affected | undefined): string => {
  const head = options.preview
    ? 'Nothing is changed.'
    : 'The policy is set; it counts for values that are made from now on.';
  if (!affected || affected.count === 0) return `${head} No existing secret would have been treated otherwise.`;
  const rows = affected.items.map((item) => [
    item.secretId,
    item.description,
    item.expiresAt ?? 'never',
    item.wouldExpireAt ?? 'never',
    item.wouldSource,
  ]);
  const many =
    affected.count === 1
      ? 'One existing secret keeps its expiry, though this policy'
      : `${affected.count} existing secrets keep their expiry, though this policy`;
  const more = affected.next === undefined ? '' : `\n\nThere are more: --preview --after ${paper.write(affected.next)}`;
  return `${head} ${many} would have said otherwise:\n\n${paper.table(['SECRET', 'DESCRIPTION', 'EXPIRES', 'WOULD EXPIRE', 'BY'], rows)}${more}`;
};
