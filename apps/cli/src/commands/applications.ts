import { applicationAnswer, registeredAnswer } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import { z } from 'zod';
import { askSecret, confirm } from '../asking';
import { path, type Answer } from '../client';
import { usage } from '../failure';
import { applicationId, clientId, instantOrAgo, several } from '../input';
import { applicationIn, byClientId, conditional, given, inDomain, paged, writes } from '../options';
import type { ApplicationOptions, DomainOptions } from '../options';
import { status, when, type Paper } from '../output';
import { action, type Io, type PageOptions, type Session } from '../session';
import { showThen } from './as-of';
import { updateBody, updating, type UpdateOptions } from './domains';
import { applicationPolicyWords } from './policies';
import { noteAccepted, pending } from './receipts';
import { showValue, valueOnly, type ValueOptions } from './values';

/** An answer of 202 does not hold all of it yet. */
const applicationShown = applicationAnswer.partial();
const registeredShown = registeredAnswer.partial();
type Application = z.infer<typeof applicationShown>;

interface RegisterOptions extends DomainOptions, ValueOptions {
  readonly clientId?: string;
  readonly contact?: readonly string[];
  readonly firstSecret?: string | true;
  readonly importSecret?: string | true;
}

export const addApplicationCommands = (program: Command, io: Io): void => {
  const app = program.command('app').description('applications: what has secrets');
  const one = (command: Command): Command =>
    byClientId(inDomain(command)).argument('[application-id]', 'its id, or name it by --client-id', applicationId);

  valueOnly(writes(inDomain(app.command('register'))))
    .description('register an application, with a first secret where one is asked for')
    .argument('<name>', 'its name for people')
    .option('--client-id <id>', 'its client id; made where it is not given', clientId)
    .option('--contact <email>', 'whom to tell of expiries; several times', several)
    .option('--first-secret [description]', 'also make a secret, and show its value once')
    .addOption(
      new Option(
        '--import-secret [description]',
        'also take over a secret that clients have already; its value comes from standard input or a question',
      ).conflicts(['firstSecret', 'valueOnly']),
    )
    .action(
      action<RegisterOptions>(io, async (session, options, name) => {
        const domain = session.domain(options);
        if (options.valueOnly && options.firstSecret === undefined)
          throw usage('--value-only shows the value of a first secret: add --first-secret.');
        const body = given({
          clientId: options.clientId,
          name,
          contacts: options.contact,
          firstSecret: await firstSecret(io, options),
        });
        const url = path`/api/v1/domains/${domain}/applications`;
        const answer = await session.client.send({ method: 'POST', path: url, body, write: true });
        noteAccepted(session, answer);
        if (options.firstSecret !== undefined)
          await showValue(
            session,
            options,
            answer,
            registeredShown,
            ({ firstSecret }) => firstSecret?.secret,
            registered,
          );
        else await session.show(answer, registeredShown, (made) => registered(session, made, answer));
      }),
    );

  paged(inDomain(app.command('list')))
    .description("list a domain's applications")
    .option('-q, --search <text>', 'only those whose client id or name holds this')
    .action(
      action<DomainOptions & PageOptions & { search?: string }>(io, async (session, options) => {
        const url = path`/api/v1/domains/${session.domain(options)}/applications`;
        const call = { method: 'GET', path: url, query: { q: options.search } } as const;
        await session.list(call, options, applicationAnswer, (items) => table(session.paper, items));
      }),
    );

  one(app.command('get'))
    .description('show an application, now or as it was')
    .option('--as-of <when>', 'as it was at an instant, or so long ago: replayed from the history', (text) =>
      instantOrAgo(text, io.now()),
    )
    .action(
      action<ApplicationOptions & { asOf?: string }, string | undefined>(io, async (session, options, id) => {
        const answer = await session.client.send({
          method: 'GET',
          path: urlOf(session, options, id),
          query: { asOf: options.asOf },
        });
        await (options.asOf === undefined ? show(session, answer) : showThen(session, answer));
      }),
    );

  updating(one(app.command('update')))
    .description('rename an application, change its contacts, disable or enable it')
    .action(
      action<ApplicationOptions & UpdateOptions, string | undefined>(io, async (session, options, id) => {
        const body = updateBody(options);
        const call = { method: 'PATCH', path: urlOf(session, options, id), body, write: true } as const;
        const answer = await session.client.send({ ...call, settle: options.disable ?? false });
        await show(session, answer);
        if (options.disable) pending(answer);
      }),
    );

  conditional(one(app.command('delete')))
    .description('delete an application: none of its secrets authenticates any more')
    .option('-y, --yes', 'do not ask')
    .action(
      action<ApplicationOptions & { yes?: boolean }, string | undefined>(io, async (session, options, id) => {
        const name = options.clientId ?? id ?? '';
        const url = urlOf(session, options, id);
        await confirm(io, `Application ${name} goes, with all its secrets.`, name, options.yes);
        const answer = await session.client.send({ method: 'DELETE', path: url, write: true, settle: true });
        await session.show(answer, z.unknown(), () => `Application ${name} is deleted.`);
        pending(answer);
      }),
    );
};

const firstSecret = async (io: Io, { firstSecret, importSecret }: RegisterOptions): Promise<object | undefined> => {
  const asked = firstSecret ?? importSecret;
  if (asked === undefined) return undefined;
  return given({
    description: asked === true ? undefined : asked,
    value: importSecret === undefined ? undefined : await askSecret(io, 'secret to import'),
  });
};

const urlOf = (session: Session, options: ApplicationOptions, id: string | undefined): string => {
  const { domain, application } = applicationIn(session, options, id);
  return path`/api/v1/domains/${domain}/applications/${application}`;
};

const show = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, applicationShown, (found) => record(session, found, answer.etag));

const record = (session: Session, application: Application, etag?: string): string => {
  const now = session.io.now();
  const { enabled, policy } = application;
  return session.paper.record([
    ['Application', application.id],
    ['Client id', application.clientId],
    ['Name', application.name],
    ['Domain', application.domainId],
    ['Status', enabled === undefined ? undefined : status(enabled ? 'enabled' : 'disabled')],
    ['Policy', policy && applicationPolicyWords(policy.expiry)],
    ['Contacts', application.contacts?.join(', ') || undefined],
    ['Secrets', application.secrets?.toString()],
    ['Created', application.createdAt && when(application.createdAt, now)],
    ['Updated', application.updatedAt && when(application.updatedAt, now)],
    ['Revision', etag?.replaceAll('"', '')],
  ]);
};

const registered = (session: Session, made: z.infer<typeof registeredShown>, { etag }: Answer): string => {
  const first = made.firstSecret;
  if (!first) return record(session, made, etag);
  const expiry = first.expiresAt === undefined ? 'never' : when(first.expiresAt, session.io.now());
  const secret = [
    ['Secret', first.id],
    ['Description', first.description],
    ['Expires', expiry],
  ] as const;
  return `${record(session, made, etag)}\n\n${session.paper.record(secret)}`;
};

const table = (paper: Paper, applications: Application[]): string =>
  paper.table(
    ['APPLICATION', 'CLIENT ID', 'NAME', 'STATUS', 'POLICY', 'SECRETS', 'CREATED'],
    applications.map((application) => [
      application.id,
      application.clientId,
      application.name,
      status(application.enabled ? 'enabled' : 'disabled'),
      application.policy && applicationPolicyWords(application.policy.expiry),
      String(application.secrets ?? 0),
      application.createdAt,
    ]),
  );
