import { domainAnswer } from '@rekey/contracts';
import type { Command } from 'commander';
import { z } from 'zod';
import { path, type Answer } from '../client';
import { confirm } from '../asking';
import { domainId, several } from '../input';
import { changes, conditional, given, paged, writes } from '../options';
import { status, when, type Paper } from '../output';
import { action, type Io, type PageOptions, type Session } from '../session';
import { policyWords } from './policies';
import { pending } from './receipts';

/** An answer of 202 does not hold all of it yet. */
const domainShown = domainAnswer.partial();
type Domain = z.infer<typeof domainShown>;

/** `contacts`, as a change states them. */
export interface UpdateOptions {
  readonly name?: string;
  readonly contact?: readonly string[];
  readonly clearContacts?: boolean;
  readonly enable?: boolean;
  readonly disable?: boolean;
}

/** Options of `update`, which domains and applications share. */
export const updating = (command: Command): Command =>
  conditional(command)
    .option('--name <name>', 'a new name')
    .option('--contact <email>', 'whom to tell of expiries, in place of those before; several times', several)
    .option('--clear-contacts', 'tell nobody')
    .option('--disable', 'nothing in it authenticates any more')
    .option('--enable', 'it authenticates again');

export const updateBody = (options: UpdateOptions): Record<string, unknown> =>
  changes(
    {
      name: options.name,
      contacts: options.clearContacts ? [] : options.contact,
      enabled: options.disable ? false : options.enable ? true : undefined,
    },
    '--name or --disable',
  );

export const addDomainCommands = (program: Command, io: Io): void => {
  const domain = program.command('domain').description('domains: the realms that applications belong to');

  writes(domain.command('create'))
    .description('create a domain')
    .argument('<name>', 'its name for people')
    .option('--id <id>', 'its id, in addresses; made from the name where it is not given', domainId)
    .option('--contact <email>', 'whom to tell of expiries; several times', several)
    .action(
      action<{ id?: string; contact?: string[] }>(io, async (session, { id, contact }, name) => {
        const body = given({ id, name, contacts: contact });
        await show(session, await session.client.send({ method: 'POST', path: '/api/v1/domains', body, write: true }));
      }),
    );

  paged(domain.command('list'))
    .description('list the domains that you may see')
    .option('-q, --search <text>', 'only those whose id or name holds this')
    .action(
      action<PageOptions & { search?: string }>(io, async (session, options) => {
        const call = { method: 'GET', path: '/api/v1/domains', query: { q: options.search } } as const;
        await session.list(call, options, domainAnswer, (items) => table(session.paper, items));
      }),
    );

  domain
    .command('get')
    .description('show a domain')
    .argument('<id>', 'its id', domainId)
    .action(
      action(io, async (session, _options, id) => {
        await show(session, await session.client.send({ method: 'GET', path: path`/api/v1/domains/${id}` }));
      }),
    );

  updating(domain.command('update'))
    .description('rename a domain, change its contacts, disable or enable it')
    .argument('<id>', 'its id', domainId)
    .action(
      action<UpdateOptions>(io, async (session, options, id) => {
        const body = updateBody(options);
        const call = { method: 'PATCH', path: path`/api/v1/domains/${id}`, body, write: true } as const;
        const answer = await session.client.send({ ...call, settle: options.disable ?? false });
        await show(session, answer);
        if (options.disable) pending(answer);
      }),
    );

  conditional(domain.command('delete'))
    .description('delete a domain for good: nothing in it authenticates, and its id is never used again')
    .argument('<id>', 'its id', domainId)
    .option('-y, --yes', 'do not ask')
    .action(
      action<{ yes?: boolean }>(io, async (session, { yes }, id) => {
        await confirm(io, `Domain ${id} goes for good, with all its applications and secrets.`, id, yes);
        const call = { method: 'DELETE', path: path`/api/v1/domains/${id}`, write: true, settle: true } as const;
        const answer = await session.client.send(call);
        await session.show(answer, z.unknown(), () => `Domain ${id} is deleted.`);
        pending(answer);
      }),
    );
};

const show = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, domainShown, (found) => record(session, found, answer.etag));

const record = ({ paper, io }: Session, domain: Domain, etag: string | undefined): string => {
  const now = io.now();
  return paper.record([
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

const table = (paper: Paper, domains: Domain[]): string =>
  paper.table(
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
