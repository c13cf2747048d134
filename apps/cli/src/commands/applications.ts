import { applicationAnswer, registeredAnswer } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import { z } from 'zod';
import { askSecret, confirm } from '../prompts';
import { path, type Answer } from '../client';
import { usage } from '../failure';
import { applicationId, clientId, instantOrAgo, repeatable } from '../input';
import { applicationIn, byClientId, conditional, defined, inDomain, paged, writes } from '../options';
import type { ApplicationOptions, DomainOptions } from '../options';
import { status, when, type Formatter } from '../output';
import { action, type Io, type PageOptions, type Session } from '../session';
import { showAsOf } from './as-of';
import { updateBody, updateOptions, type UpdateOptions } from './domains';
import { applicationPolicyWords } from './policies';
import { noteAccepted, failIfPending } from './receipts';
import { showValue, valueOnly, type ValueOptions } from './values';

/** Partial: the answer 202 lacks some fields. */
const partialApplication = applicationAnswer.partial();
const partialRegistered = registeredAnswer.partial();
type Application = z.infer<typeof partialApplication>;

interface RegisterOptions extends DomainOptions, ValueOptions {
  readonly clientId?: string;
  readonly contact?: readonly string[];
  readonly firstSecret?: string | true;
  readonly importSecret?: string | true;
}

export const addApplicationCommands = (program: Command, io: Io): void => {
  const app = program.command('app').description('Manage applications, which authenticate with secrets.');
  addRegisterCommand(app, io);
  addReadCommands(app, io);
  addChangeCommands(app, io);
};

const one = (app: Command, name: string): Command =>
  byClientId(inDomain(app.command(name))).argument(
    '[application-id]',
    'Application id; or pass --client-id.',
    applicationId,
  );

const addRegisterCommand = (app: Command, io: Io): void => {
  valueOnly(writes(inDomain(app.command('register'))))
    .description('Register an application, optionally with its first secret.')
    .argument('<name>', 'Display name.')
    .option('--client-id <id>', 'Client id (default: generated).', clientId)
    .option('--contact <email>', 'Email address for expiry notices. Repeatable.', repeatable)
    .option('--first-secret [description]', 'Also create a secret and show its value once.')
    .addOption(
      new Option(
        '--import-secret [description]',
        'Also import a secret that clients already use. Its value is read from standard input or a prompt.',
      ).conflicts(['firstSecret', 'valueOnly']),
    )
    .action(action<RegisterOptions>(io, register));
};

const register = async (session: Session, options: RegisterOptions, name: string): Promise<void> => {
  const domain = session.domain(options);
  if (options.valueOnly && options.firstSecret === undefined) throw usage('--value-only needs --first-secret.');
  const body = defined({
    clientId: options.clientId,
    name,
    contacts: options.contact,
    firstSecret: await firstSecret(session.io, options),
  });
  const url = path`/api/v1/domains/${domain}/applications`;
  const answer = await session.client.send({ method: 'POST', path: url, body, write: true });
  noteAccepted(session, answer);
  if (options.firstSecret === undefined)
    return session.show(answer, partialRegistered, (created) => registered(session, created, answer));
  const valueOf = (created: Registered): string | null | undefined => created.firstSecret?.secret;
  await showValue(session, options, answer, partialRegistered, valueOf, registered);
};

const addReadCommands = (app: Command, io: Io): void => {
  paged(inDomain(app.command('list')))
    .description('List the applications of a domain.')
    .option('-q, --search <text>', 'Only applications whose client id or name contains this text.')
    .action(
      action<DomainOptions & PageOptions & { search?: string }>(io, async (session, options) => {
        const url = path`/api/v1/domains/${session.domain(options)}/applications`;
        const call = { method: 'GET', path: url, query: { q: options.search } } as const;
        await session.list(call, options, applicationAnswer, (items) => table(session.formatter, items));
      }),
    );

  one(app, 'get')
    .description('Show an application, now or at an earlier time.')
    .option('--as-of <when>', 'Show it as it was at this time, or this long ago, e.g. 7d.', (text) =>
      instantOrAgo(text, io.now()),
    )
    .action(
      action<ApplicationOptions & { asOf?: string }, string | undefined>(io, async (session, options, id) => {
        const { asOf } = options;
        const answer = await session.client.send({
          method: 'GET',
          path: urlOf(session, options, id),
          query: { asOf },
        });
        await (asOf === undefined ? show(session, answer) : showAsOf(session, answer));
      }),
    );
};

const addChangeCommands = (app: Command, io: Io): void => {
  updateOptions(one(app, 'update'))
    .description('Rename an application, change its contacts, or disable or enable it.')
    .action(
      action<ApplicationOptions & UpdateOptions, string | undefined>(io, async (session, options, id) => {
        const body = updateBody(options);
        const call = { method: 'PATCH', path: urlOf(session, options, id), body, write: true } as const;
        const answer = await session.client.send({ ...call, untilEffective: options.disable ?? false });
        await show(session, answer);
        if (options.disable) failIfPending(answer);
      }),
    );

  conditional(one(app, 'delete'))
    .description('Delete an application. All its secrets stop working.')
    .option('-y, --yes', 'Skip the confirmation.')
    .action(
      action<ApplicationOptions & { yes?: boolean }, string | undefined>(io, async (session, options, id) => {
        const name = options.clientId ?? id ?? '';
        const url = urlOf(session, options, id);
        await confirm(io, `This deletes application ${name} with all its secrets.`, name, options.yes);
        const answer = await session.client.send({ method: 'DELETE', path: url, write: true, untilEffective: true });
        await session.show(answer, z.unknown(), () => `Deleted application ${name}.`);
        failIfPending(answer);
      }),
    );
};

const firstSecret = async (io: Io, { firstSecret, importSecret }: RegisterOptions): Promise<object | undefined> => {
  const description = firstSecret ?? importSecret;
  if (description === undefined) return undefined;
  return defined({
    description: description === true ? undefined : description,
    value: importSecret === undefined ? undefined : await askSecret(io, 'secret to import'),
  });
};

const urlOf = (session: Session, options: ApplicationOptions, id: string | undefined): string => {
  const { domain, application } = applicationIn(session, options, id);
  return path`/api/v1/domains/${domain}/applications/${application}`;
};

const show = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, partialApplication, (found) => record(session, found, answer.etag));

const record = (session: Session, application: Application, etag?: string): string => {
  const now = session.io.now();
  const { enabled, policy } = application;
  return session.formatter.record([
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

type Registered = z.infer<typeof partialRegistered>;

const registered = (session: Session, created: Registered, { etag }: Answer): string => {
  const first = created.firstSecret;
  if (!first) return record(session, created, etag);
  const expiry = first.expiresAt === undefined ? 'never' : when(first.expiresAt, session.io.now());
  const secret = [
    ['Secret', first.id],
    ['Description', first.description],
    ['Expires', expiry],
  ] as const;
  return `${record(session, created, etag)}\n\n${session.formatter.record(secret)}`;
};

const table = (formatter: Formatter, applications: Application[]): string =>
  formatter.table(
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
