import { domainAnswer } from '@rekey/contracts';
import type { Command } from 'commander';
import { z } from 'zod';
import { path, type Answer } from '../client';
import { confirm } from '../prompts';
import { domainId, repeatable } from '../input';
import { requireChange, conditional, defined, paged, writes } from '../options';
import { status, when, type Formatter } from '../output';
import { action, type Io, type PageOptions, type Session } from '../session';
import { policyWords } from './policies';
import { failIfPending } from './receipts';

/** Partial: the answer 202 lacks some fields. */
const partialDomain = domainAnswer.partial();
type Domain = z.infer<typeof partialDomain>;

/** Options of `update`, shared by domains and applications. */
export interface UpdateOptions {
  readonly name?: string;
  readonly contact?: readonly string[];
  readonly clearContacts?: boolean;
  readonly enable?: boolean;
  readonly disable?: boolean;
}

/** Adds the options of `update`. */
export const updateOptions = (command: Command): Command =>
  conditional(command)
    .option('--name <name>', 'New display name.')
    .option(
      '--contact <email>',
      'Email address for expiry notices, instead of the current ones. Repeatable.',
      repeatable,
    )
    .option('--clear-contacts', 'Remove all contacts.')
    .option('--disable', 'Refuse its secrets until it is enabled again.')
    .option('--enable', 'Accept its secrets again.');

export const updateBody = (options: UpdateOptions): Record<string, unknown> =>
  requireChange(
    {
      name: options.name,
      contacts: options.clearContacts ? [] : options.contact,
      enabled: options.disable ? false : options.enable ? true : undefined,
    },
    '--name or --disable',
  );

export const addDomainCommands = (program: Command, io: Io): void => {
  const domain = program.command('domain').description('Manage domains, which group applications.');

  writes(domain.command('create'))
    .description('Create a domain.')
    .argument('<name>', 'Display name.')
    .option('--id <id>', 'Domain id, used in URLs (default: derived from the name).', domainId)
    .option('--contact <email>', 'Email address for expiry notices. Repeatable.', repeatable)
    .action(
      action<{ id?: string; contact?: string[] }>(io, async (session, { id, contact }, name) => {
        const body = defined({ id, name, contacts: contact });
        await show(session, await session.client.send({ method: 'POST', path: '/api/v1/domains', body, write: true }));
      }),
    );

  paged(domain.command('list'))
    .description('List the domains you have access to.')
    .option('-q, --search <text>', 'Only domains whose id or name contains this text.')
    .action(
      action<PageOptions & { search?: string }>(io, async (session, options) => {
        const call = { method: 'GET', path: '/api/v1/domains', query: { q: options.search } } as const;
        await session.list(call, options, domainAnswer, (items) => table(session.formatter, items));
      }),
    );

  domain
    .command('get')
    .description('Show a domain.')
    .argument('<id>', 'Domain id.', domainId)
    .action(
      action(io, async (session, _options, id) => {
        await show(session, await session.client.send({ method: 'GET', path: path`/api/v1/domains/${id}` }));
      }),
    );

  updateOptions(domain.command('update'))
    .description('Rename a domain, change its contacts, or disable or enable it.')
    .argument('<id>', 'Domain id.', domainId)
    .action(
      action<UpdateOptions>(io, async (session, options, id) => {
        const body = updateBody(options);
        const call = { method: 'PATCH', path: path`/api/v1/domains/${id}`, body, write: true } as const;
        const answer = await session.client.send({ ...call, untilEffective: options.disable ?? false });
        await show(session, answer);
        if (options.disable) failIfPending(answer);
      }),
    );

  conditional(domain.command('delete'))
    .description('Delete a domain permanently. All its secrets stop working; its id cannot be reused.')
    .argument('<id>', 'Domain id.', domainId)
    .option('-y, --yes', 'Skip the confirmation.')
    .action(
      action<{ yes?: boolean }>(io, async (session, { yes }, id) => {
        await confirm(io, `This deletes domain ${id} with all its applications and secrets.`, id, yes);
        const call = {
          method: 'DELETE',
          path: path`/api/v1/domains/${id}`,
          write: true,
          untilEffective: true,
        } as const;
        const answer = await session.client.send(call);
        await session.show(answer, z.unknown(), () => `Deleted domain ${id}.`);
        failIfPending(answer);
      }),
    );
};

const show = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, partialDomain, (found) => record(session, found, answer.etag));

const record = ({ formatter, io }: Session, domain: Domain, etag: string | undefined): string => {
  const now = io.now();
  return formatter.record([
    ['Domain', domain.id],
    ['Name', domain.name],
    ['Status', domain.enabled === undefined ? undefined : status(domain.enabled ? 'enabled' : 'disabled')],
    ['Policy', domain.policy && policyWords(domain.policy)],
    ['Contacts', domain.contacts?.join(', ') || undefined],
    ['Applications', domain.applications?.toString()],
    ['Created', domain.createdAt && when(domain.createdAt, now)],
    ['Updated', domain.updatedAt && when(domain.updatedAt, now)],
    ['Revision', etag?.replaceAll('"', '')],
  ]);
};

const table = (formatter: Formatter, domains: Domain[]): string =>
  formatter.table(
    ['DOMAIN', 'NAME', 'STATUS', 'POLICY', 'APPLICATIONS', 'CREATED'],
    domains.map((domain) => [
      domain.id,
      domain.name,
      status(domain.enabled ? 'enabled' : 'disabled'),
      policyWords(domain.policy ?? {}),
      String(domain.applications ?? 0),
      domain.createdAt,
    ]),
  );
